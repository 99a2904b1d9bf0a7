import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from db import changes
from db import clock as time
from db.engine import DB
from jobs import enqueue as queue
from jobs.enqueue import enqueue, enqueue_many
from jobs.outcome import Cancel, Fail, Retry
from jobs.registry import Registry, Steps
from jobs.row import Job
from jobs.stats import explain, get, wait
from jobs.worker import Context
from tests.jobs.conftest import Gate, StartWorker
from tests.jobs.samples import Note, Scan, Slow

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


@pytest.mark.feature("Q-34")
async def test_what_is_asked_for_is_claimed_in_the_same_commit(
    registry: Registry, start_worker: StartWorker, gate: Gate
) -> None:
    """So a job starts one sync of the disk after `enqueue`, alone or in a bigger transaction."""
    commits: list[list[str]] = []
    worker = await start_worker()
    await asyncio.sleep(0.05)
    stop = changes.subscribe(lambda all_: commits.append([change.table for change in all_]))
    await enqueue(Slow(text="alone"))
    async with DB.tx():
        await DB.execute("INSERT INTO configuration (id, key) VALUES ('k', 'k')")
        await enqueue(Slow(text="beside"))
    await until(lambda: _count(gate, 2))
    stop()
    assert commits == [["queueJobs"] * 2, ["configuration"] + ["queueJobs"] * 2]
    assert worker.turns == 3, "the one at its start, and these two"
    gate.opened.set()


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
