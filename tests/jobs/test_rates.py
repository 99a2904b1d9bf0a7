from functools import partial
from typing import Any, ClassVar

import apsw
import pytest

from db import clock as time
from db.engine import DB, ApswEngine
from jobs import rates
from jobs.enqueue import enqueue, enqueue_many
from jobs.payload import Payload
from jobs.registry import Rate, Registry
from jobs.stats import get, wait
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note
from tests.jobs.test_worker import until

pytestmark = pytest.mark.anyio

TEN = {"portal": Rate(limit=10, per_s=1, burst=3)}


class Visit(Payload, kw_only=True):
    """All of its kind call one service."""

    TYPE: ClassVar[str] = "samples.visit"
    name: str = ""

    def rate_key(self) -> str:
        return "portal"


class Search(Payload, kw_only=True):
    """Each calls a service of its own."""

    TYPE: ClassVar[str] = "samples.search"
    indexer: str

    def rate_key(self) -> str:
        return f"indexer:{self.indexer}"


async def take(now: int, n: int = 1, key: str = "portal") -> int | None:
    def write(connection: apsw.Connection) -> int | None:
        return rates.take(connection, TEN, key, now, n)

    return await DB.write(write)


@pytest.mark.feature("Q-19")
async def test_three_at_once_then_one_per_tenth(db: ApswEngine) -> None:
    allowed = [now for now in range(10_000, 11_000, 10) for _ in range(5) if not await take(now)]
    assert allowed[:3] == [10_000] * 3
    assert allowed[3:6] == [10_100, 10_200, 10_300]
    assert len(allowed) == 3 + 9


async def test_it_says_when_the_next_one_may_start(db: ApswEngine) -> None:
    for _ in range(3):
        assert await take(5000) is None
    assert await take(5000) == 5100
    assert await take(5000, n=2) == 5200


async def test_a_key_nobody_declared_has_no_limit(db: ApswEngine) -> None:
    assert [await take(1, key="elsewhere") for _ in range(50)] == [None] * 50
    assert await rates.get("elsewhere") is None


async def test_a_clock_that_went_back_heals(db: ApswEngine) -> None:
    for _ in range(3):
        await take(86_400_000)
    assert await take(5000) is None


async def test_what_an_admin_set_outlives_the_code(db: ApswEngine, registry: Registry) -> None:
    registry.rate("portal", 10, per_s=1)
    sync = partial(rates.sync, registry=registry)
    await DB.write(sync)
    registry.rates["portal"] = Rate(limit=20, per_s=1)
    await DB.write(sync)
    assert (await bucket("portal")).limit_count == 20
    await rates.put("portal", 5, per_s=1)
    await DB.write(sync)
    assert (await bucket("portal")).limit_count == 5


@pytest.mark.feature("Q-19")
async def test_starts_keep_to_the_rate_and_across_a_restart(
    registry: Registry, start_worker: StartWorker, clock: time.FakeClock
) -> None:
    """Never more than the bucket's in any second, whatever restarts in between."""
    started: list[int] = []
    registry.rate("portal", 10, per_s=1, burst=3)

    @registry.handles(Visit, lane="io")
    async def visit(job: Visit, ctx: Context) -> None:
        started.append(time.ms())

    asked = await enqueue_many([Visit(name=str(n)) for n in range(30)])
    worker = await start_worker()
    for step in range(60):
        clock.advance(0.05)
        await settled(worker)
        if step == 20:
            await worker.stop(0)
            worker = await start_worker()
    assert len(started) == 30
    assert all(sum(start <= each < start + 1000 for each in started) <= 10 + 3 for start in started)
    assert len(started[:3]) == 3
    rows = [await get(each.id) for each in asked]
    assert {row.attempts for row in rows if row} == {1}


async def test_a_closed_type_costs_no_row_a_write(
    registry: Registry, start_worker: StartWorker, clock: time.FakeClock
) -> None:
    """A backlog behind one key stays as it is: the type is left out of the claim."""
    registry.rate("portal", 1, per_s=3600)

    @registry.handles(Visit, lane="io")
    async def visit(job: Visit, ctx: Context) -> None: ...

    worker = await start_worker()
    await enqueue_many([Visit(name=str(n)) for n in range(20)])
    await settled(worker)
    before = await DB.all("SELECT updatedAt, runAt FROM queueJobs WHERE state='queued'")
    clock.advance(1)
    await settled(worker)
    assert await DB.all("SELECT updatedAt, runAt FROM queueJobs WHERE state='queued'") == before
    assert len(before) == 19


async def test_a_closed_indexer_does_not_hold_up_the_others(
    registry: Registry, start_worker: StartWorker, clock: time.FakeClock
) -> None:
    started: list[str] = []
    registry.rate("indexer:*", 1, per_s=10)

    @registry.handles(Search, lane="io")
    async def search(job: Search, ctx: Context) -> None:
        started.append(job.indexer)

    worker = await start_worker()
    asked = await enqueue_many([Search(indexer=name) for name in "aaabbc"])
    await settled(worker)
    assert sorted(started) == ["a", "b", "c"]
    held = await get(asked[1].id)
    assert held is not None
    assert (held.state, held.attempts, held.snoozes) == ("queued", 0, 0)
    for _ in range(2):
        clock.advance(11)
        await settled(worker)
    assert sorted(started) == ["a", "a", "a", "b", "b", "c"]


@pytest.mark.feature("Q-98")
async def test_one_retry_after_closes_the_gate_for_all(
    registry: Registry, start_worker: StartWorker, clock: time.FakeClock
) -> None:
    calls: list[str] = []
    registry.rate("portal", 100, per_s=1, burst=100)

    @registry.handles(Visit, lane="io", limit=1)
    async def visit(job: Visit, ctx: Context) -> None:
        calls.append(job.name)
        if len(calls) == 1:
            ctx.rate_blocked("portal", time.ms() + 600_000)

    first = await enqueue(Visit(name="first"))
    second = await enqueue(Visit(name="second"), delay_s=1)
    worker = await start_worker()
    await settled(worker)
    clock.advance(30)
    await settled(worker)
    assert calls == ["first"]
    row = await get(first.id)
    assert row is not None
    assert (row.state, row.attempts, row.snoozes) == ("queued", 0, 1)
    clock.advance(571)
    assert (await wait(first.id)).state == "succeeded"
    assert (await wait(second.id)).state == "succeeded"


async def test_released_by_hand_it_goes_on_at_once(
    registry: Registry, start_worker: StartWorker
) -> None:
    registry.rate("portal", 100, per_s=1, burst=100)

    @registry.handles(Visit, lane="io")
    async def visit(job: Visit, ctx: Context) -> None: ...

    await start_worker()
    await rates.block("portal", time.ms() + 3_600_000)
    asked = await enqueue(Visit())
    with pytest.raises(TimeoutError):
        await wait(asked.id, timeout_s=0.1)
    await rates.release("portal")
    assert (await wait(asked.id)).state == "succeeded"


async def test_a_handler_asks_for_each_further_call(
    registry: Registry, start_worker: StartWorker
) -> None:
    at: list[float] = []
    registry.rate("portal", 50, per_s=1, burst=1)

    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None:
        for n in (1, 1, 3):
            await ctx.rate("portal", n)
            at.append(time.monotonic())

    asked = await enqueue(Note())
    await start_worker()
    assert (await wait(asked.id)).state == "succeeded"
    assert at[2] - at[0] >= 0.07  # four more tokens, one every 20 ms


async def bucket(key: str) -> rates.Bucket:
    found = await rates.get(key)
    assert found is not None
    return found


async def settled(worker: Any) -> None:
    """Until the worker has looked and nothing runs."""
    turns = worker.turns

    async def quiet() -> bool:
        return worker.turns > turns and not worker.runs

    worker.poke()
    await until(quiet)
    turns = worker.turns
    worker.poke()
    await until(quiet)
