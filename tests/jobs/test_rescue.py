"""Real worker processes that die in every way; what they leave must be found and set right."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from db.engine import DB, ApswEngine
from jobs import enqueue as queue
from jobs.enqueue import enqueue, enqueue_many
from jobs.registry import Registry
from jobs.row import Job
from jobs.stats import get, wait
from jobs.worker import Worker
from tests.jobs.children import work
from tests.jobs.children.work import Effect, Hang, Hold, Suicide
from tests.jobs.freezing import freeze

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
QUICK = '{"lease_ms":300,"pulse_s":0.1,"fence_after_ms":200}'

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def registry() -> Registry:
    return work.REGISTRY


@pytest.fixture
async def start(db: ApswEngine, database: Path, data_dir: Path) -> AsyncIterator[Start]:
    """Start worker processes on the test's database; each is killed at the end."""
    await DB.execute("CREATE TABLE effects(job TEXT, pid INTEGER)")
    started: list[asyncio.subprocess.Process] = []

    async def start(timing: str = "{}", failpoint: str = "") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.jobs.children.work", database, data_dir, timing),
            cwd=ROOT,
            env={**os.environ, "HOLDFAST_FAILPOINT": failpoint},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        started.append(process)
        if not failpoint:
            await said(process, "ready")
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, word: str) -> str:
    """The next line of the process, which must begin with `word`."""
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
    assert line.startswith(word), line
    return line


async def running(job_ids: list[str]) -> None:
    async with asyncio.timeout(20):
        while True:
            states = [(await stored(job_id)).state for job_id in job_ids]
            if set(states) == {"running"}:
                return
            await asyncio.sleep(0.01)


async def stored(job_id: str) -> Job:
    row = await get(job_id)
    assert row is not None
    return row


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.feature("Q-05", "Q-06", "Q-77")
async def test_after_kill_9_the_boot_finds_jobs_and_their_children(
    start: Start, registry: Registry, data_dir: Path
) -> None:
    pid_file = data_dir / "pid"
    argv = ("/bin/sh", "-c", f"echo $$ > {pid_file}; exec sleep 600")
    jobs = [await enqueue(Hang(argv=argv)), *await enqueue_many([Hang() for _ in range(19)])]
    process = await start()
    await running([job.id for job in jobs])
    async with asyncio.timeout(10):
        while not (pid_file.exists() and pid_file.read_text().strip()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    orphan = int(pid_file.read_text())
    process.kill()
    await process.wait()
    assert alive(orphan)

    worker = Worker(DB, registry, data_dir)
    await worker.start()
    rows = [await stored(job.id) for job in jobs]
    await worker.stop(0)
    assert not alive(orphan)
    assert {(row.state, row.crashes, row.attempts) for row in rows} == {("queued", 1, 1)}
    assert {row.heal_reason for row in rows} == {"orphaned"}
    assert not list((data_dir / "workers").iterdir())


@pytest.mark.feature("Q-07")
async def test_a_job_that_kills_its_worker_is_poison_and_spares_the_others(start: Start) -> None:
    innocents = [await enqueue(Hang())]
    process = await start()
    await running([innocents[0].id])
    job = await enqueue(Suicide())
    for crash in (1, 2, 3):
        await asyncio.wait_for(process.wait(), 20)
        assert process.returncode == -signal.SIGKILL, crash
        innocents.append(await enqueue(Hang()))
        process = await start()
        # Who was there when it happened is a suspect, too: alone for a minute, but not now.
        await DB.execute(
            "UPDATE queueJobs SET runAt=runAt+3600000 WHERE crashes=1 AND id<>?", [job.id]
        )
        await queue.run_now(job.id)  # do not wait out the delay of a rescue
    done = await stored(job.id)
    assert (done.state, done.error_code, done.crashes) == ("failed", "poison", 3)
    assert {(await stored(each.id)).crashes for each in innocents} <= {0, 1}
    assert process.returncode is None


@pytest.mark.parametrize(
    "point", ["queue_after_claim", "queue_before_finish", "queue_mid_tx", "queue_after_effect"]
)
async def test_killed_at_any_point_the_effect_is_there_once(start: Start, point: str) -> None:
    job = await enqueue(Effect())
    process = await start(failpoint=point)
    await asyncio.wait_for(process.wait(), 20)
    assert process.returncode == -signal.SIGKILL
    await start()
    await queue.run_now(job.id)
    assert (await wait(job.id)).state == "succeeded"
    assert await DB.value("SELECT count(*) FROM effects") == 1


@pytest.mark.feature("Q-05")
async def test_three_processes_and_kill_9_give_each_job_exactly_one_effect(start: Start) -> None:
    processes = [await start() for _ in range(3)]
    asked = []
    for round_ in range(12):
        asked += [job.id for job in await enqueue_many([Effect() for _ in range(40)])]
        if round_ in (3, 7):  # twice at most, or a job's third rescue would be poison
            victim = processes.pop(0)
            await asyncio.sleep(random.uniform(0, 0.03))
            victim.kill()
            await victim.wait()
            processes.append(await start())
    for job_id in asked:
        await queue.run_now(job_id)  # do not wait out the delay of a rescue
    for job_id in asked:
        assert (await wait(job_id, 20)).state == "succeeded"
    doubles = await DB.all("SELECT job FROM effects GROUP BY job HAVING count(*)>1")
    assert doubles == []
    assert await DB.value("SELECT count(DISTINCT job) FROM effects") == len(asked)
    assert await DB.value("PRAGMA integrity_check") == "ok"


@pytest.mark.feature("Q-76")
async def test_a_stopped_worker_that_wakes_up_late_can_write_nothing(
    start: Start, database: Path, data_dir: Path
) -> None:
    go = data_dir / "go"
    zombie = await start(QUICK)
    job = await enqueue(Hold(file=str(go)))
    await said(zombie, "holding")
    await freeze(zombie, database)
    heir = await start(QUICK)
    async with asyncio.timeout(10):
        while (await stored(job.id)).crashes == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await stored(job.id)).heal_reason == "lease_expired"
    await queue.run_now(job.id)
    await said(heir, "holding")
    go.touch()
    done = await wait(job.id)
    zombie.send_signal(signal.SIGCONT)
    await said(zombie, "lost")
    assert await DB.all("SELECT pid FROM effects") == [{"pid": heir.pid}]
    assert await stored(job.id) == done


async def test_a_live_worker_is_never_rescued_from(start: Start, registry: Registry) -> None:
    job = await enqueue(Hang())
    await start()
    await running([job.id])
    second = await start()
    assert (await stored(job.id)).crashes == 0
    second.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(second.wait(), 10) == 0
    assert await DB.value("SELECT count(*) FROM queue_workers") == 1
