"""Admins on the portal: its settings, patterns tried out, the probe and the pinned hosts."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from app.core.errors import Conflict, Invalid
from app.core.i18n import _
from app.tickets import settings
from app.tickets.pages.words import ways
from app.tickets.service import portal
from app.tickets.service.portal import Tried
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import page, redirect

TEMPLATE = "tickets/admin_settings.html"


class PinForm(msgspec.Struct, kw_only=True):
    """Hosts that are ticked."""

    hosts: list[str] = []


class TicketPortalPages(Controller):
    """/admin/tickets/settings and /admin/tickets/probe."""

    path = "/admin/tickets"
    opt = {"access": "admin"}

    @get("/settings", name="tickets_portal")
    async def show(self, request: WebRequest) -> Response[str]:
        return await _form(request)

    @post("/settings", name="tickets_portal_save", status_code=303)
    async def save(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = _texts(await forms.read(request))
        try:
            await portal.save_settings(user_id, posted, ip=client_ip(request))
        except Invalid as error:
            return await _form(request, status=422, form=posted, errors=error.fields)
        here = request.app.route_reverse("tickets_portal")
        return redirect(request, here, toast=_("Saved."))

    @post("/settings/patterns", name="tickets_portal_try", status_code=200)
    async def try_patterns(self, request: WebRequest) -> Response[str]:
        posted = _texts(await forms.read(request))
        lines = posted.get("tickets.ignore_patterns", "").splitlines()
        try:
            tried = await portal.try_patterns([line.strip() for line in lines if line.strip()])
        except (Invalid, Conflict) as error:
            fields = error.fields if isinstance(error, Invalid) else {"form": str(error)}
            return await _form(request, status=422, form=posted, errors=fields)
        return await _form(request, form=posted, tried=tried)

    @post("/settings/browser", name="tickets_portal_browser", status_code=303)
    async def browser(self, request: WebRequest) -> Response[str]:
        here = request.app.route_reverse("tickets_portal")
        try:
            version = await portal.test_browser()
        except Conflict as error:
            return redirect(request, here, toast=str(error))
        return redirect(request, here, toast=_("Chromium %(version)s starts.", version=version))

    @get("/probe", name="tickets_probe")
    async def probe(self, request: WebRequest) -> Response[str]:
        return page(request, "tickets/probe.html", **await _probe_data())

    @post("/probe", name="tickets_probe_run", status_code=200)
    async def run_probe(self, request: WebRequest) -> Response[str]:
        found = await portal.look()
        return page(request, "tickets/probe.html", **{**await _probe_data(), "found": found})

    @post("/probe/pin", name="tickets_probe_pin", status_code=303)
    async def pin(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        here = request.app.route_reverse("tickets_probe")
        form = await forms.read_form(request, PinForm)
        try:
            await portal.pin(user_id, form.hosts, ip=client_ip(request))
        except (Invalid, Conflict) as error:
            return redirect(request, here, toast=str(error) or _("These are no hosts."))
        return redirect(request, here, toast=_("Only these hosts get a password from now on."))

    @post("/probe/trace", name="tickets_probe_trace", status_code=200)
    async def trace(self) -> Response[bytes]:
        found = await portal.look()
        headers = {
            "Content-Disposition": 'attachment; filename="portal-trace.json"',
            "Cache-Control": "no-store",
        }
        body = msgspec.json.format(msgspec.json.encode(found), indent=1)
        return Response(body, media_type="application/json", headers=headers)


async def _probe_data() -> dict[str, Any]:
    return {
        "found": None,
        "portal_url": await settings.get("portal_url"),
        "pinned": list(await settings.get("idp_hosts")),
    }


async def _form(
    request: WebRequest, *, status: int = 200, tried: list[Tried] | None = None, **more: Any
) -> Response[str]:
    rows, words = {}, ways()
    for shown in await portal.show_settings():
        setting = shown.setting
        value = shown.value
        rows[setting.name] = {
            "name": setting.name,
            "help": _(setting.help),
            "kind": setting.kind.__name__,
            "choices": [(choice, words.get(choice, choice)) for choice in setting.choices],
            "secret": setting.secret,
            "stored": value is not None,
            "locked": shown.locked,
            "source": shown.source,
            "value": "" if setting.secret else "\n".join(value) if setting.kind is tuple else value,
            "default": "" if setting.secret else setting.default,
        }
    groups = (
        (_("Portal"), ("portal_url", "idp_hosts", "markers", "accept_words", "maintenance_words")),
        (_("Changes"), ("ignore_patterns",)),
        (_("Way"), ("driver", "browser_path", "allow_user_proxy")),
        (_("By itself"), ("base_number", "base_password", "base_interval_h", "spread_h")),
        (_("Keeping"), ("mirror_root", "history_days", "purge_after_days", "admin_can_view")),
    )
    return page(
        request,
        TEMPLATE,
        block="portal_form",
        status=status,
        groups=[(title, [rows[f"tickets.{name}"] for name in names]) for title, names in groups],
        tried=tried or [],
        **more,
    )


def _texts(posted: forms.Form) -> dict[str, str]:
    """One text a name; of a hidden field and its box the box, which comes last."""
    return {name: value if isinstance(value, str) else value[-1] for name, value in posted.items()}
