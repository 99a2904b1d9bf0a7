"""The queue under fire, each proof beside a build that is wrong on purpose and must turn red."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from db import clock
from db.engine import DB, ApswEngine
from jobs.claim import Complete, Fence, claim, finish
from jobs.enqueue import enqueue
from jobs.stats import get
from tests.jobs.children.work import Effect, Fork, Hold
from tests.jobs.freezing import freeze
from tests.jobs.samples import Note
from tests.reliability.lossy import Lossy

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
QUICK = '{"lease_ms":300,"pulse_s":0.1,"fence_after_ms":200}'
IMAGES = 25

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(db: ApswEngine, database: Path, data_dir: Path) -> AsyncIterator[Start]:
    """Start worker processes, whole or broken in a named way."""
    await DB.execute("CREATE TABLE effects(job TEXT NOT NULL, pid INTEGER NOT NULL)")
    started: list[asyncio.subprocess.Process] = []

    async def start(timing: str = "{}", broken: str = "") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.jobs.children.work", database, data_dir, timing, broken),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        started.append(process)
        assert (await line(process)).startswith("ready")
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 30)).decode()


async def effects() -> int:
    return int(await DB.value("SELECT count(*) FROM effects"))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await true():  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.02)


# ---- a worker that hangs past its lease and wakes up ----


@pytest.mark.feature("Q-76")
@pytest.mark.parametrize(("broken", "found"), [("", 1), ("fence", 2)])
async def test_a_zombies_effect_is_there_only_without_the_fence(
    start: Start, database: Path, data_dir: Path, broken: str, found: int
) -> None:
    go = data_dir / "go"
    zombie = await start(QUICK, broken)
    job = await enqueue(Hold(file=str(go)))
    await line(zombie)
    await freeze(zombie, database)
    heir = await start(QUICK, broken)

    async def taken() -> bool:
        row = await get(job.id)
        return row is not None and row.crashes > 0

    await until(taken)
    await DB.execute("UPDATE queueJobs SET runAt=0 WHERE id=? AND state='queued'", (job.id,))
    await line(heir)
    go.touch()

    async def done() -> bool:
        return await effects() > 0

    await until(done)
    zombie.send_signal(signal.SIGCONT)
    assert (await line(zombie)).split()[0] == ("done" if broken else "lost")
    assert await effects() == found


# ---- a second process beside a living one ----


@pytest.mark.parametrize(("broken", "rescued"), [("", 0), ("locks", 1)])
async def test_a_living_worker_is_robbed_only_without_the_lock_test(
    start: Start, data_dir: Path, broken: str, rescued: int
) -> None:
    first = await start("{}", broken)
    job = await enqueue(Hold(file=str(data_dir / "never")))
    await line(first)
    await start("{}", broken)
    row = await get(job.id)
    assert row is not None
    assert row.crashes == rescued


@pytest.mark.parametrize(("broken", "crashes"), [("", 1), ("forks", 0)])
async def test_a_fork_keeps_a_dead_worker_alive_only_with_the_lock_it_took_along(
    start: Start, broken: str, crashes: int
) -> None:
    dead = await start("{}", broken)
    job = await enqueue(Fork())
    child = int((await line(dead)).split()[1])
    try:
        dead.kill()
        await dead.wait()
        await start()
        row = await get(job.id)
        assert row is not None
        assert row.crashes == crashes
    finally:
        os.kill(child, signal.SIGKILL)


# ---- three processes, killed again and again ----


@pytest.mark.feature("Q-05")
async def test_kills_at_random_moments_lose_nothing_and_double_nothing(start: Start) -> None:
    """15 s here, more at night: what was acknowledged is there, each effect once."""
    seconds = float(os.environ.get("HOLDFAST_KILL_S", "15"))
    chance, asked = random.Random(20261120), []
    processes = [await start() for _ in range(3)]
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        asked += [(await enqueue(Effect(), max_attempts=99)).id for _ in range(10)]
        await asyncio.sleep(chance.uniform(0, 0.1))
        victim = processes.pop(0)
        victim.kill()
        await victim.wait()
        processes.append(await start())
        # A job may be hit at each kill: what is under test is the effect, not the crash budget.
        await DB.execute("UPDATE queueJobs SET crashes=0, runAt=0 WHERE state='queued'")

    async def quiet() -> bool:
        await DB.execute("UPDATE queueJobs SET crashes=0, runAt=0 WHERE state='queued'")
        live = "SELECT count(*) FROM queueJobs WHERE state IN ('queued','running')"
        return int(await DB.value(live)) == 0

    await until(quiet)
    states = await DB.all("SELECT state, count(*) AS n FROM queueJobs GROUP BY +state")
    assert states == [{"state": "succeeded", "n": len(asked)}]
    assert await DB.value("SELECT count(DISTINCT job) FROM effects") == len(asked)
    assert await effects() == len(asked)
    assert await DB.value("PRAGMA integrity_check") == "ok"


# ---- schedules in two processes ----


@pytest.mark.feature("Q-20")
async def test_two_processes_that_are_killed_again_and_again_fire_each_time_once(
    db: ApswEngine, database: Path, data_dir: Path
) -> None:
    """500 firings of five schedules; all there are, none missed, one job each."""
    chance, origin = random.Random(20261128), str(clock.now().timestamp())

    async def process() -> asyncio.subprocess.Process:
        command = ("-m", "tests.jobs.children.fires", str(database), str(data_dir), origin)
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await line(started)
        return started

    running = [await process(), await process()]
    kills = 0
    async with asyncio.timeout(60):
        while await DB.value("SELECT count(*) FROM job_fires") < 500 or kills < 4:
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            victim = running.pop(0)
            victim.kill()
            await victim.wait()
            kills += 1
            running.append(await process())
    for each in running:
        each.kill()
        await each.wait()
    fires = await DB.all("SELECT scheduleId, fireAt, jobId FROM job_fires ORDER BY 1, 2")
    asked = await DB.all("SELECT id FROM queueJobs WHERE scheduleId IS NOT NULL")
    assert {row["jobId"] for row in fires} == {row["id"] for row in asked}
    assert len(fires) == len(asked) >= 500
    steps = {
        later["fireAt"] - sooner["fireAt"]
        for sooner, later in pairwise(fires)
        if sooner["scheduleId"] == later["scheduleId"]
    }
    assert steps == {60_000}, "a time was missed"


# ---- power loss ----


@pytest.fixture
def lossy() -> Iterator[Lossy]:
    vfs = Lossy()
    yield vfs
    vfs.unregister()


async def lost_after(lossy: Lossy, database: Path, folder: Path, synchronous: int) -> int:
    """How many acknowledged enqueues, claims and completions a power loss took back."""
    chance, lost = random.Random(7), 0
    await DB.open(database)
    await DB.writer.look(lambda connection: connection.pragma("synchronous", synchronous))
    expected: dict[str, str] = {}
    for number in range(IMAGES):
        job_id = (await enqueue(Note(text=str(number)))).id
        expected[job_id] = "queued"
        if number % 3:
            row = await DB.write(lambda conn: claim(conn, "w", clock.ms(), 1000, [Note.TYPE]))
            assert row is not None
            expected[row.id] = "running"
            if number % 3 == 2:
                fence = Fence(row.id, "w", row.attempts)
                await DB.write(partial(finish, fence=fence, verb=Complete(), now=clock.ms()))
                expected[row.id] = "succeeded"
        image = folder / str(number)
        await DB.writer.look(partial(cut_power, lossy=lossy, folder=image, chance=chance))
        lost += found_wrong(image / "holdfast.db", expected)
    await DB.close()
    return lost


def cut_power(
    _connection: apsw.Connection, lossy: Lossy, folder: Path, chance: random.Random
) -> None:
    lossy.image(folder, chance)


def found_wrong(path: Path, expected: dict[str, str]) -> int:
    """How many jobs of the image are not as acknowledged; all of them where it cannot be read."""
    try:
        connection = apsw.Connection(str(path), vfs="unix")
        rows = connection.execute("SELECT id, state FROM queueJobs").fetchall()
        states = {str(row[0]): row[1] for row in rows}
        sound = connection.pragma("integrity_check") == "ok"
        connection.close()
    except apsw.Error:
        return len(expected)
    wrong = [job_id for job_id, state in expected.items() if states.get(job_id) != state]
    return len(wrong) if sound else len(expected)


@pytest.mark.feature("Q-73")
async def test_a_power_loss_takes_back_nothing_acknowledged(
    lossy: Lossy, database: Path, tmp_path: Path
) -> None:
    assert await lost_after(lossy, database, tmp_path / "images", synchronous=2) == 0


async def test_without_syncs_the_same_power_loss_takes_much(
    lossy: Lossy, database: Path, tmp_path: Path
) -> None:
    assert await lost_after(lossy, database, tmp_path / "images", synchronous=0) > IMAGES
