"""The list by state, with the states that people see and how many are in each."""

import re

import pytest

from app.ops.service.workers import rest
from db import clock as time
from db.engine import DB
from jobs import enqueue as queue
from jobs.enqueue import enqueue
from jobs.outcome import Fail, Snooze
from jobs.stats import wait
from jobs.why import STATES
from tests.app.house import House
from tests.app.ops.conftest import People
from tests.app.ops.samples import Scripted, fails, tell, until

pytestmark = pytest.mark.anyio


async def one_of_each(house: House) -> dict[str, str]:
    """A job in each state, brought there by what really brings jobs there."""
    made = {}

    async def ask(name: str, **more: object) -> str:
        made[name] = (await enqueue(Scripted(name=name), **more)).id  # type: ignore[arg-type]
        return made[name]

    running = await ask("running", serial="one-at-a-time")
    await until(running, lambda row: row.state == "running")
    await ask("waiting", serial="one-at-a-time")
    await ask("scheduled", delay_s=3600)
    tell("snoozed", fails(Snooze(3600)))
    await until(await ask("snoozed"), lambda row: row.snoozes == 1)
    tell("retrying", fails(ValueError("no such page")))
    await until(await ask("retrying"), lambda row: row.state == "queued" and row.attempts == 1)
    tell("failed", fails(Fail("gone", "gone")))
    await wait(await ask("failed"))
    tell("succeeded", None)
    await wait(await ask("succeeded"))
    await queue.cancel(id=await ask("cancelled", delay_s=3600))
    for name in ("cancelling", "stalled"):
        await until(await ask(name), lambda row: row.state == "running")
    # The worker takes no more from here on, so that one which could start stays where it is.
    await rest(house.app.litestar.state.worker, True)
    await ask("ready")
    await queue.cancel(id=made["cancelling"])
    await DB.execute(
        "UPDATE queueJobs SET lockExpiresAt = ? WHERE id = ?", (time.ms() - 1, made["stalled"])
    )
    return made


def counts(page: str) -> dict[str, str]:
    """Word and number of what the page offers to choose from."""
    tabs = re.findall(r'<a href="[^"]*"[^>]*>(\w+) <span>([\d,+]+)</span>', page)
    inner = re.findall(r'data-state="\w+">([\w ]+)</span><b>([\d,]+)</b>', page)
    return {**dict(tabs), **dict(inner)}


@pytest.mark.feature("Q-51")
async def test_each_state_has_its_list_and_its_count(house_of: House, people: People) -> None:
    await DB.execute("DELETE FROM queueJobs")
    await DB.execute("UPDATE job_schedules SET enabled = 0, nextFireAt = NULL")
    made = await one_of_each(house_of)
    assert set(made) == set(STATES)
    for state, job_id in made.items():
        if state == "running":
            continue  # its list has all three that run
        text = (await people.admin.get(f"/admin/queue/jobs?state={state}")).text
        assert re.findall(r'<tr id="job-([\w-]+)"', text) == [job_id], state
    text = (await people.admin.get("/admin/queue/jobs?state=queued")).text
    seen = counts(text)
    assert (seen["Queued"], seen["Running"], seen["Failed"], seen["Done"]) == ("5", "3", "1", "1")
    for word in ("ready", "waiting", "scheduled", "snoozed", "retrying"):
        assert seen[word] == "1", word
    seen = counts((await people.admin.get("/admin/queue/jobs?state=running")).text)
    assert (seen["cancelling"], seen["stalled"]) == ("1", "1")
    text = (await people.admin.get("/admin/queue/jobs?state=waiting")).text
    assert "another job of the same thing runs" in text, "and it says why"
    text = (await people.admin.get("/admin/queue")).text
    assert "1 waits for something" in text
    await DB.execute("DELETE FROM queueJobs WHERE finishedAt IS NOT NULL")
    await queue.cancel(type=Scripted.TYPE)


@pytest.mark.feature("Q-53")
async def test_the_confirmation_names_scope_and_number(people: People) -> None:
    for n in range(3):
        await enqueue(Scripted(name=f"later {n}"), delay_s=3600)
    text = (await people.admin.get("/admin/queue/jobs?state=scheduled&q=samples")).text
    dialog = text[text.index('id="bulk-all"') :]
    assert "Do this to 3 jobs?" in dialog
    assert "Everything that matches: scheduled · samples." in dialog
    assert "Do it to 3 jobs" in dialog


async def test_a_list_waits_with_what_is_new_also_behind_a_filter(people: People) -> None:
    await enqueue(Scripted(name="first"), delay_s=3600)
    text = (await people.admin.get("/admin/queue/jobs?state=scheduled&q=samples")).text
    here = re.search(r'id="job-rows" hx-get="([^"]+)"', text)
    assert here
    await enqueue(Scripted(name="second"), delay_s=3600)
    url = here[1].replace("&amp;", "&")
    text = (await people.admin.get(url)).text
    assert "1 new job" in text
    assert text.count('<tr id="job-') == 1
