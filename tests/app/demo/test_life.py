"""`serve --demo`: what a first visitor finds, and that nothing leaves the machine."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.core import outbound
from app.core.errors import Upstream
from app.demo.run import ADMIN, STUDENT
from db.engine import DB
from tests.app.house import House, running
from tests.app.web.places import places

pytestmark = [pytest.mark.anyio, pytest.mark.feature("X-63")]


@pytest.fixture(scope="module")
async def house(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    database = tmp_path_factory.mktemp("demo") / "holdfast.db"
    database.write_bytes(migrated.read_bytes())
    async with running(database, demo=True) as made:
        yield made


async def visitor(house: House, login: str) -> httpx.AsyncClient:
    user_id = await DB.value("SELECT id FROM users WHERE login = ?", (login,))
    return await house.browser(str(user_id))


@pytest.mark.parametrize("login", [ADMIN, STUDENT])
async def test_the_first_page_says_what_this_is_and_where_to_click(
    house: House, login: str
) -> None:
    async with await visitor(house, login) as web:
        html = (await web.get("/")).text
        assert "Demo: nothing leaves this machine" in html
        assert "What this is" in html
        tour = re.search(r'<ol class="tour">(.*?)</ol>', html, re.DOTALL)
        assert tour
        cards = re.findall(r'href="([^"]+)"', tour[1])
        assert len(cards) == 5
        for card in cards:
            assert (await web.get(card)).status_code == 200, card


async def test_there_is_a_month_behind_it_and_work_ahead(house: House) -> None:
    oldest = await DB.value("SELECT min(finishedAt) FROM queueJobs")
    newest = await DB.value("SELECT max(createdAt) FROM queueJobs")
    assert newest - oldest > 25 * 86_400_000
    assert await DB.value("SELECT count(*) FROM users") >= 6
    states = {row["state"] for row in await DB.all("SELECT DISTINCT state FROM queueJobs")}
    assert {"succeeded", "failed"} < states, "and some that is not over"
    async with await visitor(house, ADMIN) as web:
        assert "Ada&#39;s phone" in (await web.get("/admin/invites?state=revoked")).text
        month = (await web.get("/admin/queue?span=90d")).text
        assert month.count("<rect") > 20, "the charts have something to show"


async def test_every_place_of_the_menu_has_something_to_show(house: House) -> None:
    ids = dict.fromkeys(("person", "job_id", "batch_id", "ticket_id", "profile_id"), "0")
    ids |= dict.fromkeys(("person_id", "firmware_id"), "0")
    async with await visitor(house, ADMIN) as web:
        for item in house.app.litestar.state.nav:
            assert (await web.get(item.url)).status_code == 200, item.url
        known = {place.path for place in places(house.app.litestar, ids)}
        assert {item.url for item in house.app.litestar.state.nav} <= known


async def test_nothing_reaches_beyond_the_machine(house: House) -> None:
    """Even an address that an admin allowed; the stand-ins on loopback answer, as the control."""
    async with outbound.client("tickets", allow=("192.0.2.0/24",)) as web:
        with pytest.raises(Upstream):
            await web.get("http://192.0.2.7/")
    portal = await DB.value("SELECT value FROM configuration WHERE key = 'tickets.portal_url'")
    assert "127.0.0.1" in portal
