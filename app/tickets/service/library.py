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
from app.tickets import settings
from app.tickets.outcomes import Outcome
from app.tickets.paper import document
from app.tickets.paper.validate import Check
from app.tickets.payloads import Download, VerifyLogin
from app.tickets.service.wording import wording
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
    has_pdf: bool
    has_file: bool
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
    driver: str = ""
    device: str = ""
    attributes: list[str] = []
    ignored: list[str] = []


class RunCard(msgspec.Struct, frozen=True, kw_only=True):
    """The run under way: `step` counts from 0 (queued) to 5 (saved)."""

    job_id: str
    started_at: int
    step: int
    running: bool
    attempts: int
    check: bool = False
    due_at: int = 0


COLUMNS = """
t.id, t.product, t.holder_name, t.ticket_number, t.status, t.validation_status, t.valid_from,
t.valid_to, t.downloaded_at, t.created_at, t.driver, t.size_bytes, t.barcode_hash, t.file_path,
t.validation_json, t.has_pdf
"""
# Of the versions valid today the one that lasts longest; if none has dates, the newest.
_CURRENT = f"""
SELECT {COLUMNS} FROM tickets t WHERE user_id = :user AND status = 'success'
ORDER BY coalesce(valid_from <= :today AND valid_to >= :today, 0) DESC,
  valid_to IS NULL, valid_to DESC, downloaded_at DESC LIMIT 1
"""  # noqa: S608 - a constant of ours


async def current_ticket(user_id: str) -> TicketCard | None:
    """The ticket to show today, None where there is none at all."""
    row = await DB.one(_CURRENT, {"user": user_id, "today": today().isoformat()})
    return _card(row) if row else None


async def get_ticket(user_id: str, ticket_id: int) -> TicketCard:
    """One version of this person; NotFound for any other."""
    return _card(await own_row(user_id, ticket_id))


async def list_versions(user_id: str, *, limit: int = VERSIONS) -> list[TicketRow]:
    """All versions, those that last longest first."""
    rows = await DB.all(
        f"SELECT {COLUMNS} FROM tickets t WHERE user_id = ?"  # noqa: S608 - a constant of ours
        " ORDER BY valid_to IS NULL, valid_to DESC, downloaded_at DESC, id DESC LIMIT ?",
        (user_id, limit),
    )
    return [ticket_row(row) for row in rows]


async def count_versions(user_id: str) -> int:
    """How many versions this person has."""
    return int(await DB.value("SELECT count(*) FROM tickets WHERE user_id = ?", (user_id,)))


async def list_attempts(
    user_id: str,
    *,
    status: str = "",
    outcome: str = "",
    before: int | None = None,
    limit: int = ATTEMPTS,
) -> list[AttemptRow]:
    """Attempts older than the one with the id `before`, newest first; each filter keeps its own."""
    rows = await DB.all(
        "SELECT id, downloaded_at, outcome, trigger, duration_ms, steps_json, message, driver,"
        " device_profile FROM ticket_download_history WHERE user_id = :user"
        " AND (:status = '' OR status = :status) AND (:outcome = '' OR outcome = :outcome)"
        " AND (:before IS NULL OR (downloaded_at, id) < (SELECT o.downloaded_at, o.id"
        " FROM ticket_download_history o WHERE o.id = :before))"
        " ORDER BY downloaded_at DESC, id DESC LIMIT :limit",
        {
            "user": user_id,
            "status": status,
            "outcome": outcome,
            "before": before,
            "limit": limit,
        },
    )
    return [attempt_row(row) for row in rows]


def attempt_row(row: dict[str, Any]) -> AttemptRow:
    """A stored attempt as one line of a history."""
    return AttemptRow(
        id=row["id"],
        at=row["downloaded_at"],
        outcome=row["outcome"] or "",
        trigger=row["trigger"] or "",
        ms=row["duration_ms"],
        steps=json.loads(row["steps_json"] or "[]"),
        driver=row["driver"] or "",
        device=row["device_profile"] or "",
        **_told(row["message"]),
    )


async def list_outcomes(user_id: str) -> list[str]:
    """The outcomes that occur in a person's history."""
    rows = await DB.all(
        "SELECT DISTINCT outcome FROM ticket_download_history WHERE user_id = ?"
        " AND outcome IS NOT NULL",
        (user_id,),
    )
    return [row["outcome"] for row in rows]


async def last_released(user_id: str) -> list[str]:
    """What the university asked to release, the last time it asked."""
    message = await DB.value(
        "SELECT message FROM ticket_download_history WHERE user_id = ?"
        " AND json_valid(message) AND message ->> '$.attributes' <> '[]' ORDER BY id DESC LIMIT 1",
        (user_id,),
    )
    return _told(message).get("attributes", [])


async def portal_url() -> str:
    """Where the original stands."""
    return str(await settings.get("portal_url"))


def _told(message: str | None) -> dict[str, list[str]]:
    """What a line says beside its outcome: attributes released, fields of the device ignored."""
    try:
        told = json.loads(message or "{}")
    except ValueError:  # an imported line may hold a sentence
        return {}
    return {name: list(told.get(name, [])) for name in ("attributes", "ignored")}


async def find_run(user_id: str) -> RunCard | None:
    """The download or login check of this person that is queued or running."""
    row = await DB.one(
        "SELECT id, type, state, progress, startedAt, createdAt, runAt, attempts FROM queueJobs"
        " WHERE dedupeKey IN (?, ?) AND dedupeKey IS NOT NULL AND state IN ('queued', 'running')"
        " ORDER BY state = 'running' DESC, runAt LIMIT 1",
        (
            Download(user_id=user_id, revision=0).dedupe_key(),
            VerifyLogin(user_id=user_id, revision=0).dedupe_key(),
        ),
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
        check=row["type"] == VerifyLogin.TYPE,
        due_at=row["runAt"],
    )


async def read_view(user_id: str, ticket_id: int) -> bytes:
    """The harmless picture of the page; NotFound where the file is gone."""
    return await _read(user_id, ticket_id, document.VIEW)


async def read_code(user_id: str, ticket_id: int) -> bytes:
    """The code as PNG; NotFound where there is none."""
    return await _read(user_id, ticket_id, document.CODE)


async def read_pdf(user_id: str, ticket_id: int) -> bytes:
    """The page as the browser printed it; NotFound where there is none."""
    return await _read(user_id, ticket_id, document.PDF)


async def months(user_id: str) -> list[tuple[str, bool]]:
    """The last twelve months, oldest first: their first day, and whether a ticket covered them."""
    now = today()
    firsts = [
        date(now.year - (now.month - 1 < n), (now.month - 1 - n) % 12 + 1, 1)
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


def today() -> date:
    """The day in Berlin, where tickets are valid."""
    return clock.now().astimezone(BERLIN).date()


async def own_row(user_id: str, ticket_id: int) -> dict[str, Any]:
    """A version as it is stored; NotFound for another person's."""
    if ticket_id > LARGEST_ID:
        raise NotFound
    row = await DB.one(
        f"SELECT {COLUMNS} FROM tickets t WHERE id = ? AND user_id = ?",  # noqa: S608
        (ticket_id, user_id),
    )
    if row is None:
        raise NotFound
    return row


async def _read(user_id: str, ticket_id: int, name: str) -> bytes:
    row = await own_row(user_id, ticket_id)
    folder = PurePosixPath(row["file_path"]).parent
    path = inside(paths.data_dir(), *folder.parts, name)
    return await asyncio.to_thread(read_bytes, path, FILE_LIMIT)


def _exists(row: dict[str, Any], name: str) -> bool:
    folder = PurePosixPath(row["file_path"]).parent
    return (paths.data_dir() / folder / name).is_file()


def _state(row: dict[str, Any]) -> tuple[str, str]:
    """Look and word: is it valid today, soon, no longer, or no ticket at all."""
    if row["status"] == "error":
        return "failed", wording(Outcome(row.get("outcome") or Outcome.NOT_A_TICKET)).word
    first, last, day = row["valid_from"], row["valid_to"], today().isoformat()
    if not last:
        return "held", _("no dates")
    if last < day:
        return "off", _("over")
    return ("planned", _("from then on")) if first and first > day else ("success", _("valid"))


def _card(row: dict[str, Any]) -> TicketCard:
    look, word = _state(row)
    first, last = _day(row["valid_from"]), _day(row["valid_to"])
    left = (last - today()).days if last else None
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
        has_code=_exists(row, document.CODE),
        has_pdf=bool(row["has_pdf"]),
        has_file=_exists(row, document.VIEW),
        checks=_checks(row),
    )


def ticket_row(row: dict[str, Any]) -> TicketRow:
    """A stored version as one line of a list."""
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
