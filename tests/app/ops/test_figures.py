"""What programs and admins are told of the queue: probes, figures, notices, charts, the worker."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from app.accounts.service import tokens
from app.core import paths
from app.ops.service import watch
from app.ops.service.workers import rest
from db import clock as time
from db.engine import DB
from jobs import lease, rates
from jobs.enqueue import enqueue
from jobs.outcome import Fail
from jobs.stats import get, wait
from tests.app.house import House
from tests.app.ops.conftest import People
from tests.app.ops.samples import Scripted, fails, tell, until

pytestmark = pytest.mark.anyio

Office = tuple[House, People]
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def figures(house: House, bearer: str) -> Figures:
    async with house.client() as program:
        answer = await program.get("/metrics", headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parsed(answer.text)
        for sample in family.samples
    }


async def token(user_id: str, *scopes: str) -> str:
    made = await tokens.create_token(user_id, name="x", scopes=scopes, possible=scopes)
    return made.text


@pytest.mark.feature("Q-93", "X-18")
async def test_prometheus_is_told_what_happened(office: Office) -> None:
    house, people = office
    bearer = await token(people.admin_id, "metrics:read")
    before = await figures(house, bearer)
    tell("ends well", None)
    await wait((await enqueue(Scripted(name="ends well"))).id)
    tell("ends badly", fails(Fail("no", "no")))
    await wait((await enqueue(Scripted(name="ends badly"))).id)
    job_id = (await enqueue(Scripted(name="still at it"))).id
    await until(job_id, lambda row: row.state == "running")
    await enqueue(Scripted(name="planned"), delay_s=3600)
    await rates.block("llm:somebody", time.ms() + 60_000)
    await people.anna.get("/jobs/nobody")
    after = await figures(house, bearer)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    kind = {"type": Scripted.TYPE}
    assert grown("holdfast_jobs_ended_total", outcome="succeeded", **kind) == 1
    assert grown("holdfast_jobs_ended_total", outcome="failed", **kind) == 1
    assert grown("holdfast_job_run_seconds_count", **kind) == 2
    assert grown("holdfast_job_wait_seconds_bucket", le="+Inf", **kind) == 2
    assert grown("holdfast_jobs", state="running", **kind) == 1
    assert grown("holdfast_jobs", state="scheduled", **kind) == 1
    assert grown("holdfast_rates_closed", kind="llm") == 1
    assert grown("holdfast_db_write_wait_seconds_count") > 0
    assert after["holdfast_wal_bytes", ()] > 0
    assert after["holdfast_db_bytes", ()] > 0
    assert after["holdfast_worker_silent_seconds", ()] < 30
    seen = {"route": "/jobs/{job_id}", "method": "GET", "status": "404"}
    assert grown("holdfast_http_requests_total", **seen) == 1
    labels = [value for _name, pairs in after for _label, value in pairs]
    assert not [value for value in labels if people.anna_id in value or "somebody" in value]
    tell("still at it", None)
    await wait(job_id)


@pytest.mark.feature("Q-93", "X-18")
async def test_figures_are_for_such_tokens_only(office: Office) -> None:
    house, people = office
    doors = [
        (await token(people.admin_id, "jobs:read"), 403),
        (await token(people.anna_id, "metrics:read"), 403),
        ("hf_not_a_token", 401),
    ]
    async with house.client() as program:
        assert (await program.get("/metrics")).status_code == 401
        for bearer, status in doors:
            head = {"Authorization": f"Bearer {bearer}"}
            assert (await program.get("/metrics", headers=head)).status_code == status
    assert (await people.admin.get("/metrics")).status_code == 401, "a session is no token"


@pytest.mark.feature("Q-93", "X-18")
async def test_probes_tell_a_live_process_from_a_ready_one(office: Office) -> None:
    house, people = office
    anybody = house.client()

    async def ready() -> tuple[int, str]:
        answer = await anybody.get("/readyz")
        return answer.status_code, answer.text

    assert await ready() == (200, "ok")
    beat = "UPDATE queue_workers SET heartbeatAt = ?"
    await DB.execute(beat, (time.ms() - 31_000,))
    assert await ready() == (503, "worker")
    assert (await anybody.get("/healthz")).text == "ok", "alive all the same"
    await DB.execute(beat, (time.ms(),))
    await people.admin.post("/admin/queue/worker/drain")
    assert await ready() == (503, "draining")
    await people.admin.post("/admin/queue/worker/work")
    assert await ready() == (200, "ok")
    await anybody.aclose()


@pytest.mark.feature("Q-99")
async def test_admins_hear_once_of_a_backlog_and_see_it(office: Office) -> None:
    """A job that could start and does not: the worker rests, so nothing takes it."""
    house, people = office
    worker = house.app.litestar.state.worker
    await rest(worker, True)
    job_id = (await enqueue(Scripted(name="stuck"))).id
    await watch.look()
    assert await notices("queue.backlog") == [], "the control: a moment is no backlog"
    await DB.execute("UPDATE queueJobs SET runAt = runAt - 90000 WHERE id = ?", (job_id,))
    for _ in range(3):
        await watch.look()
    assert await notices("queue.backlog") == [people.admin_id], "each admin once, nobody else"
    inbox = (await people.admin.get("/notifications")).text
    assert re.search(r"A job that could start has been waiting for \d\d s", inbox)
    page = (await people.admin.get("/admin/queue")).text
    assert "backlog old: 1 min 3" in page
    chart = page[page.index('id="backlog"') : page.index("</section>", page.index('id="backlog"'))]
    assert max(float(n) for n in re.findall(r'<td class="end">([\d.]+)</td>', chart)) >= 90
    await people.admin.post("/admin/queue/pause")
    assert (await watch.pulse()).oldest_ready_ms == 0, "what is paused on purpose is no backlog"
    await people.admin.post("/admin/queue/resume")
    tell("stuck", None)
    await rest(worker, False)
    await wait(job_id)


@pytest.mark.feature("Q-99")
async def test_admins_hear_of_a_worker_that_hangs(office: Office) -> None:
    """A process that holds its lock and gives no sign is not dead: nobody takes its place."""
    _house, people = office
    hung = lease.new_worker_id()
    lock = lease.Lock.own(paths.data_dir(), hung)
    await DB.execute(
        "INSERT INTO queue_workers(id, pid, host, startedAt, heartbeatAt) VALUES(?, 1, 'x', 1, ?)",
        (hung, time.ms() - 45_000),
    )
    await watch.look()
    await watch.look()
    assert await notices("queue.stalled") == [people.admin_id]
    page = (await people.admin.get("/admin/queue/worker")).text
    other = page[page.index("Another process") :]
    assert ">stalled<" in other[: other.index("</section>")]
    await DB.execute("DELETE FROM queue_workers WHERE id = ?", (hung,))
    lock.drop()


async def notices(kind: str) -> list[str]:
    rows = await DB.all("SELECT user_id FROM notifications WHERE kind = ?", (kind,))
    return [row["user_id"] for row in rows]


@pytest.mark.feature("Q-65")
async def test_the_card_of_the_worker(office: Office) -> None:
    house, people = office
    worker = house.app.litestar.state.worker
    job_id = (await enqueue(Scripted(name="occupies"))).id
    await until(job_id, lambda row: row.state == "running")
    page = (await people.admin.get("/admin/queue/worker")).text
    card = page[page.index("This process") : page.index("Looks around")]
    for word in (worker.id, "Last sign of life", "Running for", paths.version(), "alive"):
        assert word in card, word
    light = re.search(r"light work</span><b>(\d+)</b><small>of (\d+) slots", card)
    assert light
    assert int(light[1]) >= 1
    assert light[2] == "20"
    assert re.search(r"event loop</span><b>[\d,]+ ms</b>", card)
    assert re.search(r"writer</span><b>\d+</b><small>in line, [\d,]+ ms at worst", card)
    assert re.search(r"write-ahead log</span><b>[\d.,]+ [kMG]?B</b>", card)
    assert "ops.watch" in page
    await people.admin.post("/admin/queue/worker/drain")
    page = (await people.admin.get("/admin/queue/worker")).text
    assert "draining" in page
    later = (await enqueue(Scripted(name="comes later"))).id
    tell("occupies", None)
    await wait(job_id)
    row = await get(later)
    assert row is not None
    assert row.state == "queued", "what ran went on, nothing new began"
    tell("comes later", None)
    await people.admin.post("/admin/queue/worker/work")
    await wait(later)
    done = await DB.all("SELECT action FROM audit_log WHERE object_type = 'worker' ORDER BY id")
    assert [row["action"] for row in done][-2:] == ["worker.drained", "worker.resumed"]


@pytest.mark.feature("Q-62")
@pytest.mark.parametrize(("span", "ago_ms"), [("1h", 1), ("1d", 2), ("7d", 3), ("90d", 80)])
async def test_each_chart_in_each_range(office: Office, span: str, ago_ms: int) -> None:
    _house, people = office
    ago = {"1h": 600_000, "1d": 40_000_000, "7d": 300_000_000, "90d": 6_000_000_000}[span]
    minute = (time.ms() - ago) // 60_000
    hist = '{"wait":[0,0,0,0,0,98,0,0,0,0,0,0,1,1,0,0,0,0,0,0],'
    hist += '"run":[0,0,0,0,0,0,0,98,0,0,0,0,0,0,1,1,0,0,0,0]}'
    await DB.execute(
        "INSERT INTO queue_stats(minute, type, succeeded, failed, hist) VALUES(?, ?, 4321, 77, ?)",
        (minute, f"samples.{ago_ms}", hist),
    )
    await DB.execute("INSERT INTO queue_backlog(minute, ageMs) VALUES(?, 123000)", (minute,))
    page = (await people.admin.get(f"/admin/queue?span={span}", follow_redirects=True)).text
    tables = {
        name: page[
            page.index(f'id="{name}"') : page.index("</section>", page.index(f'id="{name}"'))
        ]
        for name in ("throughput", "backlog", "waiting", "running-time")
    }
    assert "4,321" in tables["throughput"]
    assert "123" in tables["backlog"]
    for name, p50, p99 in (("waiting", "32", "4,096"), ("running-time", "128", "16,384")):
        assert re.search(rf'<td class="end">{p50}</td>', tables[name]), (name, p50)
        assert re.search(rf'<td class="end">{p99}</td>', tables[name]), (name, p99)
        assert "polyline" in tables[name]
