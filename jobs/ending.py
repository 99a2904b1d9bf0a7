"""The end of an attempt in one transaction: its verb, its event, what follows, the domain's row."""

from collections.abc import Sequence

import apsw
import msgspec
import structlog

from db.connection import execute
from db.engine import DB, Tx
from db.failpoints import failpoint
from db.keys import uuid7
from jobs import batch, rates
from jobs.claim import Complete, Failed, Fence, PutBack, Stopped, Verb, finish
from jobs.insert import Draft, put
from jobs.log import Level, Line, write_line
from jobs.payload import BadPayload, NewerPayload
from jobs.registry import Registry
from jobs.row import Job

log = structlog.get_logger("jobs")

_CLEAR_RERUN = "UPDATE queueJobs SET rerunJson=NULL WHERE id=?"


class End(msgspec.Struct, frozen=True):
    """How one attempt ended, and the jobs that follow if it succeeded."""

    fence: Fence
    verb: Verb
    started_at: int
    then: Sequence[Draft] = ()


def apply(connection: apsw.Connection, end: End, now: int) -> Job | None:
    """Write the end of an attempt with all that belongs to it; None where its fence is gone."""
    failpoint("queue_before_finish")
    row = finish(connection, end.fence, end.verb, now)
    failpoint("queue_mid_tx")
    if row is None:
        return None
    if isinstance(end.verb, PutBack) and end.verb.closes:
        rates.close(connection, *end.verb.closes, now + end.verb.delay_ms)
    if row.state == "succeeded":
        for draft in end.then:
            put(connection, draft)
    else:
        write_line(connection, _attempt_line(end, row, now))
    if row.finished_at is not None:
        settle(connection, row, now)
    return row


def settle(connection: apsw.Connection, row: Job, now: int) -> None:
    """Do what the database owes to an ended job: its batch, the rerun asked for meanwhile."""
    if row.batch_id:
        batch.count(connection, row, now)
    if row.rerun_json:
        execute(connection, _CLEAR_RERUN, (row.id,))
        if row.state != "cancelled":
            wish = msgspec.json.decode(row.rerun_json)
            put(connection, Draft(columns={**wish, "batchId": None, "id": uuid7(), "now": now}))


async def tell(registry: Registry, row: Job, error: BaseException, tx: Tx) -> None:
    """Run the `on_failed` of an ended job in the transaction that ends it.

    One that raises is rolled back alone and logged: the job has ended all the same.
    """
    handler = registry.handlers.get(row.type)
    if handler is None or handler.on_failed is None:
        return
    try:
        payload = handler.payload.decode(row.payload_json)
        async with DB.tx():
            await handler.on_failed(payload, error, tx)
    except (BadPayload, NewerPayload):
        log.warning("job.on_failed_skipped", job_id=row.id, type=row.type, reason="bad payload")
    except Exception:
        log.exception("job.on_failed_raised", job_id=row.id, type=row.type)


def _attempt_line(end: End, row: Job, now: int) -> Line:
    """The entry that keeps the history of an attempt that did not succeed."""
    message, outcome, code, stack = _told(end.verb, row)
    metadata = {
        "kind": "attempt",
        "outcome": outcome,
        "startedAt": end.started_at,
        "ms": now - end.started_at,
        "workerId": end.fence.worker,
        "errorCode": code,
        "stack": stack,
    }
    level: Level = "error" if row.state == "failed" else "warn" if outcome == "retrying" else "info"
    return Line(
        job_id=row.id,
        attempt=end.fence.attempt,
        level=level,
        context="queue",
        message=message,
        metadata=msgspec.json.encode(metadata).decode(),
        at=now,
    )


def _told(verb: Verb, row: Job) -> tuple[str, str, str | None, str | None]:
    """Message, outcome, error code and stack of the entry."""
    match verb:
        case Failed():
            outcome = "retrying" if row.state == "queued" else row.state
            return verb.error, outcome, verb.code, verb.stack
        case PutBack() if row.state == "queued":
            return verb.reason, "snoozed" if verb.snoozed else "returned", None, None
        case Stopped():
            return verb.reason or "cancelled", row.state, verb.code, None
        case PutBack() | Complete():
            return "cancelled", row.state, None, None
