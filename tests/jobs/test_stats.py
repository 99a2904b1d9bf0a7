import pytest

from db.clock import FakeClock
from db.engine import ApswEngine
from jobs import enqueue as queue
from jobs import stats
from jobs.enqueue import enqueue, enqueue_many
from jobs.registry import Registry
from jobs.stats import Counts, counts, explain, list_jobs
from jobs.why import Reason
from tests.jobs.samples import Note, Scan

pytestmark = pytest.mark.anyio


async def test_pages_of_a_filtered_list_follow_each_other(db: ApswEngine) -> None:
    made = [job.id for job in await enqueue_many([Note() for _ in range(5)], owner="anna")]
    await enqueue(Note(), owner="ben")
    first = await list_jobs(owner="anna", limit=3)
    second = await list_jobs(owner="anna", limit=3, cursor=first[-1].id)
    assert [row.id for row in first + second] == made[::-1]
    assert await list_jobs(type=Scan.TYPE) == []


async def test_the_list_of_an_owner_holds_nobody_elses(db: ApswEngine) -> None:
    await enqueue(Note(), owner="anna", subject=("shelf", "1"))
    await enqueue(Note(), owner="ben", subject=("shelf", "1"))
    rows = await list_jobs(owner="anna", subject=("shelf", "1"))
    assert [row.owner_user_id for row in rows] == ["anna"]


async def test_counts_tell_the_states_apart(db: ApswEngine, clock: FakeClock) -> None:
    await enqueue(Note())
    await enqueue(Note(), delay_s=60)
    gone = await enqueue(Note())
    await queue.cancel(id=gone.id)
    expected = Counts(queued=2, scheduled=1, running=0, succeeded=0, failed=0, cancelled=1)
    assert await counts() == expected


async def test_a_job_that_may_start_has_no_reason_to_wait(
    db: ApswEngine, registry: Registry
) -> None:
    async def run(job: Note, ctx: object) -> None: ...

    registry.handles(Note)(run)
    job = await enqueue(Note())
    assert await explain(job.id, registry) == []
    await queue.cancel(id=job.id)
    assert await explain(job.id, registry) == [Reason("not_queued", "cancelled")]
    with pytest.raises(LookupError):
        await explain("nobody", registry)


async def test_waiting_for_a_job_that_does_not_end_times_out(db: ApswEngine) -> None:
    job = await enqueue(Note())
    with pytest.raises(TimeoutError):
        await stats.wait(job.id, 0.02)
