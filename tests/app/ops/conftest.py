"""The program, an admin and two people, each with a browser; one of each for a whole module."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page

from db.engine import DB
from tests.app.house import House, running
from tests.app.ops import samples
from tests.app.web.server import running as served


@dataclass(frozen=True)
class People:
    """Who looks."""

    admin: httpx.AsyncClient
    anna: httpx.AsyncClient
    ben: httpx.AsyncClient
    admin_id: str
    anna_id: str


@dataclass(frozen=True)
class Desk:
    """The program of a module, listening at `url`, with people at it."""

    house: House
    people: People
    url: str
    browser: Browser

    @asynccontextmanager
    async def tab(self, user_id: str = "", **look: Any) -> AsyncIterator[Page]:
        """A tab of a fresh profile, of the admin unless said."""
        usual = {"viewport": {"width": 1366, "height": 900}, "reduced_motion": "reduce"}
        context = await self.browser.new_context(**{**usual, **look})
        token = await self.house.session(user_id or self.people.admin_id)
        await context.add_cookies([{"name": "holdfast", "value": token, "url": self.url}])
        page = await context.new_page()
        page.set_default_timeout(15_000)
        try:
            yield page
        finally:
            await context.close()


async def gather(house: House) -> People:
    """An admin and two people."""
    admin = await house.person("ada", role="admin")
    anna, ben = await house.person("anna"), await house.person("ben")
    return People(
        await house.browser(admin),
        await house.browser(anna),
        await house.browser(ben),
        admin,
        anna,
    )


@pytest.fixture(scope="module", autouse=True)
def _scripted() -> Iterator[None]:
    samples.register()
    yield
    samples.forget()


@pytest.fixture
async def people(house_of: House) -> People:
    return await gather(house_of)


@pytest.fixture(scope="module")
async def office(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[House, People]]:
    """One program for all tests of a module, without schedules of its own."""
    folder = tmp_path_factory.mktemp("office") / "data"
    folder.mkdir(mode=0o700)
    async with running(Path(shutil.copy(migrated, folder / "holdfast.db"))) as house:
        await DB.execute("UPDATE job_schedules SET enabled = 0, nextFireAt = NULL")
        yield house, await gather(house)


@pytest.fixture(scope="module")
async def desk(office: tuple[House, People], browser: Browser) -> AsyncIterator[Desk]:
    house, people = office
    async with served(house.app) as url:
        yield Desk(house, people, url, browser)
