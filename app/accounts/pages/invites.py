"""Making and revoking invites."""

import csv
import io
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.accounts.pages.qr import draw
from app.accounts.pages.replies import REFUSALS, again
from app.accounts.service import invites, trail
from app.core.i18n import _
from app.web import auth, forms
from app.web.auth import WebRequest
from app.web.links import absolute, url
from app.web.pages import done, page

PAGE_ROWS = 50


class InviteForm(msgspec.Struct, kw_only=True):
    """One invite."""

    label: str = ""
    email: str = ""
    hours: str = ""
    role: str = "user"
    domains: list[str] = []


class ManyForm(msgspec.Struct, kw_only=True):
    """Many invites: a line for each, `email[,label]`. `to`: page or csv."""

    lines: str
    hours: str = ""
    role: str = "user"
    domains: list[str] = []
    to: str = "page"


class InvitePages(Controller):
    """Making and revoking invites."""

    path = "/admin/invites"
    opt = {"access": "admin"}

    @get("/", name="invites")
    async def index(
        self,
        request: WebRequest,
        q: FromQuery[str] = "",
        at: FromQuery[int] = 0,
    ) -> Response[str]:
        state = request.query_params.get("state", "")  # as an argument, Litestar keeps this word
        data = await _invite_data(request, q=q, state=state, at=at)
        return page(request, "accounts/invites.html", block="invite_rows", **data)

    @post("/", name="invites_create", status_code=200)
    async def create(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, InviteForm)
            invite = await invites.create_invite(
                user_id,
                hours=form.hours,
                label=form.label,
                email=form.email,
                role=form.role,
                domains=await _chosen_domains(form.domains),
                ip=auth.client_ip(request),
            )
        except REFUSALS as error:
            data = await _invite_data(request)
            return again(request, "accounts/invites.html", "invite_new", error, form=posted, **data)
        data = await _invite_data(request, made=_shown(request, invite))
        return page(request, "accounts/invites.html", block="invite_new", **data)

    @get("/many", name="invites_many")
    async def many(self, request: WebRequest) -> Response[str]:
        return page(
            request, "accounts/invites_many.html", block="many_form", **await _many_data(request)
        )

    @post("/many", name="invites_many_post", status_code=200)
    async def create_many(
        self, request: WebRequest, user_id: NamedDependency[str]
    ) -> Response[Any]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, ManyForm, keep_space=("lines",))
            made = await invites.create_invites(
                user_id,
                form.lines,
                hours=form.hours,
                role=form.role,
                domains=await _chosen_domains(form.domains),
                ip=auth.client_ip(request),
            )
        except REFUSALS as error:
            data = await _many_data(request)
            return again(
                request, "accounts/invites_many.html", "many_form", error, form=posted, **data
            )
        links = [_shown(request, invite) for invite in made]
        if form.to == "csv":
            return _csv(links)
        data = await _many_data(request, made=links)
        return page(request, "accounts/invites_many.html", block="many_form", **data)

    @post("/{short:str}/revoke", name="invite_revoke", status_code=303)
    async def revoke(
        self, request: WebRequest, user_id: NamedDependency[str], short: FromPath[str]
    ) -> Response[str]:
        await invites.revoke_invite(user_id, short, ip=auth.client_ip(request))
        toast = _("The invite was revoked.")
        return done(request, url(request, "invites"), "invites", toast=toast)


def _shown(request: WebRequest, invite: invites.NewInvite) -> dict[str, Any]:
    """A link just made, with its picture for a phone held in front of the screen."""
    link = absolute(request, "join_link", secret=invite.secret)
    return {
        "link": link,
        "label": invite.label,
        "email": invite.email,
        "expires_at": invite.expires_at,
        "qr": draw(link),
    }


def _csv(links: list[dict[str, Any]]) -> Response[bytes]:
    """The links as a file; like the page, it is given out once."""
    filled = io.StringIO()
    writer = csv.writer(filled)
    writer.writerow(("email", "label", "link", "expires_at"))
    for made in links:
        row = (made["email"], made["label"], made["link"], made["expires_at"].isoformat())
        writer.writerow([trail.cell(value) for value in row])
    headers = {
        "Content-Disposition": 'attachment; filename="holdfast-invites.csv"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-store",
    }
    return Response(
        filled.getvalue().encode(), media_type="text/csv; charset=utf-8", headers=headers
    )


async def _many_data(request: WebRequest, *, made: Any = None) -> dict[str, Any]:
    words = domain_words()
    return {
        "hours": await invites.usual_hours(),
        "domains": [(name, words[name]) for name in await invites.enabled_domains()],
        "most": invites.MOST_LINES,
        "made": made,
        "back_url": url(request, "invites"),
    }


def domain_words() -> dict[str, str]:
    """What each domain is called."""
    return {
        "tickets": _("Tickets"),
        "audiobooks": _("Audiobooks"),
        "projects": _("Projects"),
        "campaigns": _("Campaigns"),
        "firmware": _("Firmware"),
    }


async def _chosen_domains(chosen: list[str]) -> list[str] | None:
    """None where every box is ticked: then what is switched on later may be used too."""
    return None if set(chosen) >= set(await invites.enabled_domains()) else chosen


async def _invite_data(
    request: WebRequest, *, q: str = "", state: str = "", at: int = 0, made: Any = None
) -> dict[str, Any]:
    state = state if state in invites.STATES else ""
    at = max(at, 0)
    listed = await invites.list_invites(state=state, q=q, limit=PAGE_ROWS, offset=at)
    words = domain_words()

    def at_row(offset: int) -> str:
        values = {"state": state, "q": q, "at": offset or ""}
        query = urlencode({name: value for name, value in values.items() if value})
        return url(request, "invites") + (f"?{query}" if query else "")

    rows = [
        msgspec.structs.asdict(row)
        | {
            "domain_words": _("everything")
            if row.domains is None
            else ", ".join(words[name] for name in row.domains) or _("nothing")
        }
        for row in listed.rows
    ]
    return {
        "rows": rows,
        "counts": listed.counts,
        "total": listed.total,
        "state": state,
        "q": q,
        "newer_url": at_row(max(at - PAGE_ROWS, 0)) if at else "",
        "older_url": at_row(at + PAGE_ROWS) if at + PAGE_ROWS < listed.total else "",
        "here_url": at_row(at),
        "hours": await invites.usual_hours(),
        "domains": [(name, words[name]) for name in await invites.enabled_domains()],
        "made": made,
    }
