"""Admins on all tickets: numbers, days, the portal's pace, attempts and errors."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromQuery

from app.core.i18n import _, fmt_day, fmt_range, fmt_time
from app.tickets.pages.history import LARGEST_ID
from app.tickets.pages.words import attempt, outcome_of, query, url
from app.tickets.service import base, overview, pace
from app.tickets.service.wording import wording
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import page, saved

ROWS = 50
TEMPLATE = "tickets/admin.html"


class PauseForm(msgspec.Struct, kw_only=True):
    """For how many hours."""

    hours: float = 1


class TicketAdminPages(Controller):
    """/admin/tickets and its histories."""

    path = "/admin/tickets"
    opt = {"access": "admin"}

    @get("/", name="tickets_admin")
    async def show(self, request: WebRequest) -> Response[str]:
        return page(request, TEMPLATE, block="tickets_all", **await _data())

    @post("/check", name="tickets_admin_check", status_code=303)
    async def check(self, request: WebRequest) -> Response[str]:
        await base.order_check()
        return await _done(request, _("The base ticket is being checked."))

    @post("/download", name="tickets_admin_download", status_code=303)
    async def download(self, request: WebRequest) -> Response[str]:
        await base.order_fan_out()
        return await _done(request, _("Everybody who opted in is being queued."))

    @post("/pause", name="tickets_admin_pause", status_code=303)
    async def pause(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, PauseForm)
        await pace.pause(_admin(request), min(max(form.hours, 0.1), 720), ip=client_ip(request))
        return await _done(request, _("Paused. Nothing is asked of the portal."))

    @post("/resume", name="tickets_admin_resume", status_code=303)
    async def resume(self, request: WebRequest) -> Response[str]:
        await pace.resume(_admin(request), ip=client_ip(request))
        return await _done(request, _("Runs start again."))

    @get("/history", name="tickets_admin_history")
    async def history(
        self,
        request: WebRequest,
        window: FromQuery[str] = "7d",
        outcome: FromQuery[str] = "",
        before: FromQuery[int | None] = None,
    ) -> Response[str]:
        window = window if window in overview.WINDOWS else "7d"
        outcome = overview.known_outcome(outcome)
        before = before if before is not None and 0 < before <= LARGEST_ID else None
        found = await overview.list_attempts(
            window=window, outcome=outcome, before=before, limit=ROWS + 1
        )
        shown = found[:ROWS]
        here = url(request, "tickets_admin_history")
        kept = {"window": window, "outcome": outcome}
        older = shown[-1][1].id if len(found) > ROWS else None
        return page(
            request,
            "tickets/admin_history.html",
            block="attempt_rows",
            tabs=_windows(here, window, outcome=outcome),
            rows=[{**attempt(row, own=False), "who": who or _("nobody")} for who, row in shown],
            outcome_word=wording(outcome_of(outcome)).word if outcome else "",
            all_url=here + query(window=window),
            here_url=here + query(**kept, before=before),
            newer_url=here + query(**kept) if before else "",
            older_url=here + query(**kept, before=older) if older else "",
        )

    @get("/errors", name="tickets_admin_errors")
    async def errors(self, request: WebRequest, window: FromQuery[str] = "7d") -> Response[str]:
        window = window if window in overview.WINDOWS else "7d"
        here = url(request, "tickets_admin_errors")
        rows = []
        for row in await overview.list_errors(window):
            words = wording(outcome_of(row["outcome"] or ""))
            history = url(request, "tickets_admin_history")
            target = history + query(window=window, outcome=row["outcome"] or "")
            rows.append(
                {**row, "look": words.look, "word": words.word, "text": words.text, "url": target}
            )
        return page(
            request,
            "tickets/admin_errors.html",
            tabs=_windows(here, window),
            rows=rows,
            redesign=await overview.find_redesign(),
        )


async def _done(request: WebRequest, toast: str) -> Response[str]:
    home = request.app.route_reverse("tickets_admin")
    return saved(request, home, "", TEMPLATE, block="tickets_all", toast=toast, **await _data())


async def _data() -> dict[str, Any]:
    days = await overview.days()
    state = await base.get_state()
    paced = await pace.get_pace()
    waiting = await overview.waiting()
    labels = [fmt_day(day.day) for day in days]
    good = state.last_outcome in {"new", "duplicate"}
    facts = [
        (_("Last look"), fmt_time(state.last_checked_at) or _("never")),
        (_("Changed last"), fmt_time(state.effective_from) or _("never")),
        (_("Valid"), fmt_range(state.base_valid_from, state.base_valid_to) or _("not known")),
    ]
    outcome = wording(outcome_of(state.last_outcome)) if state.last_outcome else None
    return {
        "tiles": await overview.tiles(),
        "labels": labels,
        "bars": [
            {"name": _("New"), "look": "b1", "points": [day.success for day in days]},
            {"name": _("Unchanged"), "look": "b2", "points": [day.duplicate for day in days]},
            {"name": _("Failed"), "look": "b3", "points": [day.error for day in days]},
        ],
        "answers": [
            {
                "name": _("Portal answer, ms"),
                "look": "l1",
                "points": [None if day.answer_ms is None else round(day.answer_ms) for day in days],
            }
        ],
        "base": {
            "has_login": await base.has_login(),
            "look": "success" if good else outcome.look if outcome else "held",
            "word": outcome.word if outcome else _("never looked"),
            "streak": state.failure_streak,
            "facts": facts,
        },
        "pace": paced,
        "waiting": waiting,
        "done_s": (waiting.queued + waiting.running) * paced.period_s / max(paced.limit, 1),
    }


def _windows(here: str, window: str, **kept: str) -> list[dict[str, Any]]:
    words = {"24h": _("24 hours"), "7d": _("7 days"), "30d": _("30 days")}
    return [
        {
            "title": word,
            "url": here + query(window=key, **kept),
            "here": key == window,
            "count": None,
        }
        for key, word in words.items()
    ]


def _admin(request: WebRequest) -> str:
    return request.user.id if request.user else ""
