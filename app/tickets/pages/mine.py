"""A person's tickets: the one that counts, a run to watch, versions, the page to show."""

from typing import Any

import msgspec
from litestar import Controller, MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.core.area import Area, Step
from app.core.i18n import _, fmt_month, fmt_range, fmt_time, ngettext
from app.core.live import Viewer
from app.tickets.pages.words import attempt, check, outcome_of, query, url
from app.tickets.service import choices, library, logins, pace, retention, runs, versions
from app.tickets.service.library import AttemptRow, RunCard, TicketCard
from app.tickets.service.wording import wording
from app.web.auth import WebRequest
from app.web.pages import page, redirect, saved

# The stored page may never act: no script, no request, no form, no way out of its frame.
FRAME_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:;"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
FRAME_HEADERS = {
    "Content-Security-Policy": FRAME_POLICY,
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
PRIVATE = {"Cache-Control": "private, no-store"}
BLOCKS = ("ticket_now", "ticket_rows")
NEWEST = 5


class TicketPages(Controller):
    """The pages of /tickets about tickets. Each row is looked up by its owner."""

    path = "/tickets"
    opt = {"access": "user:tickets"}

    @get("/", name="tickets")
    async def index(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        data = await _index_data(request, user_id)
        return page(request, "tickets/index.html", block=BLOCKS, **data)

    @post("/download", name="ticket_download", status_code=303)
    async def download(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        await runs.order_download(user_id)
        data = await _index_data(request, user_id)
        home = request.app.route_reverse("tickets")
        return saved(request, home, "", "tickets/index.html", block="ticket_now", **data)

    @get("/show", name="ticket_pass")
    async def show_pass(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        ticket = await library.current_ticket(user_id)
        _allow_frame(request)
        return page(
            request,
            "tickets/pass.html",
            ticket=_with_code(request, ticket) if ticket else None,
            follow=True,
            portal_url=await library.portal_url(),
            versions=await library.list_versions(user_id, limit=NEWEST),
        )

    @get("/list", name="ticket_versions")
    async def list_all(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        order: FromQuery[str] = "valid",
        kind: FromQuery[str] = "",
        year: FromQuery[str] = "",
        at: FromQuery[int] = 0,
    ) -> Response[str]:
        order = order if order in versions.ORDERS else "valid"
        kind = kind if kind in versions.STATES else ""
        at = min(max(at, 0), 100_000)
        found = await versions.list_versions(
            user_id, order=order, state=kind, year=year[:4], offset=at
        )
        here = url(request, "ticket_versions")

        def address(**change: Any) -> str:
            kept = {
                "order": "" if order == "valid" else order,
                "kind": kind,
                "year": year,
                "at": at,
            }
            return here + query(**{**kept, **change})

        size = versions.PAGE_ROWS
        return page(
            request,
            "tickets/list.html",
            block="version_rows",
            rows=found.rows,
            total=found.total,
            tabs=_kind_tabs(kind, lambda value: address(kind=value, at=0)),
            years=[("", _("All years")), *((value, value) for value in found.years)],
            year=year,
            order=order,
            kind=kind,
            here_url=address(),
            valid_url=address(order="valid_up" if order == "valid" else "valid", at=0),
            seen_url=address(order="seen_up" if order == "seen" else "seen", at=0),
            newer_url=address(at=max(at - size, 0)) if at else "",
            older_url=address(at=at + size) if at + size < found.total else "",
        )

    @get("/{ticket_id:int}", name="ticket_show")
    async def show(
        self, request: WebRequest, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[str]:
        ticket = await library.get_ticket(user_id, ticket_id)
        before = await versions.find_before(user_id, ticket_id)
        _allow_frame(request)
        return page(
            request,
            "tickets/show.html",
            ticket=_with_code(request, ticket),
            checks=[check(found) for found in ticket.checks],
            changes_url=url(request, "ticket_changes", ticket_id=ticket_id) if before else "",
            own=True,
        )

    @get("/{ticket_id:int}/changes", name="ticket_changes")
    async def changes(
        self, request: WebRequest, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[str]:
        ticket = await library.get_ticket(user_id, ticket_id)
        lines = await versions.compare(user_id, ticket_id)
        return page(request, "tickets/changes.html", ticket=ticket, lines=lines)

    @post("/{ticket_id:int}/delete", name="ticket_delete", status_code=303)
    async def delete(
        self, request: WebRequest, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[str]:
        await retention.delete_ticket(user_id, ticket_id)
        home = request.app.route_reverse("ticket_versions")
        return redirect(request, home, toast=_("The version was deleted."))

    @get("/{ticket_id:int}/frame", name="ticket_frame")
    async def frame(
        self, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[bytes]:
        view = await library.read_view(user_id, ticket_id)
        return Response(view, media_type=MediaType.HTML, headers=FRAME_HEADERS)

    @get("/{ticket_id:int}/file", name="ticket_file")
    async def file(
        self, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[bytes]:
        ticket = await library.get_ticket(user_id, ticket_id)
        view = await library.read_view(user_id, ticket_id)
        headers = {**FRAME_HEADERS, "Content-Disposition": _named(ticket, "html")}
        return Response(view, media_type=MediaType.HTML, headers=headers)

    @get("/{ticket_id:int}/pdf", name="ticket_pdf")
    async def pdf(self, user_id: NamedDependency[str], ticket_id: FromPath[int]) -> Response[bytes]:
        ticket = await library.get_ticket(user_id, ticket_id)
        printed = await library.read_pdf(user_id, ticket_id)
        headers = {**PRIVATE, "Content-Disposition": _named(ticket, "pdf")}
        return Response(printed, media_type="application/pdf", headers=headers)

    @get("/{ticket_id:int}/code.png", name="ticket_code")
    async def code(
        self, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[bytes]:
        picture = await library.read_code(user_id, ticket_id)
        return Response(picture, media_type="image/png", headers=PRIVATE)


async def describe(viewer: Viewer) -> Area | None:
    """The line of this domain on the dashboard."""
    if "tickets" not in viewer.domains:
        return None
    ticket = await library.current_ticket(viewer.id)
    login = await logins.find_login(viewer.id)
    if ticket is None:
        stands, sub = _("No ticket yet"), "" if login else _("Store your login first.")
    else:
        stands, sub = ticket.product, fmt_range(ticket.valid_from, ticket.valid_to)
    left = ticket.days_left if ticket else None
    return Area(
        title=_("Tickets"),
        icon="ticket",
        url="/tickets",
        stands=stands,
        sub=sub,
        next=ngettext("%(n)s day left", "%(n)s days left", left) if left is not None else "",
        size_bytes=ticket.size_bytes if ticket else None,
        step=Step(
            title=_("Store the login of the ticket portal"),
            text=_("Then Holdfast fetches your ticket each month and tells you if it cannot."),
            url="/tickets/settings",
            done=login is not None,
        ),
    )


async def _index_data(request: WebRequest, user_id: str) -> dict[str, Any]:
    ticket = await library.current_ticket(user_id)
    login = await logins.find_login(user_id)
    run = await library.find_run(user_id)
    chosen = await choices.get_choices(user_id)
    attempts = await library.list_attempts(user_id, limit=1)
    why_not = _("The portal refused the stored password.") if login and login.is_blocked else ""
    months = await library.months(user_id)
    return {
        "ticket": _with_code(request, ticket) if ticket else None,
        "run": await _run(run) if run else None,
        "last": _last(request, attempts[0]) if attempts else None,
        "has_login": login is not None,
        "has_consent": chosen.decided,
        "can_download": login is not None and not login.is_blocked,
        "why_not": why_not,
        "months": [
            {
                "label": fmt_month(first),
                "look": "success" if had else "off",
                "word": _("ticket") if had else _("no ticket"),
                "here": first == months[-1][0],
            }
            for first, had in months
        ],
        "rows": await library.list_versions(user_id, limit=NEWEST),
        "total": await library.count_versions(user_id),
    }


def _with_code(request: WebRequest, ticket: TicketCard) -> dict[str, Any]:
    code = url(request, "ticket_code", ticket_id=ticket.id) if ticket.has_code else ""
    return {**msgspec.structs.asdict(ticket), "code_url": code}


async def _run(run: RunCard) -> dict[str, Any]:
    words = (_("Queued"), _("Login"), _("Consent"), _("Ticket"), _("Check"), _("Saved"))
    looks = [
        "success" if at < run.step else "running" if at == run.step else ""
        for at in range(len(words))
    ]
    notes = [""] * len(words)
    paused = (await pace.get_pace()).paused_until
    if not run.running:
        notes[0] = (
            _("The portal is paused until %(time)s.", time=fmt_time(paused))
            if paused
            else _("attempt %(n)s", n=run.attempts + 1)
            if run.attempts
            else ""
        )
    doing = _("Checking the login") if run.check else _("Fetching the ticket")
    return {
        "job_id": run.job_id,
        "title": doing if run.running else _("Waiting for its turn"),
        "started_at": run.started_at,
        "steps": [
            {"word": word, "look": look, "note": note}
            for word, look, note in zip(words, looks, notes, strict=True)
        ],
        "can_cancel": True,
    }


def _last(request: WebRequest, row: AttemptRow) -> dict[str, Any]:
    words = wording(outcome_of(row.outcome))
    advice = {"login": _("Enter the login again"), "consent": _("Decide about consent")}
    return {
        "at": row.at,
        "look": words.look,
        "word": words.word,
        "text": attempt(row)["text"],
        "advice_url": url(request, "tickets_settings") if words.advice else "",
        "advice_word": advice.get(words.advice, ""),
    }


def _kind_tabs(kind: str, address: Any) -> list[dict[str, Any]]:
    words = {
        "": _("All"),
        "valid": _("Valid"),
        "over": _("Over"),
        "undated": _("Without dates"),
        "kept_apart": _("Kept apart"),
    }
    return [
        {"title": word, "url": address(key), "here": key == kind, "count": None}
        for key, word in words.items()
    ]


def _named(ticket: TicketCard, ending: str) -> str:
    month = (ticket.valid_from.isoformat() if ticket.valid_from else ticket.first_seen)[:7]
    return f'attachment; filename="semester-ticket-{month}.{ending}"'


def _allow_frame(request: WebRequest) -> None:
    request.scope["frame_src"] = "'self'"  # type: ignore[typeddict-unknown-key]
