"""Old jobs of people who may less by now: what they asked for then is not done any more."""

from pathlib import Path

import pytest

from app.firmware.payloads import Import
from app.ops.payloads import BulkAction
from db.engine import DB
from jobs.enqueue import cancel, enqueue
from jobs.stats import wait
from tests.app.house import House
from tests.app.ops.conftest import People
from tests.app.ops.test_pages import planned

pytestmark = pytest.mark.anyio


async def state(job_id: str) -> str:
    return str(await DB.value("SELECT state FROM queueJobs WHERE id = ?", (job_id,)))


async def test_who_was_an_admin_once_does_not_act_on_everybodys_jobs(people: People) -> None:
    others = await planned()
    wish = BulkAction(action="cancel", state="", q="", newest="~", actor=people.anna_id)
    kept = (await enqueue(wish, owner=people.anna_id, delay_s=3600)).id
    await cancel(id=kept)
    answer = await people.anna.post(f"/jobs/{kept}/retry")
    assert answer.status_code == 303
    await wait(kept)
    assert (await state(kept), await state(others)) == ("failed", "queued")


async def test_who_is_an_admin_still_does(people: People) -> None:
    others = await planned()
    boss = await DB.value("SELECT id FROM users WHERE login = 'ada'")
    wish = BulkAction(action="cancel", state="queued", q="", newest=others, actor=boss)
    await wait((await enqueue(wish, owner=boss)).id)
    assert await state(others) == "cancelled"


async def test_nor_reads_files_of_the_server(people: People, tmp_path: Path) -> None:
    wish = Import(database=str(tmp_path / "any.db"))
    kept = (await enqueue(wish, owner=people.anna_id, delay_s=3600)).id
    await cancel(id=kept)
    await people.anna.post(f"/jobs/{kept}/retry")
    await wait(kept)
    code = await DB.value("SELECT errorCode FROM queueJobs WHERE id = ?", (kept,))
    assert code == "not_admin"


async def test_a_job_of_a_domain_one_lost_is_not_tried_again(
    people: People, house_of: House
) -> None:
    carl = await house_of.person("carl", flags='{"domains": ["tickets"]}')
    kept = (await enqueue(Import(database="/x"), owner=carl, delay_s=3600)).id
    await cancel(id=kept)
    browser = await house_of.browser(carl)
    assert (await browser.post(f"/jobs/{kept}/retry")).status_code == 404
    assert await state(kept) == "cancelled"
