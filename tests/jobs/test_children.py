import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from db.engine import DB
from jobs import enqueue as queue
from jobs import logfile
from jobs.children import Note as GroupNote
from jobs.children import end_orphans
from jobs.context import ProcessFailed
from jobs.enqueue import enqueue
from jobs.registry import Registry
from jobs.stats import get, wait
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note

pytestmark = pytest.mark.anyio


async def test_a_programs_output_is_in_the_jobs_log_file(
    registry: Registry, start_worker: StartWorker, data_dir: Path
) -> None:
    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> int:
        await ctx.run_process(["/bin/sh", "-c", "printf '\\033[31mred\\033[0m\\n'; echo err >&2"])
        return await ctx.run_process(["/bin/sh", "-c", "exit 3"], check=False)

    await start_worker()
    done = await wait((await enqueue(Note())).id)
    assert (done.state, done.result_json) == ("succeeded", "3")
    chunk, at = logfile.read(logfile.path_of(data_dir, done.id, done.created_at))
    assert chunk == b"\x1b[31mred\x1b[0m\nerr\n"
    assert logfile.read(logfile.path_of(data_dir, done.id, done.created_at), at) == (b"", at)


async def test_a_program_hears_nothing_of_our_secrets(
    registry: Registry,
    start_worker: StartWorker,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOLDFAST_MASTER_KEY", "k3y-of-all")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/k3y-of-all")
    monkeypatch.setenv("ORDINARY", "ordinary-47c1")

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        await ctx.run_process(["/usr/bin/env"])

    await start_worker()
    done = await wait((await enqueue(Note())).id)
    said, _at = logfile.read(logfile.path_of(data_dir, done.id, done.created_at))
    assert b"ordinary-47c1" in said
    assert b"k3y-of-all" not in said


async def test_a_failing_program_fails_the_job(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note, permanent=(ProcessFailed,))
    async def note(job: Note, ctx: Context) -> None:
        await ctx.run_process(["/bin/sh", "-c", "exit 7"])

    await start_worker()
    done = await wait((await enqueue(Note())).id)
    assert (done.state, done.error_code) == ("failed", "ProcessFailed")
    assert done.last_error == "/bin/sh ended with status 7"


async def test_a_cancelled_job_takes_its_whole_process_group_along(
    registry: Registry,
    start_worker: StartWorker,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.run.CANCEL_GRACE_S", 0.02)
    monkeypatch.setattr("jobs.context.TERM_S", 0.1)
    script = "trap '' TERM; sleep 600 & echo $! > pid; wait; wait"

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        await ctx.run_process(["/bin/sh", "-c", script], cwd=data_dir)

    await start_worker()
    job = await enqueue(Note())
    async with asyncio.timeout(10):
        while not ((data_dir / "pid").exists() and (data_dir / "pid").read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    grandchild = int((data_dir / "pid").read_text())
    await queue.cancel(id=job.id)
    assert (await wait(job.id)).state == "cancelled"
    stat = Path(f"/proc/{grandchild}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def test_a_group_number_used_again_by_others_is_left_alone(data_dir: Path) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    notes = data_dir / "workers" / "dead.children"
    notes.parent.mkdir()
    notes.write_bytes(msgspec.json.encode([GroupNote(stranger.pid, start=1, job="x")]))
    assert end_orphans(data_dir, "dead") == 0
    assert stranger.returncode is None
    os.kill(stranger.pid, signal.SIGKILL)
    assert await stranger.wait() == -signal.SIGKILL


@pytest.mark.feature("Q-89")
async def test_a_secret_is_in_no_error_no_log_line_no_progress_and_no_log_file(
    registry: Registry, start_worker: StartWorker, data_dir: Path
) -> None:
    """Also where the output comes in pieces that cut the secret in two."""
    halves = "printf 'key sk-sec'; sleep 0.05; printf 'ret used\\nlast sk-secret'"

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        ctx.log.info("calls with sk-secret", header="Bearer sk-secret")
        await ctx.progress(1, message="sent sk-secret")
        await ctx.run_process(["/bin/sh", "-c", halves])
        raise PermissionError("token sk-secret refused")

    await start_worker(redact=lambda text: text.replace("sk-secret", "[hidden]"))
    job = await enqueue(Note(), max_attempts=1)
    done = await wait(job.id)
    told = await DB.all("SELECT * FROM job_events")
    assert done.last_error == "token [hidden] refused"
    assert "calls with [hidden]" in str(told)
    assert "sk-secret" not in f"{await get(job.id)} {told}"
    chunk, _ = logfile.read(logfile.path_of(data_dir, done.id, done.created_at))
    assert chunk == b"key [hidden] used\nlast [hidden]\n"


async def test_a_payload_too_big_for_a_row_is_refused_when_it_is_asked_for(
    start_worker: StartWorker,
) -> None:
    """The origin kept images in its payloads (projects.md 5b, 10): here a file and its id."""
    with pytest.raises(ValueError, match="over 262144"):
        await enqueue(Note(text="x" * 300_000))
