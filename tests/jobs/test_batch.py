from typing import ClassVar

import pytest

from db import failpoints
from db.engine import DB, ApswEngine
from jobs import batch
from jobs import enqueue as queue
from jobs.enqueue import enqueue
from jobs.outcome import Fail
from jobs.payload import Payload
from jobs.registry import Registry
from jobs.stats import list_jobs
from jobs.testing import drain
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note, Scan
from tests.jobs.test_worker import until

pytestmark = pytest.mark.anyio


class Done(Payload, kw_only=True):
    """What follows a batch."""

    TYPE: ClassVar[str] = "samples.done"
    note: str = ""


@pytest.fixture
def calls(registry: Registry) -> list[tuple[str, int, int]]:
    """Who called back, with how many succeeded and failed."""
    calls: list[tuple[str, int, int]] = []

    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None:
        if job.text == "bad":
            raise Fail("bad")

    @registry.handles(Done, lane="io")
    async def done(job: Done, ctx: Context) -> None:
        assert ctx.subject is not None
        counts = await batch.get(ctx.subject[1])
        assert counts is not None
        calls.append((job.note, counts.succeeded, counts.failed))

    return calls


async def run_all(registry: Registry) -> None:
    await drain(registry=registry, raise_errors=False, limit=10_000)


@pytest.mark.feature("Q-22")
async def test_the_callback_comes_once_after_the_last(
    db: ApswEngine, registry: Registry, calls: list[tuple[str, int, int]]
) -> None:
    async with batch.batch(label="three", on_finish=Done(note="all")) as made:
        for text in ("good", "bad", "good"):
            made.add(Note(text=text))
    assert (await only(made.id)).pending == 3
    await run_all(registry)
    assert calls == [("all", 2, 1)]
    ended = await only(made.id)
    assert (ended.total, ended.pending, ended.succeeded, ended.failed) == (3, 0, 2, 1)
    assert ended.finished_at is not None
    assert ended.callback_job_id is not None


async def test_an_empty_batch_calls_back_too(
    db: ApswEngine, registry: Registry, calls: list[tuple[str, int, int]]
) -> None:
    async with batch.batch(on_finish=Done()):
        pass
    await run_all(registry)
    assert calls == [("", 0, 0)]


async def test_a_block_that_raises_asks_for_nothing(db: ApswEngine) -> None:
    async def ask() -> None:
        async with batch.batch(on_finish=Done()) as made:
            made.add(Note())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await ask()
    assert await list_jobs() == []
    assert await batch.newest() == []


async def test_it_is_part_of_the_callers_transaction(db: ApswEngine) -> None:
    async def ask() -> None:
        async with DB.tx():
            async with batch.batch(on_finish=Done()) as made:
                made.add(Note())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await ask()
    assert await list_jobs() == []


@pytest.mark.feature("Q-22")
async def test_five_thousand_with_failures_and_retries_call_back_once(
    registry: Registry, start_worker: StartWorker, calls: list[tuple[str, int, int]]
) -> None:
    async with batch.batch(on_finish=Done()) as made:
        for n in range(5000):
            made.add(Note(text="bad" if n % 500 == 0 else "good"))
    await start_worker()

    async def ended() -> bool:
        return bool(calls)

    await until(ended)
    assert calls == [("", 4990, 10)]
    for row in await list_jobs(batch=made.id, state="failed"):
        await queue.retry(row.id)

    async def again() -> bool:
        return (await only(made.id)).finished_at is not None

    await until(again)
    assert (await only(made.id)).failed == 10
    assert len(calls) == 1


async def test_asked_for_it_calls_back_again_after_a_retry(
    db: ApswEngine, registry: Registry, calls: list[tuple[str, int, int]]
) -> None:
    async with batch.batch(on_finish=Done(), on_refinish=True) as made:
        made.add(Note(text="bad"))
    await run_all(registry)
    (row,) = await list_jobs(batch=made.id)
    await queue.retry(row.id)
    assert (await only(made.id)).pending == 1
    await run_all(registry)
    assert len(calls) == 2


async def test_cancelling_it_ends_it(
    db: ApswEngine, registry: Registry, calls: list[tuple[str, int, int]]
) -> None:
    async with batch.batch(on_finish=Done()) as made:
        made.add(Note())
        made.add(Note())
    assert await queue.cancel(batch=made.id) == 2
    assert (await only(made.id)).cancelled == 2
    await run_all(registry)
    assert len(calls) == 1


async def test_a_child_that_is_there_already_is_not_counted(
    db: ApswEngine, registry: Registry
) -> None:
    await enqueue(Scan())
    async with batch.batch() as made:
        made.add(Scan())
        made.add(Scan(library="other"))
    assert (await only(made.id)).total == 1


async def test_a_crash_in_the_ending_counts_a_child_once(
    registry: Registry, start_worker: StartWorker, calls: list[tuple[str, int, int]]
) -> None:
    """The transaction that ends the last child fails once: neither count nor callback doubles."""
    async with batch.batch(on_finish=Done()) as made:
        made.add(Note())
    failpoints.arm("queue_mid_tx:raise")
    worker = await start_worker()

    async def failed() -> bool:
        worker.poke()
        return bool(calls)

    await until(failed)
    assert (await only(made.id)).succeeded == 1


async def only(batch_id: str) -> batch.Summary:
    found = await batch.get(batch_id)
    assert found is not None
    return found
