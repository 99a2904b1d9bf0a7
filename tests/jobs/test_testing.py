import asyncio

import pytest

from db.clock import FakeClock
from db.engine import DB, ApswEngine
from jobs.enqueue import enqueue
from jobs.registry import Registry, Steps
from jobs.testing import assert_enqueued, drain, inline, perform, refute_enqueued
from jobs.worker import Context
from tests.jobs.samples import Note, Scan

pytestmark = pytest.mark.anyio


@pytest.fixture
def ran(registry: Registry) -> list[str]:
    ran: list[str] = []

    @registry.handles(Note, backoff=Steps(60, jitter=0))
    async def note(job: Note, ctx: Context) -> int:
        ran.append(job.text)
        if job.text == "bad":
            raise ValueError("bad text")
        ctx.then(Scan(library=job.text))
        return ctx.attempt

    @registry.handles(Scan)
    async def scan(job: Scan, ctx: Context) -> None:
        ran.append(f"scan {job.library}")

    return ran


@pytest.mark.feature("Q-33")
async def test_drain_runs_what_is_due_and_what_follows_from_it(
    db: ApswEngine, clock: FakeClock, registry: Registry, ran: list[str]
) -> None:
    await enqueue(Note(text="now"))
    await enqueue(Note(text="later"), delay_s=60)
    assert await drain([Note], registry=registry) == {"succeeded": 1}
    await assert_enqueued(Scan, library="now")
    await refute_enqueued(Scan, library="later")
    assert await drain(registry=registry, with_scheduled=True) == {"succeeded": 3}
    assert ran == ["now", "later", "scan now", "scan later"]


@pytest.mark.feature("Q-33")
async def test_errors_come_out_unless_they_are_counted(
    db: ApswEngine, clock: FakeClock, registry: Registry, ran: list[str]
) -> None:
    await enqueue(Note(text="bad"), max_attempts=2)
    with pytest.raises(ValueError, match="bad text"):
        await drain(registry=registry)
    assert await drain(registry=registry, raise_errors=False) == {}
    clock.advance(60)
    assert await drain(registry=registry, raise_errors=False) == {"failed": 1}


@pytest.mark.feature("Q-33")
async def test_perform_runs_one_handler_without_the_table(
    db: ApswEngine, registry: Registry, ran: list[str]
) -> None:
    assert await perform(Note(text="alone"), attempt=2, registry=registry) == 2
    with pytest.raises(ValueError, match="bad text"):
        await perform(Note(text="bad"), registry=registry)
    await refute_enqueued(Note)


@pytest.mark.feature("Q-33")
async def test_inline_runs_jobs_after_the_commit_that_asks(
    db: ApswEngine, registry: Registry, ran: list[str]
) -> None:
    async with inline(registry=registry):
        await enqueue(Note(text="one"))
        async with DB.tx():
            await enqueue(Note(text="two"))
            await asyncio.sleep(0.02)
            assert "two" not in ran, "it is not committed"
    assert sorted(ran) == ["one", "scan one", "scan two", "two"]
    with pytest.raises(ValueError, match="bad text"):
        async with inline(registry=registry):
            await enqueue(Note(text="bad"))
