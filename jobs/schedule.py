"""Recurring work: which schedules are due, and that none fires twice.

The key of `job_fires` is (schedule, time): whatever restarts, second processes and clocks do, one
firing is one row, and its job is written in the same transaction.
"""

import random
from typing import Any

import apsw
import msgspec
import structlog

from db import clock
from db.connection import execute, fetch, fetch_value
from db.engine import DB
from db.failpoints import failpoint
from jobs.cron import AT_BOOT, Times
from jobs.insert import Duplicate, Enqueued, SerialBacklogFull, draft, put
from jobs.registry import REGISTRY, Registry, Schedule

__all__ = ["Schedule", "Times", "schedule", "tick"]

log = structlog.get_logger("jobs")

schedule = REGISTRY.schedule
tick = REGISTRY.tick

LATE_MS = 60_000  # older than this a due time counts as missed

_DUE = "SELECT * FROM job_schedules WHERE enabled=1 AND nextFireAt<=? ORDER BY nextFireAt"
_NEXT = "SELECT min(nextFireAt) FROM job_schedules WHERE enabled=1"
_FIRE = """
INSERT INTO job_fires(scheduleId, fireAt, outcome, firedAt) VALUES(?1, ?2, ?3, ?4)
ON CONFLICT DO NOTHING RETURNING 1
"""
_FIRED = "UPDATE job_fires SET jobId=?3, outcome=?4 WHERE scheduleId=?1 AND fireAt=?2"
_LIVE = """
SELECT 1 FROM queueJobs WHERE id=? AND state IN ('queued','running')
"""
_LAST = "UPDATE job_schedules SET lastJobId=?2 WHERE id=?1"
_ADVANCE = """
UPDATE job_schedules SET nextFireAt=?2, lastFireAt=?3, updatedAt=?4 WHERE id=?1
"""
_KNOWN = "SELECT * FROM job_schedules"
_NEW = """
INSERT INTO job_schedules(id, type, payloadJson, cron, everyMs, timezone, jitterMs, catchUp,
  overlap, nextFireAt, updatedAt)
VALUES(:id, :type, :payload, :cron, :every_ms, :timezone, :jitter_ms, :catch_up, :overlap, :next,
  :now)
ON CONFLICT(id) DO UPDATE SET type=:type, payloadJson=:payload, cron=:cron, everyMs=:every_ms,
  timezone=:timezone, jitterMs=:jitter_ms, catchUp=:catch_up, overlap=:overlap, nextFireAt=:next,
  updatedAt=:now
"""
_GONE = "UPDATE job_schedules SET nextFireAt=NULL, updatedAt=?2 WHERE id=?1"
_ENABLE = "UPDATE job_schedules SET enabled=?2, nextFireAt=?3, updatedAt=?4 WHERE id=?1"
_RETIME = """
UPDATE job_schedules SET cron=?2, everyMs=?3, timezone=?4, source=?5, nextFireAt=?6, updatedAt=?7
WHERE id=?1
"""


# ---- inside a write ----


def sync(connection: apsw.Connection, registry: Registry) -> None:
    """At boot: new schedules added, changed ones updated, those the code lost stopped.

    Whether one is enabled, and the times an admin set for it, stay.
    """
    now = clock.ms()
    known = {row["id"]: row for row in fetch(connection, _KNOWN)}
    for spec in registry.schedules.values():
        row = known.pop(spec.name, None)
        times = times_of(row) if row and row["source"] == "user" else declared(spec)
        same = row is not None and times == times_of(row) and row["nextFireAt"] is not None
        columns = {
            "id": spec.name,
            "type": spec.payload.TYPE,
            "payload": spec.payload.encode(),
            **msgspec.to_builtins(times),
            "jitter_ms": round(spec.jitter_s * 1000),
            "catch_up": spec.catch_up,
            "overlap": spec.overlap,
            "next": row["nextFireAt"] if row and same else _first(times, now),
            "now": now,
        }
        execute(connection, _NEW, columns)
    for name in known:
        execute(connection, _GONE, (name, now))


def fire_due(connection: apsw.Connection, registry: Registry, now: int) -> int | None:
    """Fire every schedule that is due; returns when the next one is."""
    for row in fetch(connection, _DUE, (now,)):
        spec = registry.schedules.get(row["id"])
        if spec is None:  # of another version of the program, which looks after it itself
            continue
        try:
            with connection:
                _fire(connection, spec, row, now)
        except Exception:  # a payload that cannot be stored, say: no other schedule may suffer
            log.exception("schedule.failed", schedule=row["id"])
            execute(connection, _ADVANCE, (row["id"], times_of(row).after(now), now, now))
    found: int | None = fetch_value(connection, _NEXT)
    return found


def _fire(connection: apsw.Connection, spec: Schedule, row: dict[str, Any], now: int) -> None:
    times = times_of(row)
    due = times.between(row["nextFireAt"], now)
    live = row["overlap"] == "skip" and connection.execute(_LIVE, (row["lastJobId"],)).fetchall()
    for at in due if row["catchUp"] == "all" else due[-1:]:
        if row["catchUp"] == "skip" and at < now - LATE_MS:
            connection.execute(_FIRE, (spec.name, at, "skipped_late", now)).fetchall()
        elif live:
            connection.execute(_FIRE, (spec.name, at, "skipped_overlap", now)).fetchall()
        elif connection.execute(_FIRE, (spec.name, at, "enqueued", now)).fetchall():
            failpoint("schedule_between")
            _enqueue(connection, spec, at, "enqueued")
    execute(connection, _ADVANCE, (spec.name, times.after(max(now, due[-1])), due[-1], now))


def _enqueue(connection: apsw.Connection, spec: Schedule, at: int, outcome: str) -> Enqueued | None:
    """Write the job of a firing whose row is there; None if its serial key has no room."""
    jitter = round(random.random() * spec.jitter_s * 1000)  # noqa: S311 - spreads load only
    wish = draft(spec.payload, run_at=at + (jitter if outcome == "enqueued" else 0))
    wish.columns["scheduleId"] = spec.name
    try:
        done = put(connection, wish)
    except Duplicate as error:
        done = Enqueued(error.holder_id, deduped=True)
    except SerialBacklogFull:
        execute(connection, _FIRED, (spec.name, at, None, "skipped_overlap"))
        return None
    told = "deduped" if done.deduped and outcome == "enqueued" else outcome
    execute(connection, _FIRED, (spec.name, at, done.id, told))
    execute(connection, _LAST, (spec.name, done.id))
    return done


# ---- for people ----


async def run_now(name: str, registry: Registry = REGISTRY) -> Enqueued | None:
    """Ask for a schedule's job now; its times stay as they are. Raises KeyError."""
    spec = registry.schedules[name]

    def write(connection: apsw.Connection) -> Enqueued | None:
        now = clock.ms()
        connection.execute(_FIRE, (name, now, "manual", now)).fetchall()
        return _enqueue(connection, spec, now, "manual")

    return await DB.write(write)


async def enable(name: str, on: bool) -> bool:
    """Let a schedule fire or not; False if there is none of that name."""
    row = await DB.one("SELECT * FROM job_schedules WHERE id=?", (name,))
    if row is None:
        return False
    now = clock.ms()
    upcoming = times_of(row).after(now) if on else row["nextFireAt"]
    return bool(await DB.execute(_ENABLE, (name, on, upcoming, now)))


async def retime(name: str, cron: str, timezone: str) -> bool:
    """Let an admin's times stand over the code's, also over upgrades. Raises ValueError."""
    times = Times(cron=cron, timezone=timezone)
    times.check()
    return await _retime(name, times, "user")


async def restore(name: str, registry: Registry = REGISTRY) -> bool:
    """Back to the times the code says."""
    return await _retime(name, declared(registry.schedules[name]), "code")


async def _retime(name: str, times: Times, source: str) -> bool:
    now = clock.ms()
    told = (times.cron, times.every_ms, times.timezone, source, times.after(now), now)
    return bool(await DB.execute(_RETIME, (name, *told)))


# ---- small things ----


def times_of(row: dict[str, Any]) -> Times:
    """The times of a stored schedule."""
    return Times(cron=row["cron"], every_ms=row["everyMs"], timezone=row["timezone"])


def declared(spec: Schedule) -> Times:
    """The times the code says."""
    every_ms = None if spec.every_s is None else round(spec.every_s * 1000)
    return Times(cron=spec.cron, every_ms=every_ms, timezone=spec.timezone)


def _first(times: Times, now: int) -> int | None:
    return now if times.cron == AT_BOOT else times.after(now)
