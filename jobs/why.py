"""What holds waiting jobs back at this moment: read once, then asked about any number of jobs.

Also the states as people see them (queue.md 2.2), as conditions on a row `j` of `queueJobs`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import apsw
import msgspec

from db import clock
from db.connection import Row, fetch, fetch_value
from jobs import rates
from jobs.registry import REGISTRY, Registry
from jobs.run import ALONE_MS
from jobs.turn import LANES

_SETTINGS = "SELECT * FROM queueSettings WHERE id=1"
_TYPES = "SELECT type, paused, concurrency FROM queue_types"
_RUNNING = "SELECT type, count(*) AS n FROM queueJobs WHERE state='running' GROUP BY +type"
_SUSPECT = """
SELECT id FROM queueJobs WHERE state='running' AND crashes>0 AND startedAt>? LIMIT 1
"""

HOLDER = """(SELECT r.id FROM queueJobs r
  WHERE r.state='running' AND r.serialKey IS NOT NULL AND r.serialKey=j.serialKey)"""
_HELD = f"""(:stopped OR j.type IN (SELECT value FROM json_each(:held))
  OR j.type NOT IN (SELECT value FROM json_each(:known))
  OR coalesce(j.rateKey,'') IN (SELECT value FROM json_each(:closed)) OR {HOLDER} IS NOT NULL)"""  # noqa: S608 - our words
_STALE = "j.lockExpiresAt<:now"

# In the order of a job's life. Each is one state of the row and a condition: exactly one holds.
STATES: dict[str, str] = {
    "ready": f"j.state='queued' AND j.attempts=0 AND j.runAt<=:now AND NOT {_HELD}",
    "waiting": f"j.state='queued' AND j.attempts=0 AND j.runAt<=:now AND {_HELD}",
    "scheduled": "j.state='queued' AND j.attempts=0 AND j.runAt>:now AND j.snoozes=0",
    "snoozed": "j.state='queued' AND j.attempts=0 AND j.runAt>:now AND j.snoozes>0",
    "retrying": "j.state='queued' AND j.attempts>0",
    "running": f"j.state='running' AND j.cancelRequestedAt IS NULL AND NOT {_STALE}",
    "cancelling": "j.state='running' AND j.cancelRequestedAt IS NOT NULL",
    "stalled": f"j.state='running' AND j.cancelRequestedAt IS NULL AND {_STALE}",
    "succeeded": "j.state='succeeded' AND j.finishedAt IS NOT NULL",
    "failed": "j.state='failed' AND j.finishedAt IS NOT NULL",
    "cancelled": "j.state='cancelled' AND j.finishedAt IS NOT NULL",
}
SHOWN = "CASE " + " ".join(f"WHEN {rule} THEN '{name}'" for name, rule in STATES.items()) + " END"

Why = Literal[
    "not_queued",
    "unknown_type",
    "paused",
    "type_paused",
    "scheduled",
    "type_limit",
    "lane_full",
    "serial",
    "rate",
    "suspect_running",
]


class Reason(msgspec.Struct, frozen=True):
    """One thing that holds a job back; `holder` is the job it waits for, `until` a time in ms."""

    why: Why
    detail: str = ""
    holder: str | None = None
    until: int | None = None


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses, limits and closed gates as they stand. `args` are what `STATES` and `SHOWN` ask."""

    now: int
    paused: str | None
    paused_types: frozenset[str]
    full_types: Mapping[str, int]
    full_lanes: frozenset[str]
    closed: Mapping[str, int]
    suspect: str | None
    registry: Registry
    args: dict[str, Any]

    def reasons(self, row: Row) -> list[Reason]:
        """What keeps a queued row (with its `holder`) from starting now; empty: nothing does."""
        found = []
        if row["runAt"] > self.now:
            found.append(Reason("scheduled", until=row["runAt"]))
        if self.paused is not None:
            found.append(Reason("paused", self.paused))
        if row["type"] in self.paused_types:
            found.append(Reason("type_paused", row["type"]))
        if row["holder"]:
            found.append(Reason("serial", row["serialKey"], holder=row["holder"]))
        if row["rateKey"] in self.closed:
            found.append(Reason("rate", row["rateKey"], until=self.closed[row["rateKey"]]))
        if self.suspect:
            found.append(Reason("suspect_running", holder=self.suspect))
        handler = self.registry.handlers.get(row["type"])
        if handler is None:
            return [*found, Reason("unknown_type", row["type"])]
        if row["type"] in self.full_types:
            found.append(Reason("type_limit", str(self.full_types[row["type"]])))
        if handler.lane in self.full_lanes:
            found.append(Reason("lane_full", handler.lane))
        return found


def situation(connection: apsw.Connection, registry: Registry = REGISTRY) -> Situation:
    """How things stand now; five short reads."""
    now = clock.ms()
    settings = fetch(connection, _SETTINGS)[0]
    overrides = {row["type"]: row for row in fetch(connection, _TYPES)}
    running = {row["type"]: row["n"] for row in fetch(connection, _RUNNING)}
    paused_types = frozenset(name for name, row in overrides.items() if row["paused"])
    full_types, busy = {}, dict.fromkeys(LANES, 0)
    for name, handler in registry.handlers.items():
        limit = overrides.get(name, {}).get("concurrency")
        limit = handler.limit if limit is None else limit
        if limit is not None and running.get(name, 0) >= limit:
            full_types[name] = limit
        busy[handler.lane] += running.get(name, 0)
    closed = rates.closed(connection, now)
    suspect = fetch_value(connection, _SUSPECT, (now - ALONE_MS,))
    held = [*paused_types, *full_types]
    return Situation(
        now=now,
        paused=(settings["pausedReason"] or "") if settings["paused"] else None,
        paused_types=paused_types,
        full_types=full_types,
        full_lanes=frozenset(lane for lane, n in busy.items() if n >= settings[LANES[lane]]),
        closed=closed,
        suspect=suspect,
        registry=registry,
        args={
            "now": now,
            "stopped": bool(settings["paused"] or suspect),
            "held": msgspec.json.encode(held).decode(),
            "known": msgspec.json.encode(list(registry.handlers)).decode(),
            "closed": msgspec.json.encode(list(closed)).decode(),
        },
    )
