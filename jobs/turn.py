"""One moment of the worker in one transaction: write what ended, then claim what fits."""

from collections import Counter
from collections.abc import Mapping, Sequence

import apsw
import msgspec

from db import clock
from db.connection import Row, fetch, fetch_value
from jobs import history, log, rates
from jobs.claim import Failed, Fence, PutBack, claim, finish
from jobs.ending import End, apply
from jobs.insert import Duplicate, SerialBacklogFull
from jobs.outcome import judge
from jobs.registry import Handler, Lane, Registry
from jobs.row import Job
from jobs.schedule import fire_due

_SETTINGS = "SELECT * FROM queueSettings WHERE id=1"
_TYPES = "SELECT type, paused, concurrency, timeoutMs FROM queue_types"
# +type: grouping by the bare column would walk the index of all rows that ever were.
_RUNNING = "SELECT type, count(*) FROM queueJobs WHERE state='running' GROUP BY +type"
_MINE = """
SELECT id, attempts, cancelRequestedAt IS NOT NULL AS cancelled FROM queueJobs
WHERE state='running' AND lockedBy=?
"""
_NEXT_DUE = "SELECT runAt FROM queueJobs WHERE state='queued' AND runAt>? ORDER BY runAt LIMIT 1"

MOST_REFUSED = 100  # rows a rate may turn away in one turn; the next turn follows at once
SPREAD_MS = 100
MOST_SPREAD_MS = 60_000

LANES: dict[Lane, str] = {
    "heavy": "concurrency",
    "io": "ioConcurrency",
    "long": "longConcurrency",
}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker brings to a turn. `busy`: its slots in use.

    `alone_until`: a job runs that a worker has died under; nobody else may start before.
    """

    worker: str
    registry: Registry
    handlers: Mapping[str, Handler]
    rate_keys: Mapping[str, str | None]
    ends: Sequence[End]
    said: log.Pending | None
    tally: history.Cells
    busy: Counter[Lane]
    alone_until: int
    claiming: bool
    lease_ms: int


class Claimed(msgspec.Struct, frozen=True):
    """A job to start now."""

    row: Job
    timeout_s: float


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `mine`: this worker's running rows, and whether a cancel is asked for.

    `next_at`: when a job or a schedule is due next, or a rate lets go of what is due already.
    """

    claimed: list[Claimed]
    ended: list[tuple[End, Job]]
    mine: dict[Fence, bool]
    next_at: int | None


class Room:
    """Which types may start one more job now.

    Those that are not paused, have a free slot, are below their limit and whose rate is open.
    """

    def __init__(
        self, ask: Ask, settings: Row, overrides: dict[str, Row], running: dict[str, int]
    ) -> None:
        self._handlers = ask.handlers
        self._free = {lane: settings[name] - ask.busy[lane] for lane, name in LANES.items()}
        self._limits: dict[str, int | None] = {}
        self._running: Counter[str] = Counter(running)
        self._rate_keys = ask.rate_keys
        self.closed: dict[str, int] = {}  # rate keys and when they open
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
        free = self._free[self._handlers[type_].lane] > 0
        return below and free and self._rate_keys[type_] not in self.closed


def turn(connection: apsw.Connection, ask: Ask) -> Turned:
    """Write ends and log lines, claim up to the free slots. Runs on the writer's thread."""
    now = clock.ms()
    log.write(connection, ask.said)
    history.write(connection, ask.tally)
    ended = [(end, row) for end in ask.ends if (row := _apply(connection, end, now))]
    next_fire = fire_due(connection, ask.registry, now)
    settings = fetch(connection, _SETTINGS)[0]
    alone = ask.alone_until > now
    claimed: list[Claimed] = []
    opens: int | None = None
    if ask.claiming and not alone and not settings["paused"]:
        claimed, opens = _claim(connection, ask, settings, now)
    mine = {
        Fence(id_, ask.worker, attempts): bool(cancelled)
        for id_, attempts, cancelled in connection.execute(_MINE, (ask.worker,))
    }
    due = fetch_value(connection, _NEXT_DUE, (now,))
    moments = [due, next_fire, opens, ask.alone_until if alone else None]
    next_at = min((moment for moment in moments if moment is not None), default=None)
    return Turned(claimed=claimed, ended=ended, mine=mine, next_at=next_at)


def _apply(connection: apsw.Connection, end: End, now: int) -> Job | None:
    """Write one end; if what should follow cannot be enqueued, the attempt has failed instead."""
    try:
        with connection:
            row = apply(connection, end, now)
    except (Duplicate, SerialBacklogFull, apsw.ConstraintError) as error:
        failure = judge(error)
        verb = Failed(str(error), failure.code, retryable=True, delay_ms=60_000)
        row = apply(connection, End(end.fence, verb, end.started_at), now)
    return row


def _claim(
    connection: apsw.Connection, ask: Ask, settings: Row, now: int
) -> tuple[list[Claimed], int | None]:
    """Single claims in a loop: what is eligible changes with each. Also when a rate opens."""
    overrides = {row["type"]: row for row in fetch(connection, _TYPES)}
    running = {str(type_): int(n) for type_, n in connection.execute(_RUNNING)}
    room = Room(ask, settings, overrides, running)
    for key in set(ask.rate_keys.values()) - {None}:
        _close(connection, room, str(key), now)
    claimed: list[Claimed] = []
    refused: Counter[str] = Counter()
    while (types := room.eligible()) and refused.total() < MOST_REFUSED:
        row = claim(connection, ask.worker, now, ask.lease_ms, types)
        if row is None:
            break
        if row.rate_key and not _allowed(connection, ask, row, refused, now):
            continue
        if row.rate_key and row.rate_key == ask.rate_keys[row.type]:
            _close(connection, room, row.rate_key, now)
        room.take(row.type)
        limit_ms = _first(row.timeout_ms, overrides.get(row.type, {}).get("timeoutMs"))
        default_s = ask.handlers[row.type].payload.TIMEOUT_S
        claimed.append(Claimed(row, default_s if limit_ms is None else limit_ms / 1000))
        if row.crashes:
            break  # it may kill us again: nobody else starts while it runs
    more = [now] if refused.total() == MOST_REFUSED else []
    return claimed, min([*room.closed.values(), *more], default=None)


def _close(connection: apsw.Connection, room: Room, key: str, now: int) -> None:
    """Leave the types of a key out until its bucket opens, if it is closed."""
    opens = rates.opens_at(connection, key, now)
    if opens is not None and opens > now:
        room.closed[key] = opens


def _allowed(
    connection: apsw.Connection, ask: Ask, row: Job, refused: Counter[str], now: int
) -> bool:
    """Take a token for a claimed row; without one put it back to when its bucket opens.

    Rows of one bucket are put back one behind the other, so that each is moved about once; but
    not far: an admin may open the bucket, or make it wider.
    """
    key = str(row.rate_key)
    opens = rates.take(connection, ask.registry.rates, key, now)
    if opens is None:
        return True
    delay_ms = opens - now
    behind_ms = min(refused[key] * SPREAD_MS, max(0, MOST_SPREAD_MS - delay_ms))
    refused[key] += 1
    fence = Fence(row.id, ask.worker, row.attempts)
    finish(connection, fence, PutBack(delay_ms + behind_ms), now)
    return False


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
