from collections import Counter
from functools import partial

import apsw
import pytest

from db import clock as time
from db.engine import DB, ApswEngine
from jobs import enqueue as queue
from jobs import history
from jobs.enqueue import enqueue, enqueue_many
from jobs.history import Cell, Tally
from jobs.outcome import Fail, Retry
from jobs.registry import Registry, Steps
from jobs.stats import wait
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note, Slow

pytestmark = pytest.mark.anyio

MINUTE, DAY = 60_000, 86_400_000


def test_a_time_belongs_to_the_power_of_two_above_it() -> None:
    assert [history.bucket(ms) for ms in (0, 1, 2, 3, 1000, 10**9)] == [0, 1, 2, 2, 10, 19]


def test_percentiles_are_the_upper_edge_of_their_bucket() -> None:
    buckets = [0] * history.BUCKETS
    buckets[3], buckets[10] = 98, 2
    assert [history.percentile(buckets, share) for share in (0.5, 0.95, 0.99)] == [8, 8, 1024]
    assert history.percentile([0] * history.BUCKETS, 0.5) is None


async def test_a_worker_leaves_figures_by_minute_and_type(
    registry: Registry, start_worker: StartWorker
) -> None:
    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None: ...

    @registry.handles(Slow, lane="io", backoff=Steps(0))
    async def slow(job: Slow, ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry(0)
        raise Fail("no")

    worker = await start_worker()
    asked = [*await enqueue_many([Note()] * 3), await enqueue(Slow())]
    later = await enqueue(Note(), delay_s=60)
    assert await queue.cancel(id=later.id) == 1
    for each in asked:
        await wait(each.id)
    await worker.stop(0)
    figures = await history.by_type(time.ms() - MINUTE)
    assert figures["samples.note"].counts == Counter(succeeded=3, cancelled=1)
    assert figures["samples.slow"].counts == Counter(retried=1, failed=1)
    assert sum(figures["samples.note"].hist.run) == 3
    assert sum(figures["samples.slow"].hist.wait) == 2


async def test_new_jobs_are_counted_once_also_after_a_step_back(
    db: ApswEngine, clock: time.FakeClock
) -> None:
    await enqueue(Slow())
    reached = await DB.write(history.last_row)
    clock.step(-3600)
    await enqueue_many([Note()] * 5)
    for _ in range(2):
        reached = await DB.write(partial(history.count_new, after=reached))
    figures = await history.by_type(time.ms())
    assert {type_: cell.counts["enqueued"] for type_, cell in figures.items()} == {
        "samples.note": 5
    }


async def test_new_jobs_are_counted_after_the_newest_rows_were_pruned(db: ApswEngine) -> None:
    await enqueue_many([Note()] * 5)
    reached = await DB.write(partial(history.count_new, after=0))
    await DB.execute("DELETE FROM queueJobs")
    reached = await DB.write(partial(history.count_new, after=reached))
    await enqueue_many([Slow()] * 3)
    await DB.write(partial(history.count_new, after=reached))
    counts = {type_: cell.counts for type_, cell in (await history.by_type(0)).items()}
    assert counts == {"samples.note": Counter(enqueued=5), "samples.slow": Counter(enqueued=3)}


async def test_a_chart_has_no_gaps(db: ApswEngine, clock: time.FakeClock) -> None:
    await put(time.ms() - 10 * MINUTE, n=4)
    steps = await history.cells(time.ms() - 30 * MINUTE, 5 * MINUTE)
    assert [cell.counts["succeeded"] for _, cell in steps] == [0, 0, 0, 0, 4, 0, 0]


@pytest.mark.feature("Q-91")
async def test_after_a_week_minutes_become_hours(db: ApswEngine, clock: time.FakeClock) -> None:
    old, young = time.ms() - 8 * DAY, time.ms() - DAY
    for minute in range(120):
        await put(old + minute * MINUTE, n=1)
    await put(young + MINUTE, n=1)
    assert await DB.write(history.fold) == 118
    assert await DB.write(history.fold) == 0
    rows = await DB.all("SELECT minute, succeeded FROM queue_stats ORDER BY minute")
    assert [row["succeeded"] for row in rows] == [60, 60, 1]
    whole = history.total([cell for _, cell in await history.cells(old, DAY)])
    assert sum(whole.hist.run) == 121


async def put(at_ms: int, *, n: int) -> None:
    tally = Tally()
    tally.count("samples.note", "succeeded", n)
    for _ in range(n):
        tally.attempt("samples.note", 5, 100)
    (cell,) = tally.take().values()

    def write(connection: apsw.Connection) -> None:
        history.write(connection, {(at_ms // MINUTE, "samples.note"): cell})

    await DB.write(write)


def test_what_could_not_be_written_is_kept() -> None:
    tally = Tally()
    tally.count("a", "failed")
    taken = tally.take()
    tally.count("a", "failed")
    tally.restore(taken)
    assert [cell.counts["failed"] for cell in tally.take().values()] == [2]
    assert Cell().hist.run == [0] * history.BUCKETS
