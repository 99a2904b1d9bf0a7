"""The faults of the queue this one learnt from, by their numbers in the list of regressions.

Others of that list are shown where they belong: 3 (fence), 7 (`ctx.complete`), 9 (cancel), 10 (too
big a payload), 13 (the unique index of serial keys).
"""

import asyncio
import subprocess

import pytest

from db import clock as time
from db.clock import FakeClock
from db.engine import DB, ApswEngine
from jobs.claim import rescue_workers
from jobs.enqueue import enqueue
from jobs.outcome import Fail
from jobs.registry import Registry, Steps
from jobs.stats import get, wait
from jobs.testing import drain
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note, Scan
from tests.jobs.test_claim import take

pytestmark = pytest.mark.anyio

TIMES = ("runAt", "lockedAt", "lockExpiresAt", "createdAt", "updatedAt", "startedAt", "finishedAt")


async def test_1_every_time_of_a_row_has_one_unit(
    db: ApswEngine, clock: FakeClock, registry: Registry
) -> None:
    """Seconds here and milliseconds there made every delay nothing and every lease endless."""

    @registry.handles(Note, backoff=Steps(60, jitter=0))
    async def note(job: Note, ctx: Context) -> None:
        if ctx.attempt == 1:
            raise RuntimeError("once")

    job = await enqueue(Note())
    await drain(registry=registry, raise_errors=False)
    assert await drain(registry=registry) == {}, "it waits out its delay"
    clock.advance(60)
    running = await take()
    assert running is not None
    await DB.write(lambda conn: rescue_workers(conn, time.ms(), ["w1"]))
    clock.advance(2)
    assert await drain(registry=registry) == {"succeeded": 1}
    row = await DB.one("SELECT * FROM queueJobs WHERE id=?", (job.id,)) or {}
    for moment in [*(row[name] for name in TIMES), running.locked_at, running.lock_expires_at]:
        assert moment is None or abs(moment - time.ms()) < 200_000


async def test_2_a_crash_with_no_attempt_left_frees_its_key(
    db: ApswEngine, clock: FakeClock
) -> None:
    """It stayed queued with nothing to spend, and its dedupe key was held for ever."""
    asked = await enqueue(Scan(), max_attempts=1)
    assert await take() is not None
    await DB.write(lambda conn: rescue_workers(conn, time.ms(), ["w1"]))
    row = await get(asked.id)
    assert row is not None
    assert row.state == "failed"
    assert not (await enqueue(Scan())).deduped


async def test_4_a_job_that_polls_has_a_deadline_not_three_hundred_attempts(
    db: ApswEngine, clock: FakeClock, registry: Registry
) -> None:
    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        if ctx.age_s > 300:
            raise Fail("not ready after five minutes", "not_ready")
        await ctx.sleep(60)

    job = await enqueue(Note())
    for _ in range(7):
        await drain(registry=registry, raise_errors=False)
        clock.advance(60)
    row = await get(job.id)
    assert row is not None
    assert (row.state, row.error_code, row.attempts) == ("failed", "not_ready", 1)
    assert row.snoozes == 6


@pytest.mark.parametrize("blocked", [False, True])
async def test_5_a_build_holds_up_nobody(
    registry: Registry, start_worker: StartWorker, blocked: bool
) -> None:
    """Turns of the loop while a program works for a second; the control waits for it in place."""
    build = ["/bin/sh", "-c", "yes a line of a build | head -n 200000; sleep 1"]

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> int:
        ticking = asyncio.ensure_future(tick())
        before = len(ticks)
        if blocked:
            subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        else:
            await ctx.run_process(build)
        turns = len(ticks) - before
        ticking.cancel()
        return turns

    async def tick() -> None:
        while True:
            ticks.append(None)
            await asyncio.sleep(0.01)

    ticks: list[None] = []
    await start_worker()
    done = await wait((await enqueue(Note())).id)
    turns = int(done.result_json or "-1")
    assert turns == 0 if blocked else turns > 20


async def test_6_asking_again_with_something_else_is_not_dropped(
    registry: Registry, start_worker: StartWorker
) -> None:
    ran: list[int] = []

    @registry.handles(Scan)
    async def scan(job: Scan, ctx: Context) -> None:
        ran.append(job.depth)
        if job.depth == 1:  # it runs: the next wish waits for its end
            await enqueue(Scan(depth=2), on_dup="replace")
            await enqueue(Scan(depth=3), on_dup="replace")

    await start_worker()
    first = await wait((await enqueue(Scan(depth=1))).id)
    after = await DB.value("SELECT id FROM queueJobs WHERE id<>?", (first.id,))
    await wait(after)
    assert ran == [1, 3]
