"""Making and revoking invites."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.accounts.pages.qr import draw
from app.accounts.pages.replies import REFUSALS, again
from app.accounts.service import invites
from app.core.errors import Invalid
from app.core.i18n import _, ngettext
from app.web import auth, forms, lists
from app.web.auth import WebRequest
from app.web.flash import Undo
from app.web.inline import said
from app.web.links import absolute, url
from app.web.lists import Listing
from app.web.pages import done, page, redirect

SHEET = (
    *("short", "state", "label", "email", "role", "creator", "used_by"),
    *("created_at", "expires_at", "used_at", "revoked_at"),
)


class InviteForm(msgspec.Struct, kw_only=True):
    """One invite."""

    label: str = ""
    email: str = ""
    hours: str = ""
    role: str = "user"
    domains: list[str] = []


class BulkForm(msgspec.Struct, kw_only=True):
    """One action on the invites ticked. `back`: the query of the list they stood in."""

    action: str
    id: list[str] = []
    back: str = ""


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
    async def index(self, request: WebRequest) -> Response[str]:
        data = await _invite_data(request)
        return page(request, "accounts/invites.html", block="invite_rows", **data)

    @get("/csv", name="invites_csv")
    async def csv(self, request: WebRequest) -> Response[bytes]:
        listed = await _listed(request, _listing(request), limit=lists.MOST_ROWS)
        rows = ([getattr(row, name) for name in SHEET] for row in listed.rows)
        return lists.csv_file("invites", SHEET, rows)

    @post("/bulk", name="invites_bulk", status_code=303)
    async def bulk(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        form = await forms.read_form(request, BulkForm)
        here, ip = lists.back_to(url(request, "invites"), form.back), auth.client_ip(request)
        if form.action == "reopen":
            count = await invites.reopen_many(user_id, form.id, ip=ip)
            words = ngettext("%(n)s invite is open again.", "%(n)s invites are open again.", count)
            return redirect(request, here, toast=words)
        if form.action != "revoke":
            raise Invalid(action=_("Choose what to do."))
        revoked = await invites.revoke_many(user_id, form.id, ip=ip)
        words = ngettext("%(n)s invite was revoked.", "%(n)s invites were revoked.", len(revoked))
        fields = [("action", "reopen"), ("back", form.back), *(("id", each) for each in revoked)]
        undo = Undo(url(request, "invites_bulk"), fields) if revoked else None
        return redirect(request, here, toast=words, undo=undo)

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
                domains=await _chosen_domains(request, form.domains),
                ip=auth.client_ip(request),
            )
        except REFUSALS as error:
            data = await _invite_data(request)
            return again(request, "accounts/invites.html", "invite_new", error, form=posted, **data)
        data = await _invite_data(request, made=_shown(request, invite))
        return page(request, "accounts/invites.html", block="invite_new", **data)

    @post("/validate", name="invites_validate", status_code=200)
    async def validate(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, InviteForm)
        errors = await invites.look_at(hours=form.hours, label=form.label, email=form.email)
        return said(request, errors)

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
                domains=await _chosen_domains(request, form.domains),
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
    head = ("email", "label", "link", "expires_at")
    return lists.csv_file("invites", head, ([made[name] for name in head] for made in links))


async def _many_data(request: WebRequest, *, made: Any = None) -> dict[str, Any]:
    return {
        "hours": await invites.usual_hours(),
        "domains": await offered(request),
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


async def offered(request: WebRequest) -> list[tuple[str, str]]:
    """The domains a person can be let into: those switched on that this version has."""
    words = domain_words()
    built = request.app.state.get("domains", words)
    return [(name, words[name]) for name in await invites.enabled_domains() if name in built]


async def _chosen_domains(request: WebRequest, chosen: list[str]) -> list[str] | None:
    """None where every box is ticked: then what is switched on later may be used too."""
    return None if set(chosen) >= dict(await offered(request)).keys() else chosen


def _listing(request: WebRequest) -> Listing:
    sorts, usual = invites.ORDERS, invites.USUAL
    return lists.read_listing(request, url(request, "invites"), sorts=sorts, usual=usual)


async def _listed(request: WebRequest, listing: Listing, **more: Any) -> invites.InviteList:
    state, q, viewer = listing.filters["state"], listing.filters["q"], request.user
    return await invites.list_invites(
        state=state, q=q, sort=listing.sort, viewer=viewer.id if viewer else "", **more
    )


async def _invite_data(request: WebRequest, *, made: Any = None) -> dict[str, Any]:
    listing = _listing(request)
    listed = await _listed(
        request, listing, limit=listing.step, offset=listing.at, upto=listing.upto
    )
    words = domain_words()
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
        "listing": listing.found(listed.total, listed.came),
        "hours": await invites.usual_hours(),
        "domains": await offered(request),
        "made": made,
    }
