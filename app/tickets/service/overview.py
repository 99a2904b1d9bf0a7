"""What admins see of all tickets: numbers, days, outcomes, health. Never a ticket's text."""

import json
from datetime import timedelta
from typing import Any

import msgspec

from app.tickets.outcomes import Outcome
from app.tickets.service import library
from app.tickets.service.library import AttemptRow
from db import clock
from db.engine import DB

DAYS = 30
EXPIRING_DAYS = 3
WINDOWS = {"24h": 1, "7d": 7, "30d": 30}
PORTAL_TYPES = ("tickets.download", "tickets.verify_login", "tickets.check_base")


class Tiles(msgspec.Struct, frozen=True, kw_only=True):
    """People by how they stand. Somebody may be in two of them."""

    people: int
    valid: int
    expiring: int
    failing: int
    blocked: int


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day in Berlin. `answer_ms`: mean time of the portal's answers, None without any."""

    day: str
    success: int
    duplicate: int
    error: int
    answer_ms: float | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Portal jobs that wait or run, and when the last of them will be done at this pace."""

    queued: int
    running: int


_TILES = """
WITH p AS (
  SELECT u.id, c.blocked_at IS NOT NULL AS blocked,
    (SELECT max(t.valid_to) FROM tickets t WHERE t.user_id = u.id AND t.status = 'success'
       AND t.valid_from <= :today AND t.valid_to >= :today) AS until,
    (SELECT h.status FROM ticket_download_history h WHERE h.user_id = u.id
       ORDER BY h.downloaded_at DESC, h.id DESC LIMIT 1) AS last
  FROM users u JOIN user_credentials c ON c.user_id = u.id
  WHERE u.is_active = 1 AND u.deleted_at IS NULL)
SELECT count(*) AS people, count(until) AS valid,
  count(*) FILTER (WHERE until <= :soon) AS expiring,
  count(*) FILTER (WHERE last = 'error') AS failing,
  count(*) FILTER (WHERE blocked) AS blocked FROM p
"""
_DAYS = """
SELECT date(downloaded_at, :shift) AS day,
  count(*) FILTER (WHERE status = 'success') AS success,
  count(*) FILTER (WHERE status = 'duplicate') AS duplicate,
  count(*) FILTER (WHERE status = 'error') AS error
FROM ticket_download_history WHERE downloaded_at >= :since GROUP BY day
"""
_ANSWERS = """
SELECT date(h.downloaded_at, :shift) AS day, avg(s.value ->> 'ms') AS ms
FROM ticket_download_history h, json_each(h.steps_json) s
WHERE h.downloaded_at >= :since AND s.value ->> 'status' > 0 GROUP BY day
"""
_OUTCOMES = """
SELECT outcome, status, count(*) AS times, count(DISTINCT user_id) AS people,
  max(downloaded_at) AS newest FROM ticket_download_history
WHERE downloaded_at >= ? AND status = 'error' GROUP BY outcome ORDER BY times DESC
"""
_SHAPES = """
SELECT e.created_at AS at, e.metadata FROM job_events e
WHERE e.message = 'portal changed' ORDER BY e.id DESC LIMIT 1
"""


async def tiles() -> Tiles:
    """The four numbers on top."""
    today = library.today()
    soon = (today + timedelta(days=EXPIRING_DAYS)).isoformat()
    row = await DB.one(_TILES, {"today": today.isoformat(), "soon": soon})
    return msgspec.convert(row, Tiles)


async def days(count: int = DAYS) -> list[Day]:
    """The last days, oldest first, those without attempts too."""
    today = library.today()
    offset = clock.now().astimezone(library.BERLIN).utcoffset() or timedelta()
    args = {
        "shift": f"{offset.total_seconds() / 60:+.0f} minutes",
        "since": clock.text(clock.now() - timedelta(days=count)),
    }
    found = {row["day"]: row for row in await DB.all(_DAYS, args)}
    answers = {row["day"]: row["ms"] for row in await DB.all(_ANSWERS, args)}
    listed = [(today - timedelta(days=n)).isoformat() for n in range(count - 1, -1, -1)]
    empty = {"success": 0, "duplicate": 0, "error": 0}
    return [
        msgspec.convert(
            {**empty, **found.get(day, {}), "day": day, "answer_ms": answers.get(day)}, Day
        )
        for day in listed
    ]


async def waiting() -> Waiting:
    """Portal jobs in the queue."""
    row = await DB.one(
        "SELECT count(*) FILTER (WHERE state = 'queued') AS queued,"
        " count(*) FILTER (WHERE state = 'running') AS running FROM queueJobs"
        " WHERE state IN ('queued', 'running') AND type IN (?, ?, ?)",
        PORTAL_TYPES,
    )
    return msgspec.convert(row, Waiting)


async def list_attempts(
    *, window: str = "7d", outcome: str = "", before: int | None = None, limit: int = 50
) -> list[tuple[str, AttemptRow]]:
    """All people's attempts with their names, newest first. Traces hold no words of a ticket."""
    since = clock.text(clock.now() - timedelta(days=WINDOWS.get(window, 7)))
    rows = await DB.all(
        "SELECT h.id, h.downloaded_at, h.outcome, h.trigger, h.duration_ms, h.steps_json,"
        " h.message, h.driver, h.device_profile, u.login FROM ticket_download_history h"
        " LEFT JOIN users u ON u.id = h.user_id WHERE h.downloaded_at >= :since"
        " AND (:outcome = '' OR h.outcome = :outcome) AND (:before IS NULL OR"
        " (h.downloaded_at, h.id) < (SELECT o.downloaded_at, o.id"
        " FROM ticket_download_history o WHERE o.id = :before))"
        " ORDER BY h.downloaded_at DESC, h.id DESC LIMIT :limit",
        {"since": since, "outcome": outcome, "before": before, "limit": limit},
    )
    return [(row["login"] or "", library.attempt_row(row)) for row in rows]


async def list_errors(window: str = "7d") -> list[dict[str, Any]]:
    """Failed attempts grouped by their outcome, the most frequent first."""
    since = clock.text(clock.now() - timedelta(days=WINDOWS.get(window, 7)))
    return await DB.all(_OUTCOMES, (since,))


async def find_redesign() -> dict[str, Any] | None:
    """The newest page nobody knew: when, its shape, and the shapes of the last good run."""
    row = await DB.one(_SHAPES)
    if row is None:
        return None
    told = json.loads(row["metadata"] or "{}")
    return {"at": row["at"], "old": told.get("old", ""), "new": told.get("new", "")}


def known_outcome(code: str) -> str:
    """The code if there is such an outcome, else empty."""
    return code if code in set(Outcome) else ""
