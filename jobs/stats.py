"""Reading the queue: one job, a page of jobs, counts, and why a job is not running now."""

import asyncio
import contextlib
from typing import Literal, TypedDict, Unpack

import apsw
import msgspec

from db import changes, clock
from db.changes import Change
from db.connection import Row, fetch, fetch_value
from db.engine import DB
from jobs import rates
from jobs.registry import REGISTRY, Registry
from jobs.row import Job, State, job, jobs
from jobs.run import ALONE_MS
from jobs.turn import LANES

CAP = 10_000  # finished jobs are counted up to here, then shown as "10,000+"

_GET = "SELECT * FROM queueJobs WHERE id=?"
_QUEUED = "SELECT count(*) FROM queueJobs WHERE state='queued'"
_SCHEDULED = "SELECT count(*) FROM queueJobs WHERE state='queued' AND runAt>?"
_RUNNING = "SELECT count(*) FROM queueJobs WHERE state='running'"
_FINISHED = {
    "succeeded": """SELECT count(*) FROM (SELECT 1 FROM queueJobs
        WHERE state='succeeded' AND finishedAt IS NOT NULL LIMIT 10000)""",
    "failed": """SELECT count(*) FROM (SELECT 1 FROM queueJobs
        WHERE state='failed' AND finishedAt IS NOT NULL LIMIT 10000)""",
    "cancelled": """SELECT count(*) FROM (SELECT 1 FROM queueJobs
        WHERE state='cancelled' AND finishedAt IS NOT NULL LIMIT 10000)""",
}
_SETTINGS = "SELECT * FROM queueSettings WHERE id=1"
_TYPE = "SELECT * FROM queue_types WHERE type=?"
_SERIAL_HOLDER = """
SELECT id FROM queueJobs WHERE state='running' AND serialKey IS NOT NULL AND serialKey=?
"""
_RUNNING_TYPES = "SELECT type, count(*) AS n FROM queueJobs WHERE state='running' GROUP BY +type"
_SUSPECT = """
SELECT id FROM queueJobs WHERE state='running' AND crashes>0 AND startedAt>? LIMIT 1
"""


class Counts(msgspec.Struct, frozen=True):
    """How many jobs are in each state; finished ones at most 10,000. Scheduled ones are queued."""

    queued: int
    scheduled: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class Filter(TypedDict, total=False):
    """Which jobs to list."""

    type: str | None
    state: State | None
    project_id: str | None
    owner: str | None
    subject: tuple[str, str] | None
    batch: str | None
    parent: str | None


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


_WHERE = {
    "type": "type=:type",
    "state": "state=:state",
    "project_id": "projectId=:project_id",
    "owner": "ownerUserId=:owner",
    "subject": "subjectType=:noun AND subjectId=:key",
    "batch": "batchId=:batch",
    "parent": "parentId=:parent",
}


async def get(job_id: str) -> Job | None:
    """One job, or None."""
    return await DB.read(lambda connection: job(connection, _GET, (job_id,)))


async def list_jobs(
    *, cursor: str | None = None, limit: int = 50, **wanted: Unpack[Filter]
) -> list[Job]:
    """Newest first; `cursor` is the id of the last job of the page before."""
    given = {key: value for key, value in wanted.items() if value is not None}
    terms = [_WHERE[name] for name in given] + (["id<:cursor"] if cursor else [])
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    noun, key = wanted.get("subject") or (None, None)
    args = {**given, "subject": None, "noun": noun, "key": key, "cursor": cursor, "limit": limit}
    sql = f"SELECT * FROM queueJobs {where} ORDER BY id DESC LIMIT :limit"  # noqa: S608 - our words
    return await DB.read(lambda connection: jobs(connection, sql, args))


async def counts() -> Counts:
    """The six numbers on top of the page."""

    def read(connection: apsw.Connection) -> Counts:
        done = {state: fetch_value(connection, sql) for state, sql in _FINISHED.items()}
        return Counts(
            queued=fetch_value(connection, _QUEUED),
            scheduled=fetch_value(connection, _SCHEDULED, (clock.ms(),)),
            running=fetch_value(connection, _RUNNING),
            **done,
        )

    return await DB.read(read)


async def wait(job_id: str, timeout_s: float = 10.0) -> Job:
    """The job once it has ended; raises TimeoutError. For tests and short waits of a person."""
    stirred = asyncio.Event()

    def hear(touched: list[Change]) -> None:
        if any(change.table == "queueJobs" and change.key == job_id for change in touched):
            stirred.set()

    with contextlib.ExitStack() as stack:
        stack.callback(changes.subscribe(hear))
        stack.callback(changes.on_foreign(stirred.set))
        async with asyncio.timeout(timeout_s):
            while True:
                row = await get(job_id)
                if row is None:
                    raise LookupError(job_id)
                if row.finished_at is not None:
                    return row
                await stirred.wait()
                stirred.clear()


async def explain(job_id: str, registry: Registry = REGISTRY) -> list[Reason]:
    """Everything that keeps a job from running now; empty when it starts as soon as it can."""

    def read(connection: apsw.Connection) -> list[Reason]:
        row = job(connection, _GET, (job_id,))
        if row is None:
            raise LookupError(job_id)
        return _reasons(connection, row, registry)

    return await DB.read(read)


def _reasons(connection: apsw.Connection, row: Job, registry: Registry) -> list[Reason]:
    if row.state != "queued":
        return [Reason("not_queued", row.state)]
    settings: Row = fetch(connection, _SETTINGS)[0]
    override = next(iter(fetch(connection, _TYPE, (row.type,))), {})
    running = {each["type"]: each["n"] for each in fetch(connection, _RUNNING_TYPES)}
    found = []
    if row.run_at > clock.ms():
        found.append(Reason("scheduled", until=row.run_at))
    if settings["paused"]:
        found.append(Reason("paused", settings["pausedReason"] or ""))
    if override.get("paused"):
        found.append(Reason("type_paused", row.type))
    holder = fetch_value(connection, _SERIAL_HOLDER, (row.serial_key,))
    if holder:
        found.append(Reason("serial", row.serial_key or "", holder=holder))
    opens = row.rate_key and rates.opens_at(connection, row.rate_key, clock.ms())
    if row.rate_key and opens and opens > clock.ms():
        found.append(Reason("rate", row.rate_key, until=opens))
    suspect = fetch_value(connection, _SUSPECT, (clock.ms() - ALONE_MS,))
    if suspect:
        found.append(Reason("suspect_running", holder=suspect))
    handler = registry.handlers.get(row.type)
    if handler is None:
        return [*found, Reason("unknown_type", row.type)]
    limit = handler.limit if override.get("concurrency") is None else override["concurrency"]
    if limit is not None and running.get(row.type, 0) >= limit:
        found.append(Reason("type_limit", str(limit)))
    mates = {name for name, other in registry.handlers.items() if other.lane == handler.lane}
    slots = settings[LANES[handler.lane]]
    if sum(n for name, n in running.items() if name in mates) >= slots:
        found.append(Reason("lane_full", handler.lane))
    return found
