import asyncio
from pathlib import Path

import apsw
import pytest

from db import clock as time
from db.engine import DB, ApswEngine
from jobs import batch, bell, logfile, upkeep
from jobs import enqueue as queue
from jobs.enqueue import enqueue, enqueue_many
from jobs.registry import Registry
from jobs.stats import counts, get, list_jobs, wait
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note, Slow
from tests.jobs.test_worker import until

pytestmark = pytest.mark.anyio

DAY_S = 86_400


async def end(state: str, ids: list[str]) -> None:
    now = time.ms()

    def write(connection: apsw.Connection) -> None:
        connection.executemany(
            "UPDATE queueJobs SET state=?, finishedAt=? WHERE id=?",
            [(state, now, each) for each in ids],
        )

    await DB.write(write)


async def made(n: int, state: str) -> list[str]:
    ids = [each.id for each in await enqueue_many([Note()] * n)]
    await end(state, ids)
    return ids


@pytest.mark.feature("Q-91")
async def test_each_state_goes_after_its_own_time(
    db: ApswEngine, data_dir: Path, clock: time.FakeClock
) -> None:
    good, bad = await made(1200, "succeeded"), await made(3, "failed")
    gone = await made(2, "cancelled")
    live = await enqueue(Note())
    clock.advance(7 * DAY_S - 60)
    assert await upkeep.prune(data_dir) == (0, False)
    clock.advance(120)
    assert await upkeep.prune(data_dir) == (1202, False)
    assert await get(good[0]) is None
    assert await get(gone[0]) is None
    assert await get(bad[0]) is not None
    clock.advance(24 * DAY_S)
    assert await upkeep.prune(data_dir) == (3, False)
    assert await get(live.id) is not None


async def test_events_and_log_file_go_with_their_job(
    db: ApswEngine, data_dir: Path, clock: time.FakeClock
) -> None:
    (job_id,) = await made(1, "succeeded")
    row = await get(job_id)
    assert row is not None
    path = logfile.path_of(data_dir, job_id, row.created_at)
    logfile.LogFile(path).append(b"output")
    await DB.execute(
        "INSERT INTO job_events(id, job_id, level, message, created_at) VALUES('e',?,'info','x',0)",
        (job_id,),
    )
    clock.advance(8 * DAY_S)
    await upkeep.prune(data_dir)
    assert not path.exists()
    assert await DB.value("SELECT count(*) FROM job_events") == 0


async def test_children_wait_for_their_batch(
    db: ApswEngine, data_dir: Path, clock: time.FakeClock
) -> None:
    async with batch.batch() as group:
        group.add(Note())
        group.add(Slow())
    (early,) = await list_jobs(type="samples.note")
    await end("succeeded", [early.id])
    clock.advance(8 * DAY_S)
    assert await upkeep.prune(data_dir) == (0, False)
    await queue.cancel(type="samples.slow")
    await DB.execute("UPDATE queue_batches SET finishedAt=?", (time.ms(),))
    assert (await upkeep.prune(data_dir))[0] == 1


async def test_the_view_of_what_is_left_is_right(db: ApswEngine, data_dir: Path) -> None:
    await made(4, "succeeded")
    assert (await upkeep.prune(data_dir))[0] == 0
    assert (await counts()).succeeded == 4


@pytest.mark.feature("Q-85")
async def test_a_tick_comes_again_and_again_and_leaves_no_row(
    registry: Registry, start_worker: StartWorker
) -> None:
    ticks: list[int] = []

    @registry.tick(every_s=0.01)
    async def reap() -> None:
        ticks.append(len(ticks))
        if len(ticks) == 2:
            raise RuntimeError("once")

    worker = await start_worker()

    async def fourth() -> bool:
        return len(ticks) >= 4

    await until(fourth)
    state = worker.ticks["jobs.reap"]
    assert state.last_at is not None
    assert state.error is None
    assert await list_jobs() == []
    assert await DB.value("SELECT count(*) FROM job_fires") == 0


@pytest.mark.feature("Q-85")
async def test_two_processes_ticking_ask_for_each_thing_once(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.tick(every_s=0.005)
    async def look() -> None:
        for n in range(3):
            await enqueue(Note(text=str(n)), dedupe=f"note:{n}")

    await start_worker()
    await start_worker()
    await asyncio.sleep(0.2)
    assert len(await list_jobs()) == 3


async def test_a_byte_wakes_the_worker(
    registry: Registry, start_worker: StartWorker, tmp_path: Path, data_dir: Path
) -> None:
    worker = await start_worker()
    if not bell.path_of(data_dir).exists():
        pytest.fail("the path of the data folder is too long for a socket")
    turns = worker.turns
    bell.ring(data_dir)

    async def looked() -> bool:
        return worker.turns > turns

    await until(looked)
    bell.ring(tmp_path / "nobody")


@pytest.mark.feature("Q-79")
async def test_a_suspect_that_lives_on_holds_up_nobody_for_hours(
    registry: Registry, start_worker: StartWorker, clock: time.FakeClock
) -> None:
    gate = asyncio.Event()

    @registry.handles(Slow, lane="long")
    async def slow(job: Slow, ctx: Context) -> None:
        await gate.wait()

    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None: ...

    suspect = await enqueue(Slow(), timeout_s=0)
    await DB.execute("UPDATE queueJobs SET crashes=1 WHERE id=?", (suspect.id,))
    await start_worker()

    async def runs() -> bool:
        row = await get(suspect.id)
        return row is not None and row.state == "running"

    await until(runs)
    other = await enqueue(Note())
    with pytest.raises(TimeoutError):
        await wait(other.id, timeout_s=0.1)
    clock.advance(61)
    assert (await wait(other.id)).state == "succeeded"
    gate.set()
    assert (await wait(suspect.id)).state == "succeeded"
