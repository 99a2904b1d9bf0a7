import asyncio
from datetime import timedelta

import apsw
import pytest

from db import clock as time
from db.clock import FakeClock
from db.connection import fetch
from db.engine import DB, ApswEngine
from jobs import enqueue as queue
from jobs import insert
from jobs.enqueue import Duplicate, SerialBacklogFull, enqueue, enqueue_many
from jobs.outcome import Fail
from jobs.registry import Registry
from jobs.row import Job
from jobs.stats import get, list_jobs
from jobs.testing import all_enqueued, assert_enqueued, drain, refute_enqueued
from tests.jobs.samples import Note, Scan

pytestmark = pytest.mark.anyio


async def stored(job_id: str) -> Job:
    row = await get(job_id)
    assert row is not None
    return row


@pytest.mark.feature("Q-03")
async def test_a_rolled_back_request_leaves_no_trace(db: ApswEngine) -> None:
    async def ask_and_fail() -> None:
        async with DB.tx() as tx:
            await enqueue(Note(), tx=tx)
            assert len(await all_enqueued(Note)) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await ask_and_fail()
    await refute_enqueued(Note)


async def test_what_the_payload_says_is_in_the_row(db: ApswEngine) -> None:
    made = await enqueue(Scan(library="attic"), priority=80, owner="anna", subject=("shelf", "7"))
    row = await stored(made.id)
    assert (row.type, row.state, row.priority) == ("samples.scan", "queued", 80)
    assert (row.dedupe_key, row.serial_key) == ("samples.scan:attic", "library:attic")
    assert (row.owner_user_id, row.subject) == ("anna", ("shelf", "7"))


async def test_an_admins_attempts_override_the_types(db: ApswEngine) -> None:
    await DB.execute(
        "INSERT INTO queue_types(type, maxAttempts, updatedAt) VALUES(?, 9, 0)", [Note.TYPE]
    )
    assert (await stored((await enqueue(Note())).id)).max_attempts == 9
    assert (await stored((await enqueue(Note(), max_attempts=2)).id)).max_attempts == 2


@pytest.mark.feature("Q-13")
async def test_asking_at_once_from_all_sides_is_asking_once(db: ApswEngine) -> None:
    asked = await asyncio.gather(*(enqueue(Scan()) for _ in range(100)))
    assert len({each.id for each in asked}) == 1
    assert sum(not each.deduped for each in asked) == 1


async def test_raise_names_the_holder(db: ApswEngine) -> None:
    first = await enqueue(Scan())
    with pytest.raises(Duplicate) as caught:
        await enqueue(Scan(), on_dup="raise")
    assert caught.value.holder_id == first.id


@pytest.mark.feature("Q-15")
async def test_replace_debounces_a_waiting_job(db: ApswEngine, clock: FakeClock) -> None:
    first = await enqueue(Scan(depth=1), priority=30, delay_s=60)
    again = await enqueue(Scan(depth=5), priority=10, delay_s=90, on_dup="replace")
    assert again == insert.Enqueued(first.id, deduped=True)
    row = await stored(first.id)
    assert Scan.decode(row.payload_json).depth == 5
    assert (row.priority, row.run_at) == (30, time.ms() + 90_000)


async def test_replace_leaves_a_holder_of_another_type_alone(db: ApswEngine) -> None:
    first = await enqueue(Note(text="mine"), dedupe="shared")
    await enqueue(Scan(), dedupe="shared", on_dup="replace")
    assert (await stored(first.id)).type == Note.TYPE


@pytest.mark.feature("Q-14")
async def test_once_per_period_also_after_the_job_has_gone(
    db: ApswEngine, clock: FakeClock, registry: Registry
) -> None:
    async def run(job: Note, ctx: object) -> None: ...

    registry.handles(Note)(run)
    first = await enqueue(Note(), unique_for=timedelta(hours=1))
    await drain(registry=registry)
    assert await queue.delete(first.id)
    assert (await enqueue(Note(), unique_for=timedelta(hours=1))).deduped
    clock.advance(3600)
    assert not (await enqueue(Note(), unique_for=timedelta(hours=1))).deduped


async def test_a_serial_key_has_a_capped_backlog(
    db: ApswEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insert, "SERIAL_CAP", 3)
    await enqueue_many([Note() for _ in range(3)], serial="one")
    with pytest.raises(SerialBacklogFull):
        await enqueue(Note(), serial="one")
    await enqueue(Note(), serial="two")


async def test_many_keep_their_order_and_name_duplicates(db: ApswEngine) -> None:
    asked = await enqueue_many([Scan(library=name) for name in "abac"])
    assert [each.deduped for each in asked] == [False, False, True, False]
    assert asked[0].id == asked[2].id
    assert [row.id for row in await list_jobs()] == sorted({e.id for e in asked}, reverse=True)


@pytest.mark.feature("Q-83")
async def test_cancel_by_match_joins_the_callers_transaction(db: ApswEngine) -> None:
    kept = await enqueue(Scan(library="kept"), subject=("shelf", "1"))
    gone = await enqueue(Scan(library="gone"), subject=("shelf", "2"))

    async def cancel_and_fail() -> None:
        async with DB.tx() as tx:
            assert await queue.cancel(type=Scan.TYPE, subject=("shelf", "2"), tx=tx) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await cancel_and_fail()
    assert (await stored(gone.id)).state == "queued"
    assert await queue.cancel(type=Scan.TYPE, subject=("shelf", "2")) == 1
    assert ((await stored(gone.id)).state, (await stored(kept.id)).state) == ("cancelled", "queued")


async def test_cancelling_a_parent_cancels_its_descendants(db: ApswEngine) -> None:
    parent = await enqueue(Note())
    child = await enqueue(Note(), parent=parent.id)
    grandchild = await enqueue(Note(), parent=child.id)
    assert await queue.cancel(id=parent.id) == 3
    assert (await stored(grandchild.id)).state == "cancelled"


async def test_cancel_without_a_key_is_refused(db: ApswEngine) -> None:
    with pytest.raises(ValueError, match="at least one key"):
        await queue.cancel(type=None)


async def test_by_hand_retry_keeps_the_id_and_grants_an_attempt(
    db: ApswEngine, registry: Registry
) -> None:
    async def run(job: Scan, ctx: object) -> None:
        raise Fail("no such shelf", "shelf")

    registry.handles(Scan)(run)
    job = await enqueue(Scan())
    await drain(registry=registry, raise_errors=False)
    assert (await stored(job.id)).state == "failed"
    assert await queue.acknowledge(job.id)
    assert await queue.retry(job.id)
    row = await stored(job.id)
    assert (row.state, row.attempts, row.finished_at, row.acknowledged_at) == (
        "queued",
        1,
        None,
        None,
    )
    assert not await queue.retry(job.id)


async def test_retry_by_hand_meets_a_live_twin(db: ApswEngine) -> None:
    old = await enqueue(Scan())
    await queue.cancel(id=old.id)
    twin = await enqueue(Scan())
    with pytest.raises(Duplicate) as caught:
        await queue.retry(old.id)
    assert caught.value.holder_id == twin.id


async def test_edit_run_now_and_delete_know_their_states(db: ApswEngine, clock: FakeClock) -> None:
    job = await enqueue(Scan(depth=1), delay_s=600)
    assert await queue.edit(job.id, payload=Scan(depth=2), priority=5, label="Deep scan")
    assert await queue.run_now(job.id)
    row = await stored(job.id)
    assert (row.priority, row.label, row.run_at) == (5, "Deep scan", time.ms())
    await assert_enqueued(Scan, depth=2)
    assert not await queue.delete(job.id)
    await queue.cancel(id=job.id)
    assert not await queue.edit(job.id, priority=1)
    assert not await queue.run_now(job.id)
    assert await queue.delete(job.id)
    assert await get(job.id) is None


@pytest.mark.parametrize(
    ("sql", "index"),
    [(insert._HOLDER, "qj_dedupe")],
)
async def test_hot_look_ups_use_their_index(db: ApswEngine, sql: str, index: str) -> None:
    def plan(connection: apsw.Connection) -> list[str]:
        return [row["detail"] for row in fetch(connection, "EXPLAIN QUERY PLAN " + sql, ("x",))]

    assert any(index in line for line in await DB.read(plan))
