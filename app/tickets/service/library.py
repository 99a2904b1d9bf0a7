"""What a person has: the ticket that counts, older versions, attempts, and the run under way."""

import asyncio
import json
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from app.core import paths
from app.core.errors import NotFound
from app.core.files import inside, read_bytes
from app.core.i18n import _
from app.tickets import document
from app.tickets.outcomes import Outcome
from app.tickets.payloads import Download
from app.tickets.service.wording import wording
from app.tickets.validate import Check
from db import clock
from db.engine import DB

BERLIN = ZoneInfo("Europe/Berlin")
VERSIONS, ATTEMPTS = 25, 50
FILE_LIMIT = 32 * 1024 * 1024
LARGEST_ID = 2**63 - 1


class TicketCard(msgspec.Struct, frozen=True, kw_only=True):
    """One version with everything its page shows. Days are counted in Berlin."""

    id: int
    product: str
    holder: str
    number: str
    look: str
    word: str
    valid_from: date | None
    valid_to: date | None
    days_left: int | None
    days_total: int | None
    first_seen: str
    fetched: str
    checked: str | None
    driver: str
    size_bytes: int
    has_code: bool
    checks: list[Check]


class TicketRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list of versions."""

    id: int
    valid_from: date | None
    valid_to: date | None
    product: str
    look: str
    word: str
    first_seen: str
    checks: str
    driver: str
    size_bytes: int


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history. `steps` are hosts and paths only."""

    id: int
    at: str
    outcome: str
    trigger: str
    ms: int | None
    steps: list[dict[str, Any]]


class RunCard(msgspec.Struct, frozen=True, kw_only=True):
    """The run under way: `step` counts from 0 (queued) to 5 (saved)."""

    job_id: str
    started_at: int
    step: int
    running: bool
    attempts: int


_COLUMNS = """
t.id, t.product, t.holder_name, t.ticket_number, t.status, t.validation_status, t.valid_from,
t.valid_to, t.downloaded_at, t.created_at, t.driver, t.size_bytes, t.barcode_hash, t.file_path,
t.validation_json
"""
# Of the versions valid today the one that lasts longest; if none has dates, the newest.
_CURRENT = f"""
SELECT {_COLUMNS} FROM tickets t WHERE user_id = :user AND status = 'success'
ORDER BY coalesce(valid_from <= :today AND valid_to >= :today, 0) DESC,
  valid_to IS NULL, valid_to DESC, downloaded_at DESC LIMIT 1
"""  # noqa: S608 - a constant of ours


async def current_ticket(user_id: str) -> TicketCard | None:
    """The ticket to show today, None where there is none at all."""
    row = await DB.one(_CURRENT, {"user": user_id, "today": _today().isoformat()})
    return _card(row) if row else None


async def get_ticket(user_id: str, ticket_id: int) -> TicketCard:
    """One version of this person; NotFound for any other."""
    return _card(await _own(user_id, ticket_id))


async def list_versions(user_id: str, *, limit: int = VERSIONS) -> list[TicketRow]:
    """All versions, those that last longest first."""
    rows = await DB.all(
        f"SELECT {_COLUMNS} FROM tickets t WHERE user_id = ?"  # noqa: S608 - a constant of ours
        " ORDER BY valid_to IS NULL, valid_to DESC, downloaded_at DESC, id DESC LIMIT ?",
        (user_id, limit),
    )
    return [_row(row) for row in rows]


async def count_versions(user_id: str) -> int:
    """How many versions this person has."""
    return int(await DB.value("SELECT count(*) FROM tickets WHERE user_id = ?", (user_id,)))


async def list_attempts(
    user_id: str, *, status: str = "", before: int | None = None, limit: int = ATTEMPTS
) -> list[AttemptRow]:
    """Attempts older than `before`, newest first; `status` keeps one kind of end."""
    rows = await DB.all(
        "SELECT id, downloaded_at, outcome, trigger, duration_ms, steps_json"
        " FROM ticket_download_history WHERE user_id = :user"
        " AND (:status = '' OR status = :status) AND (:before IS NULL OR id < :before)"
        " ORDER BY downloaded_at DESC, id DESC LIMIT :limit",
        {"user": user_id, "status": status, "before": before, "limit": limit},
    )
    return [
        AttemptRow(
            id=row["id"],
            at=row["downloaded_at"],
            outcome=row["outcome"] or "",
            trigger=row["trigger"] or "",
            ms=row["duration_ms"],
            steps=json.loads(row["steps_json"] or "[]"),
        )
        for row in rows
    ]


async def find_run(user_id: str) -> RunCard | None:
    """The download of this person that is queued or running."""
    row = await DB.one(
        "SELECT id, state, progress, startedAt, createdAt, attempts FROM queueJobs"
        " WHERE dedupeKey = ? AND dedupeKey IS NOT NULL AND state IN ('queued', 'running')",
        (Download(user_id=user_id, revision=0).dedupe_key(),),
    )
    if row is None:
        return None
    running = row["state"] == "running"
    return RunCard(
        job_id=row["id"],
        started_at=row["startedAt"] or row["createdAt"],
        step=round((row["progress"] or 0) / 20) if running else 0,
        running=running,
        attempts=row["attempts"],
    )


async def read_view(user_id: str, ticket_id: int) -> bytes:
    """The harmless picture of the page; NotFound where the file is gone."""
    return await _read(user_id, ticket_id, document.VIEW)


async def read_code(user_id: str, ticket_id: int) -> bytes:
    """The code as PNG; NotFound where there is none."""
    return await _read(user_id, ticket_id, document.CODE)


async def months(user_id: str) -> list[tuple[str, bool]]:
    """The last twelve months, oldest first: their first day, and whether a ticket covered them."""
    today = _today()
    firsts = [
        date(today.year - (today.month - 1 < n), (today.month - 1 - n) % 12 + 1, 1)
        for n in range(11, -1, -1)
    ]
    rows = await DB.all(
        "SELECT valid_from, valid_to FROM tickets WHERE user_id = ? AND status = 'success'"
        " AND valid_from IS NOT NULL AND valid_to >= ?",
        (user_id, firsts[0].isoformat()),
    )
    return [
        (
            first.isoformat(),
            any(
                row["valid_from"] <= _last_day(first) and row["valid_to"] >= first.isoformat()
                for row in rows
            ),
        )
        for first in firsts
    ]


def _last_day(first: date) -> str:
    return ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).isoformat()


def _today() -> date:
    return clock.now().astimezone(BERLIN).date()


async def _own(user_id: str, ticket_id: int) -> dict[str, Any]:
    if ticket_id > LARGEST_ID:
        raise NotFound
    row = await DB.one(
        f"SELECT {_COLUMNS} FROM tickets t WHERE id = ? AND user_id = ?",  # noqa: S608
        (ticket_id, user_id),
    )
    if row is None:
        raise NotFound
    return row


async def _read(user_id: str, ticket_id: int, name: str) -> bytes:
    row = await _own(user_id, ticket_id)
    folder = PurePosixPath(row["file_path"]).parent
    path = inside(paths.data_dir(), *folder.parts, name)
    return await asyncio.to_thread(read_bytes, path, FILE_LIMIT)


def _state(row: dict[str, Any]) -> tuple[str, str]:
    """Look and word: is it valid today, soon, no longer, or no ticket at all."""
    if row["status"] == "error":
        return "failed", wording(Outcome(row.get("outcome") or Outcome.NOT_A_TICKET)).word
    first, last, today = row["valid_from"], row["valid_to"], _today().isoformat()
    if not last:
        return "held", _("no dates")
    if last < today:
        return "off", _("over")
    return ("planned", _("from then on")) if first and first > today else ("success", _("valid"))


def _card(row: dict[str, Any]) -> TicketCard:
    look, word = _state(row)
    first, last = _day(row["valid_from"]), _day(row["valid_to"])
    left = (last - _today()).days if last else None
    return TicketCard(
        id=row["id"],
        product=row["product"] or _("Semester ticket"),
        holder=row["holder_name"] or "",
        number=row["ticket_number"] or "",
        look=look,
        word=word,
        valid_from=first,
        valid_to=last,
        days_left=left if left is not None and left >= 0 else None,
        days_total=(last - first).days + 1 if first and last else None,
        first_seen=row["created_at"],
        fetched=row["downloaded_at"],
        checked=row["downloaded_at"],
        driver=row["driver"] or "",
        size_bytes=row["size_bytes"] or 0,
        has_code=bool(row["barcode_hash"]),
        checks=_checks(row),
    )


def _row(row: dict[str, Any]) -> TicketRow:
    look, word = _state(row)
    checks = _checks(row)
    passed = sum(check.ok for check in checks)
    return TicketRow(
        id=row["id"],
        valid_from=_day(row["valid_from"]),
        valid_to=_day(row["valid_to"]),
        product=row["product"] or _("Semester ticket"),
        look=look,
        word=word,
        first_seen=row["created_at"],
        checks=_("%(part)s of %(whole)s", part=passed, whole=len(checks)),
        driver=row["driver"] or "",
        size_bytes=row["size_bytes"] or 0,
    )


def _checks(row: dict[str, Any]) -> list[Check]:
    return msgspec.json.decode(row["validation_json"] or "[]", type=list[Check])


def _day(stored: str | None) -> date | None:
    return date.fromisoformat(stored) if stored else None
