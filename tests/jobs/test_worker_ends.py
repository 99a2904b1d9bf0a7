import asyncio
from collections.abc import Callable
from typing import Any

import apsw
import pytest

from db import clock as time
from db.engine import DB, Tx
from jobs import enqueue as queue
from jobs.enqueue import enqueue, enqueue_many
from jobs.registry import Registry, Steps
from jobs.stats import explain, wait
from jobs.worker import Context, Worker
from tests.jobs.conftest import Gate, StartWorker
from tests.jobs.samples import Aged, Note, Scan, Slow
from tests.jobs.test_worker import AT_ONCE, _count, _running, stored, until

pytestmark = pytest.mark.anyio


@pytest.mark.feature("Q-16")
async def test_asked_again_while_running_it_runs_once_more(
    registry: Registry, start_worker: StartWorker
) -> None:
    depths, release, here = [], asyncio.Event(), asyncio.Event()

    @registry.handles(Scan)
    async def scan(job: Scan, ctx: Context) -> None:
        depths.append(job.depth)
        here.set()
        await release.wait()

    await start_worker()
    first = await enqueue(Scan(depth=1))
    await here.wait()
    for depth in (2, 3):
        assert (await enqueue(Scan(depth=depth), on_dup="rerun")).id == first.id
    release.set()
    await wait(first.id)
    await until(lambda: _running(depths, 2))
    assert depths == [1, 3]


@pytest.mark.feature("Q-82")
async def test_an_expired_job_never_starts(registry: Registry, start_worker: StartWorker) -> None:
    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        raise AssertionError

    job = await enqueue(Note(), expires_at=time.ms() - 1)
    await start_worker()
    done = await wait(job.id)
    assert (done.state, done.error_code) == ("cancelled", "expired")


@pytest.mark.feature("Q-88")
async def test_what_this_version_does_not_know_is_kept(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Aged)
    async def aged(job: Aged, ctx: Context) -> str:
        return job.name

    async def put(type_: str, text: str) -> str:
        job = await enqueue(Note())
        change = "UPDATE queueJobs SET type=?, payloadJson=? WHERE id=?"
        await DB.execute(change, [type_, text, job.id])
        return job.id

    unknown = await put("samples.gone", "{}")
    old = await put(Aged.TYPE, '{"v":1,"title":"Anna"}')
    newer = await put(Aged.TYPE, '{"v":9,"name":"Anna"}')
    garbage = await put(Aged.TYPE, "{")
    await start_worker()
    assert (await wait(old)).result_json == '"Anna"'
    bad = await wait(garbage)
    assert (bad.state, bad.error_code, bad.attempts) == ("failed", "bad_payload", 0)
    assert (await stored(unknown)).state == "queued"
    assert [reason.why for reason in await explain(unknown, registry)] == ["unknown_type"]
    kept = await stored(newer)
    assert (kept.state, kept.attempts) == ("queued", 0)


@pytest.mark.feature("Q-87")
async def test_the_domains_row_is_set_in_the_transaction_that_fails_the_job(
    registry: Registry, start_worker: StartWorker
) -> None:
    await DB.execute("CREATE TABLE builds(name TEXT, status TEXT)")
    await DB.execute("INSERT INTO builds VALUES('a','building'), ('b','building')")

    async def failed(job: Note, error: BaseException, tx: Tx) -> None:
        status = f"failed: {error}"
        await DB.execute("UPDATE builds SET status=? WHERE name=?", [status, job.text])
        if job.text == "b":
            raise RuntimeError("the hook itself is broken")

    @registry.handles(Note, on_failed=failed, backoff=AT_ONCE)
    async def note(job: Note, ctx: Context) -> None:
        raise ValueError("no compiler")

    await start_worker()
    for text in "ab":
        assert (await wait((await enqueue(Note(text=text))).id)).state == "failed"
    statuses = await DB.all("SELECT status FROM builds ORDER BY name")
    assert [row["status"] for row in statuses] == ["failed: no compiler", "building"]


@pytest.mark.feature("Q-79")
async def test_a_job_that_crashed_its_worker_runs_alone(
    registry: Registry, start_worker: StartWorker, gate: Gate
) -> None:
    suspect = await enqueue(Slow(text="suspect"), priority=90)
    await DB.execute("UPDATE queueJobs SET crashes=1")
    others = await enqueue_many([Slow(text="x"), Slow(text="y")])
    await start_worker()
    await until(lambda: _count(gate, 1))
    await asyncio.sleep(0.05)
    assert gate.here == ["suspect"]
    assert [reason.why for reason in await explain(others[0].id, registry)] == ["suspect_running"]
    gate.opened.set()
    for job in (suspect, *others):
        assert (await wait(job.id)).state == "succeeded"


@pytest.mark.feature("Q-24")
async def test_a_step_is_done_once_over_all_attempts(
    registry: Registry, start_worker: StartWorker
) -> None:
    done: list[str] = []

    async def fetched() -> list[int]:
        done.append("fetched")
        return [1, 2]

    @registry.handles(Note, backoff=AT_ONCE)
    async def note(job: Note, ctx: Context) -> list[Any]:
        found = await ctx.step("fetch", fetched)
        before = ctx.cursor
        await ctx.save_cursor(ctx.attempt)
        if ctx.attempt == 1:
            raise RuntimeError
        return [found, before]

    await start_worker()
    result = (await wait((await enqueue(Note())).id)).result_json
    assert (done, result) == (["fetched"], "[[1,2],1]")


async def test_a_handler_in_a_thread_can_look_up_and_talk_back(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note, thread=True)
    def note(job: Note, ctx: Context) -> int:
        ctx.log.info("from a thread")
        return int(ctx.from_thread(DB.value("SELECT count(*) FROM queueJobs")))

    await start_worker()
    done = await wait((await enqueue(Note())).id)
    assert (done.state, done.result_json) == ("succeeded", "1")


async def test_a_row_taken_away_stops_its_handler(
    registry: Registry, start_worker: StartWorker
) -> None:
    here, gone = asyncio.Event(), asyncio.Event()

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        here.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    await start_worker()
    job = await enqueue(Note())
    await here.wait()
    await DB.execute("UPDATE queueJobs SET lockExpiresAt=1")
    assert await queue.force_release(job.id)
    await asyncio.wait_for(gone.wait(), 5)
    row = await stored(job.id)
    assert (row.state, row.error_code) == ("failed", "forced")


@pytest.mark.feature("Q-81")
async def test_a_full_disk_stops_nothing_for_good_and_reports_nothing_false(
    registry: Registry, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.worker.TROUBLE_S", 0.05)
    go = asyncio.Event()

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> str:
        await go.wait()
        return "x" * 60_000

    def limit(pages: int | None) -> Callable[[apsw.Connection], None]:
        def set_limit(connection: apsw.Connection) -> None:
            wanted = pages or connection.pragma("page_count")
            connection.pragma("max_page_count", wanted)

        return set_limit

    worker = await start_worker()
    job = await enqueue(Note())
    await until(lambda: _state(job.id, "running"))
    await DB.write(limit(None))
    go.set()
    await until(lambda: _storage_full(worker))
    assert (await stored(job.id)).state == "running"
    await DB.write(limit(1_000_000))
    done = await wait(job.id)
    assert (done.state, done.attempts, worker.storage_full) == ("succeeded", 1, False)
    assert len(done.result_json or "") > 60_000


async def _state(job_id: str, state: str) -> bool:
    return (await stored(job_id)).state == state


async def _storage_full(worker: Worker) -> bool:
    return worker.storage_full


@pytest.mark.feature("Q-26")
async def test_a_cancel_between_two_attempts_is_final(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note, backoff=Steps(600))
    async def note(job: Note, ctx: Context) -> None:
        raise RuntimeError

    await start_worker()
    job = await enqueue(Note())
    await until(lambda: _attempted(job.id))
    assert await queue.cancel(id=job.id) == 1
    assert ((await stored(job.id)).state, await queue.cancel(id=job.id)) == ("cancelled", 0)


async def _attempted(job_id: str) -> bool:
    row = await stored(job_id)
    return row.attempts == 1 and row.state == "queued"


async def test_a_second_signal_gives_back_at_once(
    registry: Registry, start_worker: StartWorker
) -> None:
    here = asyncio.Event()

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        here.set()
        await asyncio.Event().wait()

    worker = await start_worker()
    job = await enqueue(Note())
    await here.wait()
    stopping = asyncio.ensure_future(worker.stop(3600))
    await asyncio.sleep(0.05)
    worker.hurry()
    await asyncio.wait_for(stopping, 10)
    assert (await stored(job.id)).state == "queued"


async def test_a_type_kept_to_the_serving_process_is_left_by_others(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note, where="serve")
    async def note(job: Note, ctx: Context) -> None: ...

    @registry.handles(Scan)
    async def scan(job: Scan, ctx: Context) -> None: ...

    await start_worker(serves=False)
    kept = await enqueue(Note(), priority=90)
    await wait((await enqueue(Scan())).id)
    assert (await stored(kept.id)).state == "queued"


async def test_broken_results_and_odd_bytes_cost_one_attempt_and_no_slot(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> object:
        if job.text == "odd":
            ctx.log.info("cannot open caf\udce9.txt")
            raise FileNotFoundError("caf\udce9.txt")
        return object()

    @registry.handles(Scan)
    async def scan(job: Scan, ctx: Context) -> None: ...

    worker = await start_worker()
    broken = await wait((await enqueue(Note(), max_attempts=1)).id)
    odd = await wait((await enqueue(Note(text="odd"), max_attempts=1)).id)
    assert (broken.state, broken.error_code) == ("failed", "TypeError")
    assert (odd.state, odd.last_error) == ("failed", "caf?.txt")
    assert (await wait((await enqueue(Scan())).id)).state == "succeeded"
    assert worker.runs == {}


async def test_what_a_last_turn_claims_is_given_back_too(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Slow, lane="io")
    async def slow(job: Slow, ctx: Context) -> None:
        await asyncio.Event().wait()

    for _ in range(10):
        worker = await start_worker()
        await enqueue(Slow())
        await worker.stop(0)
        rows = await DB.all("SELECT DISTINCT state, attempts, crashes FROM queueJobs")
        assert rows == [{"state": "queued", "attempts": 0, "crashes": 0}]
