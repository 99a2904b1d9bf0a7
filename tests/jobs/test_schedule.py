from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import Any

import apsw
import pytest

from db import clock as time
from db.engine import DB, ApswEngine
from jobs import schedule
from jobs.enqueue import enqueue
from jobs.registry import Registry
from jobs.stats import get
from jobs.worker import Context
from tests.jobs.conftest import StartWorker
from tests.jobs.samples import Note, Scan
from tests.jobs.test_worker import until

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR, DAY = 3600, 86_400


@pytest.fixture
def fake() -> Any:
    with time.use(time.FakeClock(NOON)) as clock:
        yield clock


async def sync(registry: Registry) -> None:
    await DB.write(partial(schedule.sync, registry=registry))


async def look(registry: Registry) -> int | None:
    def write(connection: apsw.Connection) -> int | None:
        return schedule.fire_due(connection, registry, time.ms())

    return await DB.write(write)


async def fires() -> list[str]:
    rows = await DB.all("SELECT * FROM job_fires ORDER BY scheduleId, fireAt")
    return [f"{time.from_ms(row['fireAt']):%d %H:%M} {row['outcome']}" for row in rows]


async def jobs_made() -> int:
    return int(await DB.value("SELECT count(*) FROM queueJobs"))


async def finish_all() -> None:
    await DB.execute("DELETE FROM queueJobs")


@pytest.mark.feature("Q-20")
async def test_a_schedule_fires_at_its_time(
    registry: Registry, start_worker: StartWorker, clock: time.FakeClock
) -> None:
    heard: list[str] = []
    registry.schedule("samples.nightly", Note(text="night"), cron="30 3 * * *")

    @registry.handles(Note)
    async def note(job: Note, ctx: Context) -> None:
        heard.append(job.text)

    await start_worker()
    clock.advance(15 * HOUR)
    assert heard == []
    clock.advance(HOUR)

    async def ran() -> bool:
        return heard == ["night"]

    await until(ran)
    assert await fires() == ["02 03:30 enqueued"]
    made = await DB.one("SELECT scheduleId, runAt, state FROM queueJobs")
    assert made is not None
    assert made["scheduleId"] == "samples.nightly"


@pytest.mark.feature("Q-20")
async def test_two_processes_and_restarts_fire_each_time_once(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    """500 firings, looked at twice each, with the next time rolled back as a crash would."""
    registry.schedule("a", Note(), every_s=60, overlap="queue")
    await sync(registry)
    for step in range(500):
        fake.advance(60)
        before = await DB.value("SELECT nextFireAt FROM job_schedules")
        await look(registry)
        if step % 3 == 0:
            await DB.execute("UPDATE job_schedules SET nextFireAt=?", (before,))
        await look(registry)
    assert await jobs_made() == 500
    assert await DB.value("SELECT count(*) FROM job_fires") == 500


async def test_a_crash_between_firing_and_job_loses_neither(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    from db import failpoints

    registry.schedule("a", Note(), every_s=60)
    await sync(registry)
    fake.advance(60)
    failpoints.arm("schedule_between:enospc")

    def whole(connection: apsw.Connection) -> None:
        schedule.fire_due(connection, registry, time.ms())
        raise RuntimeError("the process dies")

    with pytest.raises(RuntimeError):
        await DB.write(whole)
    assert await jobs_made() == 0
    await look(registry)
    assert await fires() == ["01 12:01 enqueued"]
    assert await jobs_made() == 1


@pytest.mark.feature("Q-21")
@pytest.mark.parametrize(
    ("catch_up", "jobs", "told"),
    [
        ("one", 1, ["01 17:00 enqueued"]),
        ("skip", 0, ["01 17:00 skipped_late"]),
        ("all", 5, [f"01 {hour}:00 enqueued" for hour in range(13, 18)]),
    ],
)
async def test_what_was_missed_while_down(
    db: ApswEngine, registry: Registry, fake: time.FakeClock, catch_up: Any, jobs: int, told: Any
) -> None:
    registry.schedule("a", Note(), cron="0 * * * *", catch_up=catch_up)
    await sync(registry)
    fake.advance(5 * HOUR + 1800)
    await look(registry)
    assert await fires() == told
    assert await jobs_made() == jobs
    fake.advance(1800)
    await finish_all()
    await look(registry)
    assert await jobs_made() == 1


@pytest.mark.feature("Q-21")
async def test_while_the_last_run_goes_on_no_other_waits(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    """A paused queue lets one job wait: resuming releases no flood."""
    registry.schedule("skips", Note(), every_s=60)
    registry.schedule("queues", Note(), every_s=60, overlap="queue")
    await sync(registry)
    for _ in range(5):
        fake.advance(60)
        await look(registry)
    counts = Counter(row["scheduleId"] for row in await DB.all("SELECT * FROM queueJobs"))
    assert counts == {"skips": 1, "queues": 5}
    assert (await fires())[5:] == ["01 12:01 enqueued", *skipped(2, 6)]


def skipped(first: int, last: int) -> list[str]:
    return [f"01 12:{minute:02d} skipped_overlap" for minute in range(first, last)]


@pytest.mark.feature("Q-86")
async def test_clock_steps_fire_nothing_twice(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("a", Note(), cron="*/10 * * * *", overlap="queue")
    await sync(registry)
    seen: set[int] = set()
    for seconds in (600, HOUR, -HOUR, 600, DAY, -DAY, 600, 1200, -1800, 1800, 600):
        fake.step(seconds)
        await look(registry)
        await look(registry)
        rows = await DB.all("SELECT fireAt FROM job_fires")
        assert seen <= {row["fireAt"] for row in rows}
        seen = {row["fireAt"] for row in rows}
        assert await jobs_made() == len(seen)


async def test_a_job_that_is_there_already_is_not_asked_for_again(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("a", Scan(), every_s=60)
    await sync(registry)
    holder = await enqueue(Scan())
    fake.advance(60)
    await look(registry)
    assert await fires() == ["01 12:01 deduped"]
    assert await DB.value("SELECT jobId FROM job_fires") == holder.id


async def test_jitter_delays_the_start_not_the_firing(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("a", Note(), every_s=60, jitter_s=30)
    await sync(registry)
    fake.advance(60)
    await look(registry)
    late = await DB.value("SELECT runAt FROM queueJobs") - time.ms()
    assert 0 <= late <= 30_000
    assert await fires() == ["01 12:01 enqueued"]


async def test_boot_adds_changes_and_stops(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("stays", Note(), cron="0 5 * * *")
    registry.schedule("goes", Note(), cron="0 5 * * *")
    await sync(registry)
    newer = Registry()
    newer.schedule("stays", Note(text="new"), cron="0 6 * * *")
    await sync(newer)
    rows = {row["id"]: row for row in await DB.all("SELECT * FROM job_schedules")}
    assert rows["stays"]["cron"] == "0 6 * * *"
    assert time.from_ms(rows["stays"]["nextFireAt"]).hour == 6
    assert (rows["goes"]["nextFireAt"], rows["goes"]["enabled"]) == (None, 1)
    await sync(registry)  # the older version again: what it knows goes on
    assert await DB.value("SELECT count(*) FROM job_schedules WHERE nextFireAt IS NULL") == 0


async def test_a_restart_does_not_put_off_what_is_due(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("a", Note(), every_s=HOUR)
    await sync(registry)
    fake.advance(HOUR - 60)
    await sync(registry)
    fake.advance(60)
    await look(registry)
    assert await jobs_made() == 1


async def test_an_admins_times_stay_over_an_upgrade(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("a", Note(), cron="0 5 * * *")
    await sync(registry)
    assert await schedule.retime("a", "0 7 * * *", "Europe/Berlin")
    await schedule.enable("a", False)
    await sync(registry)
    row = await DB.one("SELECT * FROM job_schedules")
    assert row is not None
    assert (row["cron"], row["timezone"], row["source"]) == ("0 7 * * *", "Europe/Berlin", "user")
    assert row["enabled"] == 0
    fake.advance(3 * DAY)
    await look(registry)
    assert await jobs_made() == 0
    await schedule.enable("a", True)
    await look(registry)
    assert await jobs_made() == 0  # what passed while it was off is not caught up
    await schedule.restore("a", registry)
    assert await DB.value("SELECT cron FROM job_schedules") == "0 5 * * *"
    with pytest.raises(ValueError, match=r"\S"):
        await schedule.retime("a", "never", "UTC")


async def test_run_now_leaves_its_times_alone(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("a", Note(), cron="0 5 * * *")
    await sync(registry)
    before = await DB.value("SELECT nextFireAt FROM job_schedules")
    done = await schedule.run_now("a", registry)
    assert done is not None
    row = await get(done.id)
    assert row is not None
    assert row.schedule_id == "a"
    assert await fires() == ["01 12:00 manual"]
    assert await DB.value("SELECT nextFireAt FROM job_schedules") == before


async def test_one_runs_at_every_boot(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("a", Note(), cron="@reboot", overlap="queue")
    for boot in (1, 2):
        fake.advance(60)
        await sync(registry)
        await look(registry)
        await look(registry)
        assert await jobs_made() == boot


async def test_one_that_cannot_be_asked_for_does_not_stop_the_others(
    db: ApswEngine, registry: Registry, fake: time.FakeClock
) -> None:
    registry.schedule("bad", Note(), every_s=60)
    registry.schedule("good", Note(text="good"), every_s=60)
    await sync(registry)
    registry.schedules["bad"] = schedule.Schedule(
        name="bad", payload=Note(text="x" * 300_000), every_s=60
    )
    fake.advance(60)
    await look(registry)
    assert await jobs_made() == 1
    assert await look(registry) == time.ms() + 60_000


def test_nonsense_is_refused_where_it_is_declared(registry: Registry) -> None:
    registry.schedule("a", Note(), every_s=60)
    for wrong in (
        {"name": "a", "every_s": 60},
        {"name": "b"},
        {"name": "c", "every_s": 30},
        {"name": "d", "cron": "x"},
    ):
        with pytest.raises(ValueError, match=r"\S"):
            registry.schedule(payload=Note(), **wrong)
