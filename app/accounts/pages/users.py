"""Everybody with an account, for admins."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.accounts.pages.invites import offered
from app.accounts.pages.replies import REFUSALS, again
from app.accounts.service import closing, factors, people, resets, sessions, users
from app.core.errors import Invalid, NotFound
from app.core.i18n import _, ngettext
from app.web import auth, forms, lists
from app.web.auth import WebRequest
from app.web.flash import Undo
from app.web.links import absolute, url
from app.web.lists import Listing
from app.web.pages import page, redirect

SHEET = (
    *("id", "login", "email", "role", "active", "second_factor", "invited_by"),
    *("created_at", "last_login_at", "deleted_at"),
)


class ChangeForm(msgspec.Struct, kw_only=True):
    """What is to be done with an account; each part reads its own field."""

    part: str
    role: str = ""
    domains: list[str] = []
    login: str = ""


class BulkForm(msgspec.Struct, kw_only=True):
    """One action on the accounts ticked. `back`: the query of the list they stood in."""

    action: str
    id: list[str] = []
    back: str = ""


class UserPages(Controller):
    """Who is in the house, and what they may do there."""

    path = "/admin/users"
    opt = {"access": "admin"}

    @get("/", name="users")
    async def index(self, request: WebRequest) -> Response[str]:
        listing = _listing(request)
        listed = await _listed(listing, limit=listing.step, offset=listing.at, upto=listing.upto)
        return page(
            request,
            "accounts/users.html",
            block="user_rows",
            rows=listed.rows,
            counts=listed.counts,
            listing=listing.found(listed.total, listed.came),
        )

    @get("/csv", name="users_csv")
    async def csv(self, request: WebRequest) -> Response[bytes]:
        listed = await _listed(_listing(request), limit=lists.MOST_ROWS)
        rows = ([getattr(row, name) for name in SHEET] for row in listed.rows)
        return lists.csv_file("people", SHEET, rows)

    @post("/bulk", name="users_bulk", status_code=303)
    async def bulk(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        form = await forms.read_form(request, BulkForm)
        changed = await users.change_many(user_id, form.id, form.action, ip=auth.client_ip(request))
        here = lists.back_to(url(request, "users"), form.back)
        words = ngettext("%(n)s account changed.", "%(n)s accounts changed.", len(changed))
        undo = None
        if other := {"disable": "enable", "enable": "disable"}.get(form.action):
            fields = [("action", other), ("back", form.back), *(("id", each) for each in changed)]
            undo = Undo(url(request, "users_bulk"), fields)
        return redirect(request, here, toast=words, undo=undo if changed else None)

    @get("/{person:str}", name="user")
    async def show(self, request: WebRequest, person: FromPath[str]) -> Response[str]:
        data = await _card(request, person)
        return page(request, "accounts/user.html", block="user_card", **data)

    @post("/{person:str}", name="user_post", status_code=303)
    async def change(
        self, request: WebRequest, user_id: NamedDependency[str], person: FromPath[str]
    ) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, ChangeForm)
            toast, link = await _change(request, user_id, person, form)
        except REFUSALS as error:
            data = await _card(request, person)
            return again(request, "accounts/user.html", "user_card", error, form=posted, **data)
        if link is not None:
            data = await _card(request, person, made=link)
            return page(request, "accounts/user.html", block="user_card", **data)
        if form.part == "close":
            return redirect(request, url(request, "users"), toast=toast)
        return redirect(request, url(request, "user", person=person), toast=toast)


def _listing(request: WebRequest) -> Listing:
    sorts, usual = people.ORDERS, people.USUAL
    return lists.read_listing(request, url(request, "users"), sorts=sorts, usual=usual)


async def _listed(listing: Listing, **more: Any) -> people.PersonList:
    state, q = listing.filters["state"], listing.filters["q"]
    return await people.list_people(state=state, q=q, sort=listing.sort, **more)


async def _change(
    request: WebRequest, admin_id: str, person: str, form: ChangeForm
) -> tuple[str, dict[str, Any] | None]:
    ip = auth.client_ip(request)
    match form.part:
        case "role":
            await users.set_role(admin_id, person, form.role, ip=ip)
            return _("The role was changed. Their sessions have ended."), None
        case "disable":
            await users.set_active(admin_id, person, False, ip=ip)
            return _("Disabled. Their sessions have ended."), None
        case "enable":
            await users.set_active(admin_id, person, True, ip=ip)
            return _("Enabled again."), None
        case "domains":
            enabled = dict(await offered(request)).keys()
            if not set(form.domains) <= enabled:
                raise Invalid(domains=_("There is no such area."))
            chosen = None if set(form.domains) >= enabled else form.domains
            await users.set_domains(admin_id, person, chosen, ip=ip)
            return _("Saved."), None
        case "sessions":
            await people.get_person(person)
            await sessions.end_sessions(person, actor_id=admin_id, ip=ip)
            return _("Signed out everywhere."), None
        case "factors":
            await people.get_person(person)
            await factors.remove_all(person, actor_id=admin_id, ip=ip)
            return _("The second factor was taken away."), None
        case "reset":
            link = await resets.make_link(admin_id, person, ip=ip)
            shown = absolute(request, "reset_link", secret=link.secret)
            return "", {"link": shown, "expires_at": link.expires_at}
        case "close":
            who = await people.get_person(person)
            if form.login.strip().casefold() != who.login.casefold():
                raise Invalid(login=_("Type the name exactly, so that it is not a slip."))
            await closing.close(admin_id, person, ip=ip)
            return _("The account was deleted."), None
    raise NotFound


async def _card(request: WebRequest, person: str, *, made: Any = None) -> dict[str, Any]:
    who = await people.get_person(person)
    domains = await offered(request)
    return {
        "who": who,
        "guests": await people.list_guests(person),
        "is_me": request.user is not None and request.user.id == person,
        "domains": domains,
        "chosen": [name for name, _word in domains] if who.domains is None else list(who.domains),
        "made": made,
    }
