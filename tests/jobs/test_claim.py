import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db import clock as time
from db.clock import FakeClock
from db.connection import execute, fetch
from db.engine import DB, ApswEngine
from jobs import claim as sql
from jobs.claim import Complete, Failed, Fence, PutBack, Stopped, claim, finish, rescue_workers
from jobs.enqueue import cancel, enqueue, enqueue_many
from jobs.row import Job
from jobs.stats import get
from tests.jobs.conftest import queue_in_memory
from tests.jobs.samples import Note, Scan, Slow

pytestmark = pytest.mark.anyio

TYPES = [Note.TYPE, Scan.TYPE, Slow.TYPE]


async def take(worker: str = "w1", types: list[str] = TYPES, aging_ms: int = 0) -> Job | None:
    return await DB.write(lambda conn: claim(conn, worker, time.ms(), 30_000, types, aging_ms))


async def end(row: Job, verb: sql.Verb, worker: str = "w1") -> Job | None:
    fence = Fence(row.id, worker, row.attempts)
    return await DB.write(lambda conn: finish(conn, fence, verb, time.ms()))


async def taken(worker: str = "w1") -> Job:
    row = await take(worker)
    assert row is not None
    return row


@pytest.mark.feature("Q-08")
async def test_higher_priority_goes_first_then_the_longer_due(
    db: ApswEngine, clock: FakeClock
) -> None:
    for text, priority, delay_s in [("c", 0, 0), ("d", 0, 5), ("a", 90, 9), ("b", 90, 10)]:
        await enqueue(Note(text=text), priority=priority, delay_s=delay_s)
    await enqueue(Slow(text="b2"), priority=50)
    clock.advance(10)
    order = [Note.decode((await taken()).payload_json).text for _ in range(5)]
    assert order == ["a", "b", "b2", "c", "d"]
    assert await take() is None


@pytest.mark.feature("Q-09")
async def test_a_job_is_not_claimed_before_its_time(db: ApswEngine, clock: FakeClock) -> None:
    await enqueue(Note(), delay_s=60)
    clock.advance(59.9)
    assert await take() is None
    clock.advance(0.2)
    assert await take() is not None


async def test_only_eligible_types_are_claimed(db: ApswEngine) -> None:
    await enqueue(Note(), priority=90)
    await enqueue(Slow())
    row = await take(types=[Slow.TYPE])
    assert row is not None
    assert row.type == Slow.TYPE


async def test_aging_lifts_what_waits_long(db: ApswEngine, clock: FakeClock) -> None:
    old = await enqueue(Note(), priority=0)
    clock.advance(3600)
    young = await enqueue(Slow(), priority=3)
    first = await take(aging_ms=600_000)
    assert first is not None
    assert first.id == old.id
    assert (await taken()).id == young.id


@pytest.mark.feature("Q-17")
async def test_one_serial_key_runs_one_at_a_time_and_the_index_holds_it(
    db: ApswEngine, clock: FakeClock
) -> None:
    await enqueue_many([Note(text="1"), Note(text="2")], serial="shelf")
    other = await enqueue(Note(text="3"), serial="attic", priority=-5)
    first = await taken()
    assert (await taken()).id == other.id
    assert await take() is None
    force = "UPDATE queueJobs SET state='running', lockedBy='bug' WHERE state='queued'"
    with pytest.raises(apsw.ConstraintError, match="serialKey"):
        await DB.execute(force)
    await end(first, Complete())
    assert await take() is not None


@pytest.mark.feature("Q-76")
@pytest.mark.parametrize("verb", [Complete(), Failed("x", "x"), PutBack(), Stopped()])
async def test_an_attempt_that_lost_its_job_changes_nothing(
    db: ApswEngine, clock: FakeClock, verb: sql.Verb
) -> None:
    await enqueue(Note())
    zombie = await taken("w1")
    await DB.write(lambda conn: rescue_workers(conn, time.ms(), ["w1"]))
    clock.advance(2)
    heir = await taken("w2")
    assert await end(zombie, verb, "w1") is None
    assert await end(zombie, verb, "w2") is None
    row = await get(heir.id)
    assert row == heir


async def test_a_failure_is_retried_until_the_attempts_are_spent(
    db: ApswEngine, clock: FakeClock
) -> None:
    await enqueue(Note(), max_attempts=2)
    failed = await end(await taken(), Failed("no", "E", retryable=True, delay_ms=5000))
    assert failed is not None
    assert (failed.state, failed.run_at, failed.error_code) == ("queued", time.ms() + 5000, "E")
    clock.advance(5)
    failed = await end(await taken(), Failed("no", "E", retryable=True, delay_ms=5000))
    assert failed is not None
    assert (failed.state, failed.attempts) == ("failed", 2)


@pytest.mark.feature("Q-11")
async def test_a_snooze_takes_no_attempt(db: ApswEngine, clock: FakeClock) -> None:
    await enqueue(Note(), max_attempts=1)
    for _ in range(3):
        row = await end(await taken(), PutBack(1000, snoozed=True))
        clock.advance(1)
    assert row is not None
    assert (row.state, row.attempts, row.snoozes) == ("queued", 0, 3)


@pytest.mark.parametrize(
    "verb", [Failed("x", "x", retryable=True), Failed("x", "x"), PutBack(), PutBack(snoozed=True)]
)
async def test_a_requested_cancel_wins_over_another_try(db: ApswEngine, verb: sql.Verb) -> None:
    job = await enqueue(Note())
    row = await taken()
    assert await cancel(id=job.id) == 1
    ended = await end(row, verb)
    assert ended is not None
    assert ended.state == "cancelled"


@pytest.mark.feature("Q-07")
async def test_the_third_crash_is_poison(db: ApswEngine, clock: FakeClock) -> None:
    await enqueue(Note(), max_attempts=25)
    for crashes in (1, 2, 3):
        await taken()
        (row,) = await DB.write(lambda conn: rescue_workers(conn, time.ms(), ["w1"]))
        assert row.crashes == crashes
        clock.advance(400)
    assert (row.state, row.error_code, row.heal_reason) == ("failed", "poison", "poison")


async def test_a_cancel_is_not_lost_with_the_worker(db: ApswEngine) -> None:
    job = await enqueue(Note())
    await taken()
    await cancel(id=job.id)
    (row,) = await DB.write(lambda conn: rescue_workers(conn, time.ms(), ["w1"]))
    assert row.state == "cancelled"


@pytest.mark.parametrize(
    ("statement", "args", "indexes"),
    [
        (sql.CLAIM, ("w", 0, 0, "[]", 0), {"qj_ready", "qj_serial"}),
        (sql.RESCUE, (0, "[]", "[]", ""), {"qj_running"}),
        (sql.EXPIRED_LEASES, (0, "", "[]", 0), {"qj_running"}),
        (sql.COMPLETE, ("", "", 0, 0, None), {"sqlite_autoindex_queueJobs_1"}),
    ],
)
async def test_hot_statements_use_their_indexes(
    db: ApswEngine, statement: str, args: tuple[object, ...], indexes: set[str]
) -> None:
    plan = await DB.write(lambda conn: fetch(conn, "EXPLAIN QUERY PLAN " + statement, args))
    lines = [row["detail"] for row in plan]
    assert all(any(index in line for line in lines) for index in indexes), lines
    assert not [line for line in lines if line.startswith("SCAN x")], lines
    assert "SCAN queueJobs" not in lines


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["claim", "complete", "fail", "fatal", "snooze", "return", "crash", "cancel"]
        ),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(steps=STEPS, max_attempts=st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_no_reachable_row_is_queued_for_ever(
    steps: list[tuple[str, int]], max_attempts: int
) -> None:
    """Whatever happens to three jobs, each queued one can be claimed and each attempt is spent."""
    connection = queue_in_memory()
    insert = """INSERT INTO queueJobs(id, type, maxAttempts, runAt, createdAt, updatedAt)
        VALUES(?, 't', ?, 0, 0, 0)"""
    for number in range(3):
        execute(connection, insert, (str(number), max_attempts))
    now = 0
    for step, number in steps:
        now += 1_000_000
        _do(connection, step, str(number), now)
        for row in fetch(connection, "SELECT * FROM queueJobs WHERE state='queued'"):
            assert row["attempts"] < row["maxAttempts"]
            assert row["cancelRequestedAt"] is None
            assert row["runAt"] < now + 1_000_000
    queued = fetch(connection, "SELECT id FROM queueJobs WHERE state='queued'")
    for _ in queued:
        assert claim(connection, "last", now + 1_000_000, 1, ["t"]) is not None
    connection.close()


def _do(connection: apsw.Connection, step: str, job_id: str, now: int) -> None:
    row = fetch(connection, "SELECT * FROM queueJobs WHERE id=?", (job_id,))[0]
    fence = Fence(job_id, row["lockedBy"] or "", row["attempts"])
    match step:
        case "claim":
            claim(connection, f"w{now}", now, 1, ["t"])
        case "complete":
            finish(connection, fence, Complete(), now)
        case "fail":
            finish(connection, fence, Failed("x", "x", retryable=True, delay_ms=500), now)
        case "fatal":
            finish(connection, fence, Failed("x", "x"), now)
        case "snooze":
            finish(connection, fence, PutBack(500, snoozed=True), now)
        case "return":
            finish(connection, fence, PutBack(), now)
        case "crash":
            rescue_workers(connection, now, [fence.worker])
        case "cancel":
            ask = "UPDATE queueJobs SET cancelRequestedAt=? WHERE id=? AND state='running'"
            execute(connection, ask, (now, job_id))


async def test_a_row_is_read_by_the_order_of_its_columns(db: ApswEngine) -> None:
    rows = await DB.all("SELECT name FROM pragma_table_info('queueJobs')")
    fields = msgspec.structs.fields(Job)
    assert [row["name"] for row in rows] == [field.encode_name for field in fields]
