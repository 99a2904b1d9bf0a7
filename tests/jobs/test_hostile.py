"""Handlers that block, fork, leak, raise what ends programs, or never return: the worker lives."""

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from db.engine import DB
from jobs.enqueue import enqueue
from jobs.registry import Registry, Steps
from jobs.stats import wait
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note, Slow

pytestmark = pytest.mark.anyio

LAST_WORDS: list[tuple[BaseException, str]] = [
    (SystemExit(3), "Exited"),
    (KeyboardInterrupt(), "Exited"),
    (GeneratorExit(), "GeneratorExit"),
    (MemoryError("no room"), "MemoryError"),
    (RecursionError("deep"), "RecursionError"),
    (asyncio.CancelledError(), "CancelledError"),
    (StopIteration(), "RuntimeError"),
]


async def still_works(registry: Registry) -> None:
    done = await wait((await enqueue(Slow())).id)
    assert done.state == "succeeded"


@pytest.fixture(autouse=True)
def _other(registry: Registry) -> None:
    @registry.handles(Slow)
    async def slow(job: Slow, ctx: Context) -> None: ...


@pytest.mark.feature("Q-02")
@pytest.mark.parametrize(("raised", "code"), LAST_WORDS, ids=lambda given: type(given).__name__)
async def test_what_would_end_a_program_fails_one_job(
    registry: Registry, start_worker: StartWorker, raised: BaseException, code: str
) -> None:
    @registry.handles(Note, backoff=Steps(0))
    async def note(job: Note, ctx: Context) -> None:
        raise raised

    await start_worker()
    done = await wait((await enqueue(Note(), max_attempts=1)).id)
    assert (done.state, done.error_code) == ("failed", code)
    await still_works(registry)


@pytest.mark.parametrize("raised", [SystemExit(3), StopIteration(), asyncio.CancelledError()])
async def test_so_it_is_in_a_thread(
    registry: Registry, start_worker: StartWorker, raised: BaseException
) -> None:
    @registry.handles(Note, thread=True)
    def note(job: Note, ctx: Context) -> None:
        raise raised

    await start_worker()
    done = await wait((await enqueue(Note(), max_attempts=1)).id)
    assert (done.state, done.error_code) == ("failed", "Exited")
    await still_works(registry)


async def test_one_that_blocks_the_loop_loses_no_job(
    registry: Registry, start_worker: StartWorker
) -> None:
    """While it blocks nothing moves; afterwards its own limit and everybody else's job count."""

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> str:
        threading.Event().wait(0.3)
        return "late"

    await start_worker()
    blocked, other = await enqueue(Note(), timeout_s=0.1), await enqueue(Slow())
    done = await wait(blocked.id)
    assert (done.state, done.result_json) == ("succeeded", '"late"'), "it ended before it was asked"
    assert (await wait(other.id)).state == "succeeded"


async def test_a_fork_does_not_keep_a_dead_worker_alive_with_its_children(
    registry: Registry, start_worker: StartWorker, data_dir: Path
) -> None:
    """A program started by hand, past `run_process`, gets neither the lock nor the database."""

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> list[str]:
        script = (
            "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in range(3, 64) "
            "if os.path.exists(f'/proc/self/fd/{n}')])"
        )
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, close_fds=False
        )
        out, _ = await child.communicate()
        return [out.decode()]

    await start_worker()
    done = await wait((await enqueue(Note())).id)
    assert done.state == "succeeded"
    assert str(data_dir) not in (done.result_json or "")
    held = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.exists()]
    assert [path for path in held if path.suffix == ".lock"], "we do hold what it must not get"


async def test_leaked_tasks_and_transactions_do_not_stop_the_next(
    registry: Registry, start_worker: StartWorker
) -> None:
    leaked: list[Any] = []

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        leaked.append(asyncio.ensure_future(asyncio.Event().wait()))
        tx = ctx.tx()
        await tx.__aenter__()
        await DB.execute("INSERT INTO configuration (id, key) VALUES ('leak', 'leak')")

    await DB.close()
    path = DB.path
    assert path is not None
    await DB.open(path, body_limit_s=0.1)  # 5 s in the program
    await start_worker()
    job = await enqueue(Note(), max_attempts=1)
    assert (await wait(job.id)).state == "succeeded"
    assert await DB.value("SELECT count(*) FROM configuration") == 0, "rolled back by its limit"
    await still_works(registry)
    leaked[0].cancel()


async def test_a_corrupt_file_stops_the_worker_and_is_kept_as_it_is(
    registry: Registry, start_worker: StartWorker
) -> None:
    ran: list[str] = []

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        ran.append(job.text)

    worker = await start_worker()
    await wait((await enqueue(Note(text="before"))).id)

    def damage(connection: apsw.Connection) -> None:
        connection.pragma("writable_schema", True)
        sql = "UPDATE sqlite_schema SET rootpage=1000000 WHERE name='qj_ready'"
        connection.execute(sql).fetchall()
        connection.execute("PRAGMA writable_schema=RESET").fetchall()

    await DB.writer.look(damage)
    worker.poke()
    async with asyncio.timeout(10):
        while not worker.corrupt:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    turns = worker.turns
    worker.poke()
    await asyncio.sleep(0.05)
    assert (ran, worker.turns) == (["before"], turns)
