import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import apsw
import pytest

from db import clock as time
from db.engine import DB, Tx
from jobs import enqueue as queue
from jobs.enqueue import enqueue, enqueue_many
from jobs.outcome import Cancel, Fail, Retry
from jobs.registry import Registry, Steps
from jobs.row import Job
from jobs.stats import explain, get, wait
from jobs.worker import Context, Worker
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Aged, Note, Scan, Slow

pytestmark = pytest.mark.anyio

AT_ONCE = Steps(0)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What `condition` gives once it is true."""
    async with asyncio.timeout(10):
        while not (found := await condition()):  # noqa: ASYNC110 - any change counts
            await asyncio.sleep(0.005)
    return found


async def stored(job_id: str) -> Job:
    row = await get(job_id)
    assert row is not None
    return row


async def events(job_id: str) -> list[dict[str, Any]]:
    return await DB.all("SELECT * FROM job_events WHERE job_id=? ORDER BY id", [job_id])


class Gate:
    """Handlers that wait here say that they came."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.most = 0
        self.opened = asyncio.Event()

    async def pass_through(self, text: str) -> None:
        self.here.append(text)
        self.most = max(self.most, len(self.here))
        await self.opened.wait()
        self.here.remove(text)


@pytest.fixture
def gate(registry: Registry) -> Gate:
    gate = Gate()

    @registry.handles(Slow)
    async def slow(job: Slow, ctx: Context) -> None:
        await gate.pass_through(job.text)

    return gate


@pytest.mark.feature("Q-01", "Q-25", "Q-35")
async def test_a_job_runs_with_its_payload_and_keeps_its_result(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Scan)
    async def scan(job: Scan, ctx: Context) -> dict[str, object]:
        return {"library": job.library, "depth": job.depth + ctx.attempt}

    await start_worker()
    done = await wait((await enqueue(Scan(library="attic", depth=4))).id)
    assert (done.state, done.progress, done.locked_by) == ("succeeded", 100, None)
    assert done.result_json == '{"library":"attic","depth":5}'


@pytest.mark.feature("Q-34")
async def test_a_commit_wakes_the_worker_without_a_poll(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None: ...

    worker = await start_worker()
    await wait((await enqueue(Note())).id, 5)
    await asyncio.sleep(0.1)
    turns = worker.turns
    await asyncio.sleep(0.3)
    assert worker.turns == turns, "an idle worker looks at nothing"
    await wait((await enqueue(Note())).id, 5)
    assert worker.turns > turns


async def test_a_job_due_later_starts_when_it_is_due(
    registry: Registry, start_worker: StartWorker
) -> None:
    started = asyncio.Event()

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        started.set()

    await start_worker()
    await enqueue(Note(), delay_s=0.15)
    await asyncio.sleep(0.05)
    assert not started.is_set()
    await asyncio.wait_for(started.wait(), 5)


@pytest.mark.feature("Q-10")
async def test_a_failing_job_is_tried_again_and_its_history_kept(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note, backoff=Steps(0.01, 0.02))
    async def note(job: Note, ctx: Context) -> None:
        if ctx.attempt < 3:
            raise RuntimeError(f"attempt {ctx.attempt}")

    await start_worker()
    done = await wait((await enqueue(Note())).id)
    assert (done.state, done.attempts, done.last_error) == ("succeeded", 3, None)
    history = await events(done.id)
    assert [line["message"] for line in history] == ["attempt 1", "attempt 2"]
    assert '"outcome":"retrying"' in history[0]["metadata"]
    assert "RuntimeError" in history[0]["metadata"]


class PortalDown(Exception):
    retry = False


@pytest.mark.feature("Q-12")
@pytest.mark.parametrize(
    ("raised", "state", "code"),
    [
        (Fail("no such person", "unknown"), "failed", "unknown"),
        (PortalDown("closed"), "failed", "PortalDown"),
        (KeyError("listed"), "failed", "KeyError"),
        (Cancel("pointless"), "cancelled", None),
    ],
)
async def test_what_a_handler_raises_decides(
    registry: Registry, start_worker: StartWorker, raised: Exception, state: str, code: str | None
) -> None:
    @registry.handles(Note, permanent=(KeyError,), backoff=AT_ONCE)
    async def note(job: Note, ctx: Context) -> None:
        raise raised

    await start_worker()
    done = await wait((await enqueue(Note())).id)
    assert (done.state, done.attempts, done.error_code) == (state, 1, code)


async def test_retry_and_snooze_say_when(registry: Registry, start_worker: StartWorker) -> None:
    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        raise Retry(after_s=600)

    @registry.handles(Slow)
    async def slow(job: Slow, ctx: Context) -> None:
        if ctx.snoozes == 0:
            await ctx.sleep(600)

    await start_worker()
    retried, snoozed = await enqueue(Note()), await enqueue(Slow())

    async def both_waiting() -> bool:
        rows = [await stored(retried.id), await stored(snoozed.id)]
        return all(row.run_at > time.ms() + 500_000 for row in rows)

    await until(both_waiting)
    assert ((await stored(retried.id)).attempts, (await stored(snoozed.id)).attempts) == (1, 0)
    assert (await stored(snoozed.id)).snoozes == 1
    assert [reason.why for reason in await explain(snoozed.id, registry)] == ["scheduled"]


@pytest.mark.feature("Q-31")
async def test_pause_and_slots_act_at_once(
    registry: Registry, start_worker: StartWorker, gate: Gate
) -> None:
    await start_worker()
    await DB.execute("UPDATE queueSettings SET paused=1")
    jobs = await enqueue_many([Slow(text=str(n)) for n in range(6)])
    await asyncio.sleep(0.05)
    assert gate.here == []
    assert [reason.why for reason in await explain(jobs[0].id, registry)] == ["paused"]
    await DB.execute("UPDATE queueSettings SET paused=0")
    await until(lambda: _count(gate, 2))
    await asyncio.sleep(0.05)
    assert gate.here == ["0", "1"]
    assert [reason.why for reason in await explain(jobs[5].id, registry)] == ["lane_full"]
    await DB.execute("UPDATE queueSettings SET concurrency=4")
    await until(lambda: _count(gate, 4))
    gate.opened.set()
    await wait(jobs[5].id)


async def _count(gate: Gate, n: int) -> bool:
    return len(gate.here) == n


@pytest.mark.feature("Q-18")
async def test_a_types_limit_can_be_changed_while_it_runs(
    registry: Registry, start_worker: StartWorker, gate: Gate
) -> None:
    limit = "INSERT INTO queue_types(type, concurrency, updatedAt) VALUES('samples.slow', 1, 0)"
    await DB.execute(limit)
    await start_worker()
    jobs = await enqueue_many([Slow(text=str(n)) for n in range(3)])
    await until(lambda: _count(gate, 1))
    await asyncio.sleep(0.05)
    assert gate.here == ["0"]
    assert [reason.why for reason in await explain(jobs[1].id, registry)] == ["type_limit"]
    await DB.execute("UPDATE queue_types SET concurrency=2")
    await until(lambda: _count(gate, 2))
    gate.opened.set()
    await wait(jobs[2].id)


@pytest.mark.feature("Q-75")
async def test_heavy_work_does_not_hold_up_light_work(
    registry: Registry, start_worker: StartWorker, gate: Gate
) -> None:
    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None: ...

    await start_worker()
    await enqueue_many([Slow(text=str(n)) for n in range(5)], priority=90)
    await until(lambda: _count(gate, 2))
    assert (await wait((await enqueue(Note(), priority=-5)).id, 5)).state == "succeeded"
    gate.opened.set()


@pytest.mark.feature("Q-04")
async def test_rows_completion_and_the_next_job_commit_together(
    registry: Registry, start_worker: StartWorker
) -> None:
    await DB.execute("CREATE TABLE effects(job TEXT)")

    @registry.handles(Scan, backoff=AT_ONCE)
    async def scan(job: Scan, ctx: Context) -> None:
        ctx.then(Note(text="after"))
        async with ctx.tx() as tx:
            await DB.execute("INSERT INTO effects VALUES(?)", [ctx.id])
            await ctx.complete(tx, "half" if ctx.attempt == 1 else "whole")
            if ctx.attempt == 1:
                raise RuntimeError("rolled back")

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> str:
        return job.text

    await start_worker()
    done = await wait((await enqueue(Scan(), owner="anna")).id)
    assert (done.state, done.attempts, done.result_json) == ("succeeded", 2, '"whole"')
    assert await DB.value("SELECT count(*) FROM effects") == 1
    children = await DB.all("SELECT id, ownerUserId FROM queueJobs WHERE parentId=?", [done.id])
    assert [child["ownerUserId"] for child in children] == ["anna"]
    assert (await wait(children[0]["id"])).result_json == '"after"'


@pytest.mark.feature("Q-26")
async def test_a_running_job_is_asked_then_interrupted(
    registry: Registry, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.run.CANCEL_GRACE_S", 0.05)
    polite, deaf, ended = asyncio.Event(), asyncio.Event(), []

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        polite.set()
        try:
            await ctx.sleep(30)
        finally:
            ended.append(ctx.cancelled)

    @registry.handles(Slow)
    async def slow(job: Slow, ctx: Context) -> None:
        deaf.set()
        await asyncio.Event().wait()

    await start_worker()
    jobs = [await enqueue(Note()), await enqueue(Slow())]
    await asyncio.gather(polite.wait(), deaf.wait())
    for job in jobs:
        assert await queue.cancel(id=job.id) == 1
    assert [(await wait(job.id)).state for job in jobs] == ["cancelled", "cancelled"]
    assert ended == [True]


@pytest.mark.feature("Q-27")
async def test_a_job_over_its_time_ends_and_a_stuck_one_is_written_off(
    registry: Registry, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.run.STUCK_S", 0.05)
    release = asyncio.Event()

    @registry.handles(Note, backoff=AT_ONCE)
    async def note(job: Note, ctx: Context) -> None:
        await asyncio.Event().wait()

    @registry.handles(Slow)
    async def slow(job: Slow, ctx: Context) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    await start_worker()
    slept = await wait((await enqueue(Note(), timeout_s=0.02, max_attempts=2)).id)
    assert (slept.state, slept.error_code, slept.attempts) == ("failed", "timeout", 2)
    stuck = await wait((await enqueue(Slow(), timeout_s=0.02)).id)
    assert (stuck.state, stuck.error_code, stuck.attempts) == ("failed", "timeout_stuck", 1)
    release.set()


@pytest.mark.feature("Q-30")
async def test_a_shutdown_gives_back_what_does_not_end(
    registry: Registry, start_worker: StartWorker
) -> None:
    release, running = asyncio.Event(), []

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        running.append(ctx)
        await release.wait()

    @registry.handles(Slow)
    async def slow(job: Slow, ctx: Context) -> None:
        running.append(ctx)
        await asyncio.Event().wait()

    worker = await start_worker()
    finishing, held, late = await enqueue(Note()), await enqueue(Slow()), None
    await until(lambda: _running(running, 2))
    stopping = asyncio.ensure_future(worker.stop(0.3))
    await asyncio.sleep(0.02)
    assert all(ctx.draining for ctx in running)
    late = await enqueue(Note())
    release.set()
    await stopping
    assert (await stored(finishing.id)).state == "succeeded"
    given = await stored(held.id)
    assert (given.state, given.attempts, given.crashes) == ("queued", 0, 0)
    assert [line["message"] for line in await events(held.id)] == ["returned by shutdown"]
    assert (await stored(late.id)).attempts == 0
    assert await DB.value("SELECT count(*) FROM queue_workers") == 0


async def _running(running: list[Any], n: int) -> bool:
    return len(running) == n


@pytest.mark.feature("Q-28", "Q-29")
async def test_progress_and_log_lines_show_while_the_job_runs(
    registry: Registry, start_worker: StartWorker
) -> None:
    seen = asyncio.Event()

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        for done in range(1000):
            await ctx.progress(done, 2000, f"page {done}")
        ctx.log.warn(  # noqa: G010
            "slow answer from sk-secret", status=429
        )
        await seen.wait()

    await start_worker(redact=lambda text: text.replace("sk-secret", "[hidden]"))
    job = await enqueue(Note())

    async def shown() -> Job | None:
        row = await stored(job.id)
        return row if row.progress is not None else None

    row = await until(shown)
    assert (row.state, row.progress, row.progress_message) == ("running", 50, "page 999")
    (line,) = await events(job.id)
    assert (line["level"], line["context"]) == ("warn", Note.TYPE)
    assert (line["message"], line["metadata"]) == ("slow answer from [hidden]", '{"status":429}')
    seen.set()
    await wait(job.id)


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
