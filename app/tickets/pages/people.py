"""Admins on the people who use tickets: how they stand, how they are served. Not their tickets."""

from typing import Any

import msgspec
from litestar import Controller, MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.core.errors import Invalid
from app.core.i18n import _, ngettext
from app.tickets.pages.mine import FRAME_HEADERS
from app.tickets.pages.words import check, outcome_of, url, ways
from app.tickets.service import copies, library, people
from app.tickets.service.people import PersonRow
from app.tickets.service.wording import wording
from app.web import forms, lists
from app.web.auth import WebRequest, client_ip
from app.web.lists import Listing
from app.web.pages import page, redirect

SHEET = (
    "id",
    "login",
    "last_outcome",
    "until",
    "last_at",
    "auto",
    "has_login",
    "blocked",
    "driver",
)


class ChosenForm(msgspec.Struct, kw_only=True):
    """Rows that are ticked."""

    ids: list[str] = []


class ServeForm(msgspec.Struct, kw_only=True):
    """How one person is served."""

    driver: str = ""
    output_dir: str = ""


class TicketPeoplePages(Controller):
    """/admin/tickets/users and the looks that a setting allows."""

    path = "/admin/tickets"
    opt = {"access": "admin"}

    @get("/users", name="tickets_people")
    async def index(self, request: WebRequest) -> Response[str]:
        listing = _listing(request)
        rows, total = await _listed(listing, limit=listing.step, offset=listing.at)
        return page(
            request,
            "tickets/people.html",
            block="people_rows",
            rows=[_row(row) for row in rows],
            kinds=_kinds(),
            listing=listing.found(total),
        )

    @get("/users/csv", name="tickets_people_csv")
    async def csv(self, request: WebRequest) -> Response[bytes]:
        rows, _total = await _listed(_listing(request), limit=lists.MOST_ROWS)
        return lists.csv_file(
            "ticket-people", SHEET, ([getattr(row, name) for name in SHEET] for row in rows)
        )

    @post("/users/download", name="tickets_people_download", status_code=303)
    async def download(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        form = await forms.read_form(request, ChosenForm)
        asked = await people.download_for(user_id, form.ids, ip=client_ip(request))
        toast = ngettext("%(n)s run was queued.", "%(n)s runs were queued.", asked)
        return redirect(request, request.app.route_reverse("tickets_people"), toast=toast)

    @get("/users/{person_id:str}", name="tickets_person")
    async def person(self, request: WebRequest, person_id: FromPath[str]) -> Response[str]:
        return await _person(request, person_id)

    @post("/users/{person_id:str}", name="tickets_person_save", status_code=303)
    async def save(
        self, request: WebRequest, user_id: NamedDependency[str], person_id: FromPath[str]
    ) -> Response[str]:
        posted = await forms.read(request)
        await people.get_person(person_id)
        try:
            form = forms.check(posted, ServeForm)
            ip = client_ip(request)
            await copies.set_mirror(user_id, person_id, form.output_dir, ip=ip)
            await people.set_driver(user_id, person_id, form.driver, ip=ip)
        except Invalid as error:
            return await _person(request, person_id, 422, form=posted, errors=error.fields)
        here = url(request, "tickets_person", person_id=person_id)
        return redirect(request, here, toast=_("Saved."))

    @get("/look/{ticket_id:int}", name="ticket_look")
    async def look(
        self, request: WebRequest, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[str]:
        owner = await people.look_at(user_id, ticket_id, "page", ip=client_ip(request))
        ticket = await library.get_ticket(owner, ticket_id)
        request.scope["frame_src"] = "'self'"  # type: ignore[typeddict-unknown-key]
        return page(
            request,
            "tickets/show.html",
            ticket={**msgspec.structs.asdict(ticket), "code_url": ""},
            checks=[check(found) for found in ticket.checks],
            changes_url="",
            own=False,
            frame_url=url(request, "ticket_look_frame", ticket_id=ticket_id),
        )

    @get("/look/{ticket_id:int}/frame", name="ticket_look_frame")
    async def look_frame(
        self, request: WebRequest, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[bytes]:
        owner = await people.look_at(user_id, ticket_id, "document", ip=client_ip(request))
        view = await library.read_view(owner, ticket_id)
        return Response(view, media_type=MediaType.HTML, headers=FRAME_HEADERS)


async def _person(
    request: WebRequest, person_id: str, status: int = 200, **more: Any
) -> Response[str]:
    row = await people.get_person(person_id)
    return page(
        request,
        "tickets/person.html",
        block="person_form",
        status=status,
        person=_row(row),
        rows=await people.list_tickets(person_id),
        can_look=await people.can_look(),
        drivers=[("", _("As the settings say")), *ways().items()],
        **more,
    )


def _row(row: PersonRow) -> dict[str, Any]:
    words = wording(outcome_of(row.last_outcome)) if row.last_outcome else None
    return {
        **msgspec.structs.asdict(row),
        "look": "failed" if row.blocked else words.look if words else "held",
        "word": _("blocked") if row.blocked else words.word if words else _("never tried"),
    }


def _kinds() -> dict[str, str]:
    return {
        "": _("All"),
        "valid": _("Valid"),
        "expiring": _("Ends soon"),
        "none": _("No ticket"),
        "failing": _("Failing"),
        "blocked": _("Blocked"),
        "auto": _("By itself"),
    }


def _listing(request: WebRequest) -> Listing:
    here = url(request, "tickets_people")
    return lists.read_listing(
        request, here, sorts=people.ORDERS, usual=people.USUAL, filters=("kind", "q")
    )


async def _listed(listing: Listing, **more: Any) -> tuple[list[PersonRow], int]:
    kind, q = listing.filters["kind"], listing.filters["q"]
    return await people.list_people(q=q, state=kind, sort=listing.sort, **more)
