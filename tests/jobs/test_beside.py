"""What runs beside the jobs may not hold them up: causes are counted, not time."""

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from db import changes
from db import clock as time
from db.changes import Change
from db.engine import DB
from jobs import upkeep
from jobs.enqueue import enqueue, enqueue_many
from jobs.outcome import Fail
from jobs.registry import Registry
from jobs.stats import list_jobs, wait
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note, Slow

pytestmark = pytest.mark.anyio

OLD = int(os.environ.get("HOLDFAST_ROWS", "20000"))  # a million at night


@pytest.mark.feature("Q-91")
async def test_pruning_goes_in_small_commits_and_lets_jobs_in_between(
    registry: Registry, start_worker: StartWorker, data_dir: Path
) -> None:
    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None: ...

    def fill(connection: apsw.Connection) -> None:
        connection.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<?1)
            INSERT INTO queueJobs(id, type, state, runAt, createdAt, updatedAt, finishedAt)
            SELECT printf('old-%07d', i), 'samples.old', 'succeeded', 1, 1, 1, 1 FROM n""",
            (OLD,),
        ).fetchall()

    await DB.write(fill)
    await start_worker()
    commits: list[list[Change]] = []
    stop = changes.subscribe(commits.append)
    asking = asyncio.ensure_future(keep_asking())
    more = True
    while more:  # two seconds at a time
        _, more = await upkeep.prune(data_dir)
    asking.cancel()
    stop()
    deleted = [sum(is_delete(change) for change in commit) for commit in commits]
    assert sum(deleted) == OLD
    assert max(deleted) <= upkeep.STEP
    first, last = (order(deleted).index(True), len(deleted) - 1 - order(deleted)[::-1].index(True))
    assert 0 in deleted[first:last], "no job got a turn while it pruned"


def is_delete(change: Change) -> bool:
    return change.table == "queueJobs" and str(change.key).startswith("old-")


def order(deleted: list[int]) -> list[bool]:
    return [count > 0 for count in deleted]


async def keep_asking() -> None:
    while True:
        await enqueue(Note())


@pytest.mark.feature("Q-28")
async def test_progress_of_many_jobs_is_two_commits_a_second(
    registry: Registry, start_worker: StartWorker
) -> None:
    """20 jobs say 10,000 things in about a second; the last of each is what the row shows."""

    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None:
        for done in range(500):
            await ctx.progress(done, 500, f"step {done}")
            await asyncio.sleep(0.002)
        await held.wait()

    held = asyncio.Event()
    await start_worker()
    jobs = await enqueue_many([Note() for _ in range(20)])
    while len(await list_jobs(state="running")) < 20:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    commits: list[list[Change]] = []
    stop, began = changes.subscribe(commits.append), time.monotonic()
    last = "SELECT count(*) FROM queueJobs WHERE progressMessage='step 499'"
    async with asyncio.timeout(30):
        while await DB.value(last) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop()
    flushes = [commit for commit in commits if any(each.table == "queueJobs" for each in commit)]
    assert 1 <= len(flushes) <= 2 * (time.monotonic() - began) + 1
    held.set()
    assert [(await wait(job.id)).state for job in jobs] == ["succeeded"] * 20


@pytest.mark.feature("Q-84")
async def test_a_chain_grows_in_the_commit_that_ends_each_link(
    registry: Registry, start_worker: StartWorker
) -> None:
    """No moment at which a link is done and the next one is not asked for, or the reverse."""
    parted: list[int] = []
    looks: list[asyncio.Task[None]] = []

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        if len(job.text) < 4:
            ctx.then(Note(text=job.text + "x"), label=f"link {len(job.text) + 1}")
        else:
            ctx.then(Slow(text="never: its parent fails"))
            raise Fail("the chain ends here")

    def look(_commit: list[Change]) -> None:
        looks.append(asyncio.get_running_loop().create_task(count()))

    async def count() -> None:
        parted.append(
            await DB.value(
                "SELECT count(*) FROM queueJobs p WHERE state='succeeded' AND 1 <>"
                " (SELECT count(*) FROM queueJobs c WHERE c.parentId=p.id)"
            )
        )

    stop = changes.subscribe(look)
    await start_worker()
    link = await wait((await enqueue(Note(text="x"), owner="anna", max_attempts=1)).id)
    told = []
    while link.state == "succeeded":
        (child,) = await list_jobs(parent=link.id)
        link = await wait(child.id)
        told.append((link.label, link.owner_user_id))
    stop()
    await asyncio.gather(*looks)
    assert told == [("link 2", "anna"), ("link 3", "anna"), ("link 4", "anna")]
    assert await list_jobs(parent=link.id) == []
    assert set(parted) == {0}
