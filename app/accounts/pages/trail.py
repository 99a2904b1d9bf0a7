"""The audit log, and the vault, for admins."""

import json
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from app.accounts.pages.replies import REFUSALS, again
from app.accounts.service import rekey, trail
from app.core.errors import AppError
from app.core.i18n import _
from app.web import auth, forms, lists
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page, redirect

TYPES = {"csv": "text/csv", "json": "application/json"}
FILTERS = ("who", "what", "ip", "since", "until")


class ExportForm(msgspec.Struct, kw_only=True):
    """The filter of the page, and as what."""

    form: str
    who: str = ""
    what: str = ""
    ip: str = ""
    since: str = ""
    until: str = ""


class TrailPages(Controller):
    """Who did what. Nothing here changes a row: nothing could."""

    path = "/admin/audit"
    opt = {"access": "admin"}

    @get("/", name="audit")
    async def index(self, request: WebRequest, check: FromQuery[str] = "") -> Response[str]:
        sorts, usual, here = trail.ORDERS, trail.USUAL, url(request, "audit")
        listing = lists.read_listing(request, here, sorts=sorts, usual=usual, filters=FILTERS)
        chosen = trail.Filter(**listing.filters)
        first_bad = await trail.first_bad() if check else None
        base: dict[str, Any] = {
            "actions": await trail.list_actions(),
            "checked": bool(check),
            "first_bad": first_bad,
        }
        try:
            lines = await trail.list_lines(
                chosen,
                sort=listing.sort,
                upto=listing.upto,
                limit=listing.step,
                offset=listing.at,
            )
        except REFUSALS as error:
            return _again(request, error, {**base, "listing": listing})
        found = listing.found(*await trail.count_lines(chosen, upto=listing.upto))
        shown = [said(line) for line in lines]
        return page(
            request, "accounts/audit.html", block="audit_rows", lines=shown, listing=found, **base
        )

    @post("/export", name="audit_export", status_code=200, opt={"rate": "exports"})
    async def export(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[bytes]:
        form = await forms.read_form(request, ExportForm)
        chosen = trail.Filter(
            who=form.who, what=form.what, ip=form.ip, since=form.since, until=form.until
        )
        data = await trail.export(chosen, form.form, user_id, ip=auth.client_ip(request))
        headers = {
            "Content-Disposition": f'attachment; filename="holdfast-audit.{form.form}"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "no-store",
        }
        return Response(data, media_type=TYPES[form.form], headers=headers)


class VaultPages(Controller):
    """Where the keys stand: ids and counts, which are no secrets."""

    path = "/admin/vault"
    opt = {"access": "admin"}

    @get("/", name="vault")
    async def show(self, request: WebRequest) -> Response[str]:
        return page(
            request, "accounts/vault.html", block="vault_now", standing=await rekey.get_standing()
        )

    @post("/rotate", name="vault_rotate", status_code=303)
    async def rotate(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        await rekey.rotate_data(actor_id=user_id, kind="user", ip=auth.client_ip(request))
        toast = _("A new data key seals from now on. The old values follow in a job.")
        return redirect(request, url(request, "vault"), toast=toast)


def said(line: trail.Line) -> dict[str, Any]:
    """A line with its detail in words: `old` and `new` as one change, the rest as pairs."""
    detail = json.loads(line.detail or "{}")
    change = ""
    if "new" in detail:
        old, change = detail.pop("old", None), _plain(detail.pop("new"))
        change = change if old is None else f"{_plain(old)} → {change}"
    pairs = [f"{name}: {_plain(value)}" for name, value in detail.items()]
    words = ", ".join([*([change] if change else []), *pairs])
    return {**msgspec.structs.asdict(line), "detail": words}


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _again(request: WebRequest, error: AppError, base: dict[str, Any]) -> Response[str]:
    return again(request, "accounts/audit.html", "audit_rows", error, lines=[], **base)
