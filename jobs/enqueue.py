"""Asking for work: a row in the caller's transaction, and what people do to such a row by hand.

Nothing is visible and nobody is woken before that transaction commits; a rollback leaves no trace.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypedDict, Unpack

import apsw

from db import clock
from db.connection import execute, fetch_value
from db.engine import DB, Tx
from jobs import batch, ending, history
from jobs.insert import Duplicate, Enqueued, Options, SerialBacklogFull, draft, ms, put
from jobs.outcome import Cancelled
from jobs.payload import BadPayload, NewerPayload, Payload
from jobs.registry import REGISTRY
from jobs.row import Job, job, jobs

__all__ = ["Duplicate", "Enqueued", "Options", "SerialBacklogFull"]

CHUNK = 1000  # rows per transaction, so that nobody waits long for the write lock


async def enqueue(
    payload: Payload,
    *,
    tx: Tx | None = None,  # noqa: ARG001 - says at the call site whose commit decides
    **options: Unpack[Options],
) -> Enqueued:
    """Ask for one job. Joins the transaction open in this task, else makes its own.

    With `dedupe`, asking twice is asking once: the answer names the live holder and says `deduped`.
    Raises Duplicate (only with `on_dup="raise"`) and SerialBacklogFull.
    """
    return await DB.write(partial(put, draft=draft(payload, **options)))


async def enqueue_many(
    payloads: Sequence[Payload],
    *,
    tx: Tx | None = None,  # noqa: ARG001
    **options: Unpack[Options],
) -> list[Enqueued]:
    """Ask for many jobs with the same options, in order.

    All or nothing inside a transaction; without one every 1,000 rows are a commit of their own.
    """

    def insert(connection: apsw.Connection, some: Sequence[Payload]) -> list[Enqueued]:
        return [put(connection, draft(payload, **options)) for payload in some]

    chunks = [payloads[at : at + CHUNK] for at in range(0, len(payloads), CHUNK)]
    return [done for chunk in chunks for done in await DB.write(partial(insert, some=chunk))]


# ---- cancel ----

# A parent takes its descendants along. Finished rows are walked through, never changed.
_CANCEL = """
WITH RECURSIVE hit(id) AS (
  SELECT id FROM queueJobs WHERE state='queued' AND {match}
  UNION SELECT id FROM queueJobs WHERE state='running' AND {match}
  UNION SELECT c.id FROM queueJobs c JOIN hit ON c.parentId=hit.id)
UPDATE queueJobs SET cancelRequestedAt=coalesce(cancelRequestedAt,:now),
  state=CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
  cancelledAt=CASE state WHEN 'queued' THEN :now END,
  finishedAt=CASE state WHEN 'queued' THEN :now END, updatedAt=:now
WHERE id IN (SELECT id FROM hit) AND state IN ('queued','running') RETURNING *
"""
_MATCH = {
    "id": "id=:id",
    "type": "type=:type",
    "dedupe": "dedupeKey=:dedupe",
    "project_id": "projectId=:project_id",
    "subject": "subjectType=:noun AND subjectId=:key",
    "batch": "batchId=:batch",
}


class Match(TypedDict, total=False):
    """Which live jobs to cancel: those that fit every given key."""

    id: str | None
    type: str | None
    dedupe: str | None
    project_id: str | None
    subject: tuple[str, str] | None
    batch: str | None


async def cancel(*, tx: Tx | None = None, **match: Unpack[Match]) -> int:  # noqa: ARG001
    """Cancel all live jobs that match, and what they spawned; returns how many were live.

    A queued job is cancelled with the commit, a running one is asked to stop.
    """
    given = {key: value for key, value in match.items() if value is not None}
    if not given:
        raise ValueError("cancel needs at least one key: it would cancel everything")
    noun, key = match.get("subject") or (None, None)
    now = clock.ms()
    args = {**given, "subject": None, "noun": noun, "key": key, "now": now}
    sql = _CANCEL.format(match=" AND ".join(_MATCH[name] for name in given))
    tally = history.Tally()

    def write(connection: apsw.Connection) -> list[Job]:
        hit = jobs(connection, sql, args)
        for row in hit:
            if row.state == "cancelled":
                ending.settle(connection, row, now)
                tally.count(row.type, "cancelled")
        history.write(connection, tally.take())
        return hit

    async with DB.tx() as opened:
        hit = await DB.write(write)
        for row in hit:
            if row.state == "cancelled":
                await ending.tell(REGISTRY, row, Cancelled("cancelled while waiting"), opened)
    return len(hit)


# ---- by hand ----

_RETRY = """
UPDATE queueJobs SET state='queued', runAt=?2, maxAttempts=max(maxAttempts,attempts+1), crashes=0,
  snoozes=0, cancelRequestedAt=NULL, cancelledAt=NULL, acknowledgedAt=NULL, finishedAt=NULL,
  progress=NULL, progressMessage=NULL, updatedAt=?2
WHERE id=?1 AND finishedAt IS NOT NULL AND state IN ('failed','cancelled') RETURNING *
"""
_TWIN = """
SELECT l.id FROM queueJobs j JOIN queueJobs l ON l.dedupeKey=j.dedupeKey
WHERE j.id=?1 AND j.finishedAt IS NOT NULL
  AND l.dedupeKey IS NOT NULL AND l.state IN ('queued','running')
"""
_HOLDER_OF = """
SELECT id FROM queueJobs
WHERE dedupeKey=? AND dedupeKey IS NOT NULL AND state IN ('queued','running')
"""
_RUN_NOW = "UPDATE queueJobs SET runAt=?2, updatedAt=?2 WHERE id=?1 AND state='queued' RETURNING *"
_DELETE = "DELETE FROM queueJobs WHERE id=?1 AND finishedAt IS NOT NULL RETURNING *"
_ACKNOWLEDGE = """
UPDATE queueJobs SET acknowledgedAt=?2, updatedAt=?2 WHERE id=?1 AND state='failed' RETURNING *
"""
_EDIT = """
UPDATE queueJobs SET payloadJson=coalesce(?3,payloadJson), priority=coalesce(?4,priority),
  runAt=coalesce(?5,runAt), maxAttempts=coalesce(?6,maxAttempts), label=coalesce(?7,label),
  updatedAt=?2
WHERE id=?1 AND state='queued' RETURNING *
"""
_REKEY = """
UPDATE queueJobs SET dedupeKey=?2, serialKey=?3, rateKey=?4, subjectType=?5, subjectId=?6, label=?7
WHERE id=?1
"""
_FORCE = """
UPDATE queueJobs SET state='failed', finishedAt=?2, lastError='released by an admin',
  errorCode='forced', lockedBy=NULL, lockedAt=NULL, lockExpiresAt=NULL, updatedAt=?2
WHERE id=?1 AND state='running' AND (lockExpiresAt<?2 OR cancelRequestedAt<?2-10000) RETURNING *
"""


async def retry(job_id: str) -> bool:
    """Queue a failed or cancelled job again, under its own id; False if it is neither.

    Raises Duplicate when a live job holds its dedupe key.
    """

    def write(connection: apsw.Connection) -> bool:
        twin = connection.execute(_TWIN, (job_id,)).fetchone()
        if twin:
            raise Duplicate(str(twin[0]))
        before = job(connection, "SELECT * FROM queueJobs WHERE id=?", (job_id,))
        if job(connection, _RETRY, (job_id, clock.ms())) is None or before is None:
            return False
        if before.batch_id:
            batch.reopen(connection, before.batch_id, before.state)
        return True

    return await DB.write(write)


async def run_now(job_id: str) -> bool:
    """Let a queued job start as soon as a slot is free; False if it is not queued."""
    return await _change(_RUN_NOW, job_id, clock.ms()) is not None


async def delete(job_id: str) -> bool:
    """Delete an ended job with its log lines; False for a live one: cancel it first."""
    return await _change(_DELETE, job_id) is not None


async def acknowledge(job_id: str) -> bool:
    """Take a failed job off the badge; the row stays."""
    return await _change(_ACKNOWLEDGE, job_id, clock.ms()) is not None


async def edit(
    job_id: str,
    *,
    payload: Payload | None = None,
    priority: int | None = None,
    run_at: datetime | int | None = None,
    max_attempts: int | None = None,
    label: str | None = None,
) -> bool:
    """Change what is given of a queued job; False if it is no longer queued.

    Keys, subject and label that followed from the old payload follow from the new one. Raises
    Duplicate when a live job holds the new dedupe key.
    """
    encoded = payload.encode() if payload else None
    args = (encoded, priority, ms(run_at), max_attempts, label)

    def write(connection: apsw.Connection) -> bool:
        before = job(connection, "SELECT * FROM queueJobs WHERE id=?", (job_id,))
        after = job(connection, _EDIT, (job_id, clock.ms(), *args))
        if before is None or after is None:
            return False
        if payload is not None:
            _rekey(connection, before, after, payload)
        return True

    return await DB.write(write)


def _rekey(connection: apsw.Connection, before: Job, after: Job, payload: Payload) -> None:
    """What the caller had set otherwise than the payload says stays as it was set."""
    try:
        was = _derived(type(payload).decode(before.payload_json))
    except (BadPayload, NewerPayload):
        return
    now = _derived(payload)
    kept = (after.dedupe_key, after.serial_key, after.rate_key, after.subject, after.label)
    dedupe, serial, rate, subject, label = (
        new if stands == old else stands for stands, old, new in zip(kept, was, now, strict=True)
    )
    if dedupe and dedupe != before.dedupe_key:
        holder = fetch_value(connection, _HOLDER_OF, (dedupe,))
        if holder:
            raise Duplicate(str(holder))
    execute(
        connection, _REKEY, (before.id, dedupe, serial, rate, *(subject or (None, None)), label)
    )


def _derived(payload: Payload) -> tuple[Any, ...]:
    keys = (payload.dedupe_key(), payload.serial_key(), payload.rate_key())
    return (*keys, payload.subject(), payload.label())


async def force_release(job_id: str) -> bool:
    """Fence a running job away from its worker and fail it: the last resort, with a risk.

    Only when its lease has expired or a cancel went unanswered for 10 s; the worker may still be at
    work outside the database, but nothing it writes to the job counts any more.
    """
    now = clock.ms()
    async with DB.tx() as tx:
        released = await _change(_FORCE, job_id, now)
        if released is None:
            return False
        await DB.write(partial(ending.settle, row=released, now=now))
        await ending.tell(REGISTRY, released, Cancelled("released by an admin"), tx)
    return True


async def _change(sql: str, *args: Any) -> Job | None:
    return await DB.write(lambda connection: job(connection, sql, args))
