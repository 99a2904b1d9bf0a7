"""One moment of the worker in one transaction: write what ended, then claim what fits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from db.connection import Row, fetch
from jobs import log
from jobs.claim import Failed, Fence, claim
from jobs.ending import End, apply
from jobs.insert import Duplicate, SerialBacklogFull
from jobs.outcome import judge
from jobs.registry import Handler, Lane
from jobs.row import Job

_SETTINGS = "SELECT * FROM queueSettings WHERE id=1"
_TYPES = "SELECT type, paused, concurrency, timeoutMs FROM queue_types"
_RUNNING = "SELECT type, count(*) AS n FROM queueJobs WHERE state='running' GROUP BY type"
_MINE = """
SELECT id, attempts, cancelRequestedAt IS NOT NULL AS cancelled FROM queueJobs
WHERE state='running' AND lockedBy=?
"""
_NEXT_DUE = "SELECT runAt FROM queueJobs WHERE state='queued' AND runAt>? ORDER BY runAt LIMIT 1"

LANES: dict[Lane, str] = {
    "heavy": "concurrency",
    "io": "ioConcurrency",
    "long": "longConcurrency",
}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker brings to a turn. `busy`: its slots in use; `alone`: it runs a suspect."""

    worker: str
    handlers: Mapping[str, Handler]
    ends: Sequence[End]
    said: log.Pending
    busy: Counter[Lane]
    alone: bool
    claiming: bool
    lease_ms: int
    now: int


class Claimed(msgspec.Struct, frozen=True):
    """A job to start now."""

    row: Job
    timeout_s: float


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `mine`: this worker's running rows, and whether a cancel is asked for."""

    claimed: list[Claimed]
    mine: dict[Fence, bool]
    next_due: int | None


class Room:
    """Which types may start one more job now: not paused, a free slot, below the type's limit."""

    def __init__(self, ask: Ask, settings: Row, overrides: dict[str, Row], running: Row) -> None:
        self._handlers = ask.handlers
        self._free = {lane: settings[name] - ask.busy[lane] for lane, name in LANES.items()}
        self._limits: dict[str, int | None] = {}
        self._running = Counter(running)
        for type_, handler in ask.handlers.items():
            override = overrides.get(type_, {})
            if not override.get("paused"):
                limit = override.get("concurrency")
                self._limits[type_] = handler.limit if limit is None else limit

    def eligible(self) -> list[str]:
        """The types to claim from."""
        return [type_ for type_, limit in self._limits.items() if self._fits(type_, limit)]

    def take(self, type_: str) -> None:
        """One of this type starts."""
        self._free[self._handlers[type_].lane] -= 1
        self._running[type_] += 1

    def _fits(self, type_: str, limit: int | None) -> bool:
        below = limit is None or self._running[type_] < limit
        return below and self._free[self._handlers[type_].lane] > 0


def turn(connection: apsw.Connection, ask: Ask) -> Turned:
    """Write ends and log lines, claim up to the free slots. Runs on the writer's thread."""
    log.write(connection, ask.said)
    for end in ask.ends:
        _apply(connection, end, ask.now)
    settings = fetch(connection, _SETTINGS)[0]
    overrides = {row["type"]: row for row in fetch(connection, _TYPES)}
    claimed: list[Claimed] = []
    if ask.claiming and not ask.alone and not settings["paused"]:
        claimed = _claim(connection, ask, settings, overrides)
    mine = {
        Fence(row["id"], ask.worker, row["attempts"]): bool(row["cancelled"])
        for row in fetch(connection, _MINE, (ask.worker,))
    }
    due = fetch(connection, _NEXT_DUE, (ask.now,))
    next_due = due[0]["runAt"] if due else None
    return Turned(claimed=claimed, mine=mine, next_due=next_due)


def _apply(connection: apsw.Connection, end: End, now: int) -> None:
    """Write one end; if what should follow cannot be enqueued, the attempt has failed instead."""
    try:
        with connection:
            apply(connection, end, now)
    except (Duplicate, SerialBacklogFull, apsw.ConstraintError) as error:
        failure = judge(error)
        verb = Failed(str(error), failure.code, retryable=True, delay_ms=60_000)
        apply(connection, End(end.fence, verb, end.started_at), now)


def _claim(
    connection: apsw.Connection, ask: Ask, settings: Row, overrides: dict[str, Any]
) -> list[Claimed]:
    """Single claims in a loop: what is eligible changes with each."""
    running = {row["type"]: row["n"] for row in fetch(connection, _RUNNING)}
    room = Room(ask, settings, overrides, running)
    claimed: list[Claimed] = []
    while types := room.eligible():
        row = claim(connection, ask.worker, ask.now, ask.lease_ms, types)
        if row is None:
            break
        room.take(row.type)
        limit_ms = _first(row.timeout_ms, overrides.get(row.type, {}).get("timeoutMs"))
        default_s = ask.handlers[row.type].payload.TIMEOUT_S
        claimed.append(Claimed(row, default_s if limit_ms is None else limit_ms / 1000))
        if row.crashes:
            break  # it may kill us again: nobody else starts while it runs
    return claimed


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
