"""Reading the queue: one job, a page of jobs, counts, and why a job is not running now."""

import asyncio
import contextlib
from typing import TypedDict, Unpack

import apsw
import msgspec

from db import changes, clock
from db.changes import Change
from db.connection import fetch, fetch_value
from db.engine import DB
from jobs.registry import REGISTRY, Registry
from jobs.row import Job, State, job, jobs
from jobs.why import HOLDER, Reason, situation

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
_HELD = f"""
SELECT state, type, runAt, serialKey, rateKey, {HOLDER} AS holder FROM queueJobs j WHERE id=?
"""  # noqa: S608 - our words


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
        rows = fetch(connection, _HELD, (job_id,))
        if not rows:
            raise LookupError(job_id)
        if rows[0]["state"] != "queued":
            return [Reason("not_queued", rows[0]["state"])]
        return situation(connection, registry).reasons(rows[0])

    return await DB.read(read)
