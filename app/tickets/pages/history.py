"""Every attempt of one person: what was tried, by whom, what came of it, step by step."""

from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from app.core.i18n import _
from app.tickets.outcomes import Outcome
from app.tickets.pages.words import attempt, query, url
from app.tickets.service import library
from app.tickets.service.wording import wording
from app.web.auth import WebRequest
from app.web.pages import page

STATUSES = ("success", "duplicate", "error", "skipped")
LARGEST_ID = 2**63 - 1


class TicketHistoryPages(Controller):
    """/tickets/history: 50 to a page, older ones by key."""

    path = "/tickets/history"
    opt = {"access": "user:tickets"}

    @get("/", name="tickets_history")
    async def show(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        status: FromQuery[str] = "",
        outcome: FromQuery[str] = "",
        before: FromQuery[int | None] = None,
    ) -> Response[str]:
        status = status if status in STATUSES else ""
        outcome = outcome if outcome in set(Outcome) else ""
        before = before if before is not None and 0 < before <= LARGEST_ID else None
        rows = await library.list_attempts(
            user_id, status=status, outcome=outcome, before=before, limit=library.ATTEMPTS + 1
        )
        here = url(request, "tickets_history")
        shown = rows[: library.ATTEMPTS]
        older = shown[-1].id if len(rows) > len(shown) else None
        kept = {"status": status, "outcome": outcome}
        return page(
            request,
            "tickets/history.html",
            block="history_rows",
            tabs=_tabs(here, status),
            rows=[attempt(row) for row in shown],
            outcomes=await _outcomes(user_id),
            outcome=outcome,
            chosen=status,
            here_url=here + query(**kept, before=before),
            newer_url=here + query(**kept) if before else "",
            older_url=here + query(**kept, before=older) if older else "",
        )


async def _outcomes(user_id: str) -> list[tuple[str, str]]:
    found = await library.list_outcomes(user_id)
    named = [(code, wording(Outcome(code)).word) for code in found if code in set(Outcome)]
    return [("", _("Any outcome")), *sorted(named, key=lambda pair: pair[1])]


def _tabs(here: str, status: str) -> list[dict[str, Any]]:
    words = {
        "": _("All"),
        "success": _("New"),
        "duplicate": _("Unchanged"),
        "error": _("Failed"),
        "skipped": _("Skipped"),
    }
    return [
        {"title": word, "url": here + query(status=key), "here": key == status, "count": None}
        for key, word in words.items()
    ]
