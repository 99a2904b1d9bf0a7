"""For tests of domains: run due jobs here and now, run one handler alone, look what was asked for.

To crash at a point of a job's life, arm a fail point: queue_after_claim, queue_before_finish,
queue_mid_tx, queue_after_effect.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from db import clock
from db.engine import DB
from jobs import ending, log
from jobs.children import Children
from jobs.claim import Complete, Fence, Verb, claim
from jobs.context import Context
from jobs.insert import draft
from jobs.outcome import LeaseLost
from jobs.payload import Payload
from jobs.registry import REGISTRY, Registry
from jobs.row import Job, jobs
from jobs.run import Run

P = TypeVar("P", bound=Payload)

_WORKER = "drain"
_LEASE_MS = 60_000
_ALL_DUE = "UPDATE queueJobs SET runAt=?1 WHERE state='queued' AND runAt>?1"
_LIVE = "SELECT * FROM queueJobs WHERE state IN ('queued','running') AND type=? ORDER BY id"


async def drain(
    types: Iterable[type[Payload]] | None = None,
    *,
    registry: Registry = REGISTRY,
    with_scheduled: bool = False,
    limit: int = 1000,
    raise_errors: bool = True,
) -> Counter[str]:
    """Run due jobs one after the other until none is due; counts per state they ended in.

    What a handler raises that no retry was asked for comes out here, after the row is written.
    """
    names = [payload.TYPE for payload in types] if types else list(registry.handlers)
    outcomes: Counter[str] = Counter()
    for _ in range(limit):
        now = clock.ms()
        if with_scheduled:
            await DB.execute(_ALL_DUE, (now,))
        row = await DB.write(lambda conn: claim(conn, _WORKER, clock.ms(), _LEASE_MS, names))
        if row is None:
            break
        ended, error = await _run(row, registry)
        outcomes[ended.state] += 1
        if raise_errors and error is not None and ended.error_code is not None:
            raise error
    return outcomes


async def perform(payload: Payload, *, attempt: int = 1, registry: Registry = REGISTRY) -> Any:
    """Run one handler without the table; returns its result, raises what it raises.

    The payload goes through its stored form, so one that cannot be stored fails here.
    """
    row = _row(payload, attempt)
    handler = registry.handlers[row.type]
    decoded = handler.payload.decode(row.payload_json)
    ctx = _context(row, _notes(), Path(tempfile.gettempdir()), registry)
    called = handler.call(decoded, ctx)
    return called if handler.thread else await called


async def all_enqueued(payload: type[P]) -> list[P]:
    """The payloads of this type's live jobs, oldest first."""
    rows = await DB.read(lambda connection: jobs(connection, _LIVE, (payload.TYPE,)))
    return [payload.decode(row.payload_json) for row in rows]


async def assert_enqueued(payload: type[P], **fields: Any) -> P:
    """The one live job of this type whose payload has these fields; fails if there is not one."""
    found = [each for each in await all_enqueued(payload) if _has(each, fields)]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} live jobs {payload.TYPE} with {fields}")
    return found[0]


async def refute_enqueued(payload: type[Payload], **fields: Any) -> None:
    """Fails if a live job of this type has a payload with these fields."""
    found = [each for each in await all_enqueued(payload) if _has(each, fields)]
    if found:
        raise AssertionError(f"{len(found)} live jobs {payload.TYPE} with {fields}")


async def _run(row: Job, registry: Registry) -> tuple[Job, BaseException | None]:
    handler = registry.handlers[row.type]
    notes = _notes()
    with tempfile.TemporaryDirectory() as folder:
        ctx = _context(row, notes, Path(folder), registry)
        run = Run(row, handler, ctx, handler.payload.TIMEOUT_S, str)
        over: asyncio.Future[Verb | None] = asyncio.get_running_loop().create_future()
        run.start(over.set_result)
        verb = await over
    await DB.write(lambda connection: log.write(connection, notes.take()))
    if verb is None and not ctx.completed:
        raise LeaseLost(row.id)
    if verb is not None:
        end = ending.End(ctx.fence, verb, ctx.started_at, tuple(ctx.then_drafts))
        async with DB.tx() as tx:
            ended = await DB.write(lambda conn: ending.apply(conn, end, clock.ms()))
            if ended is None:
                raise LeaseLost(row.id)
            if ended.finished_at is not None and not isinstance(verb, Complete):
                await ending.tell(registry, ended, run.error, tx)
        return ended, None if isinstance(verb, Complete) else run.error
    return msgspec.structs.replace(row, state="succeeded"), None


def _row(payload: Payload, attempt: int) -> Job:
    columns = draft(payload).columns
    fields = dict.fromkeys(field.encode_name for field in msgspec.structs.fields(Job))
    known = {name: columns[name] for name in fields if name in columns}
    now = columns["now"]
    times = {"createdAt": now, "updatedAt": now, "startedAt": now}
    counts = {"attempts": attempt, "crashes": 0, "snoozes": 0, "behind": 0}
    attempts = {"maxAttempts": payload.MAX_ATTEMPTS, "state": "running", "lockedBy": _WORKER}
    return msgspec.convert({**fields, **known, **times, **counts, **attempts}, Job)


def _context(row: Job, notes: log.Notes, folder: Path, registry: Registry) -> Context:
    return Context(
        row,
        fence=Fence(row.id, _WORKER, row.attempts),
        notes=notes,
        children=Children(folder, _WORKER),
        data_dir=folder,
        rates=registry.rates,
    )


def _notes() -> log.Notes:
    return log.Notes(lambda _full: None, str, _LEASE_MS)


def _has(payload: Payload, fields: dict[str, Any]) -> bool:
    return all(getattr(payload, name) == value for name, value in fields.items())
