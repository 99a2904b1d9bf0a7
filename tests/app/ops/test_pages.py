"""The queue's pages through the whole program."""

import re

import pytest

from app.accounts.payloads import Sweep
from app.core import i18n
from app.firmware.payloads import Fetch
from app.ops import wording
from db import clock as time
from db.engine import DB
from jobs import batch, rates
from jobs.enqueue import enqueue
from jobs.stats import get, wait
from tests.app.ops.conftest import People

pytestmark = pytest.mark.anyio

TABS = ("", "/jobs", "/types", "/schedules", "/batches", "/rates", "/worker")


async def planned(owner: str | None = None) -> str:
    return (await enqueue(Sweep(), delay_s=3600, owner=owner)).id


async def audited(action: str) -> list[dict[str, object]]:
    return await DB.all("SELECT * FROM audit_log WHERE action=?", (action,))


def test_the_name_of_a_job_is_read_in_ones_own_language() -> None:
    with i18n.use("de"):
        assert wording.title(Sweep().label()) == "Beendete Sitzungen aufräumen"
        wanted = Fetch(firmware_id=1, version="S921BXXS1/X")
        assert wording.title(wanted.label()) == "S921BXXS1 holen", "what it is about stays"
        assert wording.title("Save 100% of it") == "Save 100% of it"


@pytest.mark.feature("Q-32")
@pytest.mark.parametrize("tab", TABS)
async def test_every_page_of_the_queue_opens_for_admins_only(people: People, tab: str) -> None:
    answer = await people.admin.get(f"/admin/queue{tab}", follow_redirects=True)
    assert answer.status_code == 200, answer.text[-500:]
    refused = await people.anna.get(f"/admin/queue{tab}", follow_redirects=True)
    assert refused.status_code in (403, 404)


@pytest.mark.feature("Q-92", "Q-68")
async def test_nobody_sees_or_cancels_anothers_job(people: People) -> None:
    job_id = await planned(people.anna_id)
    assert (await people.anna.get(f"/jobs/{job_id}")).status_code == 200
    assert (await people.ben.get(f"/jobs/{job_id}")).status_code == 404
    assert (await people.ben.post(f"/jobs/{job_id}/cancel")).status_code == 404
    assert (await people.anna.post(f"/jobs/{job_id}/cancel")).status_code == 303
    row = await get(job_id)
    assert row is not None
    assert row.state == "cancelled"
    assert len(await audited("job.cancelled")) == 1


async def test_a_job_that_others_wait_for_is_not_cancelled_by_who_asked_first(
    people: People,
) -> None:
    """One download serves everybody who wants that version; its own page knows who they are."""
    wanted = Fetch(firmware_id=1, version="S921BXXS1")
    job_id = (await enqueue(wanted, delay_s=3600, owner=people.anna_id)).id
    own = await planned(people.anna_id)
    page = (await people.anna.get(f"/jobs/{job_id}")).text
    assert "/cancel" not in page
    assert f"/jobs/{own}/cancel" in (await people.anna.get(f"/jobs/{own}")).text, "the control"
    refused = await people.anna.post(f"/jobs/{job_id}/cancel")
    assert refused.status_code == 409
    assert "Others may wait for it too" in refused.text
    row = await get(job_id)
    assert row is not None
    assert row.state == "queued"
    assert (await people.admin.post(f"/admin/queue/jobs/{job_id}/cancel")).status_code == 303


async def test_the_page_of_a_waiting_job_says_why(people: People) -> None:
    job_id = await planned()
    assert "planned for later" in (await people.admin.get(f"/admin/queue/jobs/{job_id}")).text
    await people.admin.post("/admin/queue/pause")
    text = (await people.admin.get(f"/admin/queue/jobs/{job_id}")).text
    assert "the queue is paused" in text


@pytest.mark.feature("Q-54", "Q-69")
async def test_each_action_on_a_job_is_done_and_audited(people: People) -> None:
    job_id = await planned()
    url = f"/admin/queue/jobs/{job_id}"
    assert (await people.admin.post(f"{url}/delete")).status_code == 409
    assert (await people.admin.post(f"{url}/run")).status_code == 303
    await wait(job_id)
    assert (await people.admin.post(f"{url}/run")).status_code == 409
    assert (await people.admin.post(f"{url}/delete")).status_code == 303
    assert await get(job_id) is None
    assert [len(await audited(f"job.{each}")) for each in ("run_now", "delete")] == [1, 1]


async def test_a_waiting_job_gets_another_place(people: People) -> None:
    job_id = await planned()
    form = {"priority": "77", "delay_s": "7200", "max_attempts": "9"}
    answer = await people.admin.post(f"/admin/queue/jobs/{job_id}/edit", data=form)
    assert answer.status_code == 303
    row = await get(job_id)
    assert row is not None
    assert (row.priority, row.max_attempts) == (77, 9)
    wrong = {**form, "priority": "777"}
    answer = await people.admin.post(f"/admin/queue/jobs/{job_id}/edit", data=wrong)
    assert answer.status_code == 422


@pytest.mark.feature("Q-61")
async def test_a_type_is_paused_and_bounded(people: People) -> None:
    await people.admin.post("/admin/queue/types/accounts.sweep/pause", data={"on": "1"})
    waits = (await enqueue(Sweep())).id
    text = (await people.admin.get(f"/admin/queue/jobs/{waits}")).text
    assert "its type is paused" in text
    await people.admin.post("/admin/queue/types/accounts.sweep/pause", data={"on": "0"})
    await wait(waits)
    limits = {"limit": "3", "attempts": "", "timeout_s": "30"}
    answer = await people.admin.post("/admin/queue/types/accounts.sweep", data=limits)
    assert answer.status_code == 303
    row = await DB.one("SELECT * FROM queue_types WHERE type='accounts.sweep'")
    assert row is not None
    assert (row["concurrency"], row["maxAttempts"], row["timeoutMs"]) == (3, None, 30_000)
    assert (await people.admin.post("/admin/queue/types/no.such", data={})).status_code == 404


@pytest.mark.feature("Q-63")
async def test_a_schedule_runs_now_stops_and_gets_other_times(people: People) -> None:
    url = "/admin/queue/schedules/accounts.sweep"
    text = (await people.admin.get("/admin/queue/schedules")).text
    assert "every hour at minute 7" in text
    await people.admin.post(f"{url}/run")
    made = await DB.value("SELECT lastJobId FROM job_schedules WHERE id='accounts.sweep'")
    assert (await wait(made)).schedule_id == "accounts.sweep"
    await people.admin.post(f"{url}/enable", data={"on": "0"})
    row = await DB.one("SELECT * FROM job_schedules WHERE id='accounts.sweep'")
    assert row is not None
    assert row["enabled"] == 0
    wrong = await people.admin.post(f"{url}/times", data={"cron": "99 * * * *"})
    assert wrong.status_code == 422
    await people.admin.post(f"{url}/times", data={"cron": "5 4 * * *", "timezone": "Asia/Tokyo"})
    assert "every day at 04:05" in (await people.admin.get("/admin/queue/schedules")).text
    assert len(await audited("schedule.times")) == 1


@pytest.mark.feature("Q-61")
async def test_a_rate_is_set_and_opened(people: People) -> None:
    await rates.block("nvv", time.ms() + 3_600_000)
    assert "closed until" in (await people.admin.get("/admin/queue/rates")).text
    await people.admin.post("/admin/queue/rates/nvv/release")
    form = {"limit": "30", "per_s": "60", "burst": "2"}
    await people.admin.post("/admin/queue/rates/nvv", data=form)
    bucket = await rates.get("nvv")
    assert bucket is not None
    assert (bucket.limit_count, bucket.burst, bucket.blocked_until) == (30, 2, 0)


@pytest.mark.feature("Q-64")
async def test_a_batch_has_its_page(people: People) -> None:
    async with batch.batch(label="Sweeps") as made:
        made.add(Sweep(), delay_s=3600)
    url = f"/admin/queue/batches/{made.id}"
    assert "Sweeps" in (await people.admin.get("/admin/queue/batches")).text
    assert "Sweeps" in (await people.admin.get(url)).text
    await people.admin.post(f"{url}/cancel")
    found = await batch.get(made.id)
    assert found is not None
    assert found.cancelled == 1


@pytest.mark.feature("Q-53")
async def test_an_action_on_all_that_match_leaves_later_ones_alone(people: People) -> None:
    for n in range(3):
        await enqueue(Sweep(), dedupe=f"old:{n}", delay_s=3600)
    text = (await people.admin.get("/admin/queue/jobs?state=queued")).text
    assert "All 3 that match" in text
    found = re.search(r'name="newest" value="([^"]+)"', text)
    assert found
    await enqueue(Sweep(), dedupe="later", delay_s=3600)
    form = {"action": "cancel", "all": "1", "state": "queued", "q": "", "newest": found[1]}
    answer = await people.admin.post("/admin/queue/bulk", data=form)
    assert answer.status_code == 303
    count = "SELECT count(*) FROM queueJobs WHERE state=?"
    assert await DB.value(count, ("cancelled",)) == 3
    assert await DB.value(count, ("queued",)) == 1
    assert len(await audited("jobs.cancel")) == 1


@pytest.mark.feature("Q-53")
async def test_very_many_are_done_by_a_job(people: People) -> None:
    await DB.execute(
        """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)
        INSERT INTO queueJobs(id, type, runAt, createdAt, updatedAt)
        SELECT printf('00-%05d', i), 'accounts.sweep', 9999999999999, 0, 0 FROM n"""
    )
    form = {"action": "cancel", "all": "1", "state": "queued", "newest": "00-99999"}
    answer = await people.admin.post("/admin/queue/bulk", data=form)
    job_id = answer.headers["location"].rpartition("/")[2]
    assert (await wait(job_id)).result_json == '{"jobs":3000}'
    assert await DB.value("SELECT count(*) FROM queueJobs WHERE state='cancelled'") == 3000


async def test_only_those_ticked(people: People) -> None:
    first = (await enqueue(Sweep(), dedupe="1", delay_s=3600)).id
    second = (await enqueue(Sweep(), dedupe="2", delay_s=3600)).id
    form = {"action": "cancel", "id": first}
    await people.admin.post("/admin/queue/bulk", data=form)
    states = [row.state for each in (first, second) if (row := await get(each))]
    assert states == ["cancelled", "queued"]
    nothing = await people.admin.post("/admin/queue/bulk", data={"action": "cancel"})
    assert nothing.status_code == 422


async def test_settings_are_kept(people: People) -> None:
    form = {
        "keep_done_days": "3",
        "keep_failed_days": "14",
        "drain_s": "20",
        "io_slots": "30",
        "long_slots": "2",
    }
    assert (await people.admin.post("/admin/queue/worker", data=form)).status_code == 303
    row = await DB.one("SELECT * FROM queueSettings")
    assert row is not None
    assert (row["keepSucceededMs"], row["ioConcurrency"]) == (3 * 86_400_000, 30)
    assert 'value="14"' in (await people.admin.get("/admin/queue/worker")).text


@pytest.mark.feature("Q-31")
async def test_pause_and_stop_what_runs(people: People) -> None:
    await people.admin.post("/admin/queue/pause", data={"stop": "1"})
    assert await DB.value("SELECT paused FROM queueSettings") == 1
    await people.admin.post("/admin/queue/resume")
    assert await DB.value("SELECT paused FROM queueSettings") == 0
    assert [len(await audited(f"queue.{each}")) for each in ("paused", "resumed")] == [1, 1]


@pytest.mark.parametrize("span", ["1h", "1d", "7d", "90d"])
async def test_charts_show_what_was_done(people: People, span: str) -> None:
    minute = time.ms() // 60_000
    await DB.execute(
        "INSERT INTO queue_stats(minute, type, succeeded) VALUES(?, 'accounts.sweep', 4321)",
        (minute,),
    )
    text = (await people.admin.get(f"/admin/queue?span={span}", follow_redirects=True)).text
    assert "4,321" in text
