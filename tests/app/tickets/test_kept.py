"""The ticket kept on the phone: only on request, shown where no server answers, gone on request."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, expect

from app.tickets.service import library
from db.engine import DB
from tests.app.tickets.desk import Desk
from tests.app.tickets.door import Door, open_door

pytestmark = pytest.mark.anyio

CACHES = (
    "caches.keys().then(names => Promise.all(names.map(async name =>"
    " [name, (await (await caches.open(name)).keys()).map(it => new URL(it.url).pathname)])))"
)


@dataclass(frozen=True)
class Phone:
    """A signed-in browser the size of a phone, at the program's real door."""

    page: Page
    door: Door
    user_id: str

    async def caches(self) -> dict[str, list[str]]:
        """What this device keeps: names of caches, and the paths in each."""
        found: list[tuple[str, list[str]]] = await self.page.evaluate(CACHES)
        return dict(found)

    async def without_a_server(self, path: str) -> None:
        """Ask for a page while nobody answers."""
        await self.door.close()
        await self.page.goto(self.door.url + path)


@pytest.fixture
async def phone(desk: Desk, browser: Browser) -> AsyncIterator[Phone]:
    user_id = await desk.student()
    await desk.run(user_id)
    async with open_door(desk) as door:
        context = await browser.new_context(viewport={"width": 390, "height": 844})
        token = await desk.house.session(user_id)
        await context.add_cookies([{"name": "holdfast", "value": token, "url": door.url}])
        page = await context.new_page()
        await page.goto(f"{door.url}/tickets/show")
        await page.evaluate("navigator.serviceWorker.ready")
        yield Phone(page, door, user_id)
        await context.close()


@pytest.mark.feature("T-38")
async def test_a_ticket_kept_on_request_is_shown_where_no_server_answers(
    desk: Desk, phone: Phone
) -> None:
    ticket = await library.current_ticket(phone.user_id)
    assert ticket is not None
    code = await library.read_code(phone.user_id, ticket.id)
    page = phone.page
    assert not any("ticket" in name for name in await phone.caches())  # nobody asked yet
    await page.get_by_role("button", name="Keep on this device").click()
    await expect(page.get_by_role("button", name="Kept on this device")).to_be_visible()
    kept = await phone.caches()
    assert len(kept.pop("holdfast-ticket")) == 2  # the code and its words, nothing else
    others = [path for paths in kept.values() for path in paths]
    assert others
    assert not [path for path in others if "/tickets" in path]
    await phone.without_a_server("/tickets")
    await expect(page.get_by_role("heading", name="Holdfast cannot be reached")).to_be_visible()
    shown = page.locator("#kept-picture")
    await expect(shown).to_be_visible()
    assert await shown.get_attribute("src") == f"data:image/png;base64,{b64encode(code).decode()}"
    words = await page.locator("#kept-words").inner_text()
    assert "Test Person 1" in words
    assert "A copy, fetched today" in words


async def test_nothing_is_shown_without_a_server_where_nobody_asked(phone: Phone) -> None:
    """The control, and the way back: who changes their mind keeps nothing."""
    page = phone.page
    button = page.locator("[data-keep]")
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "true")
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "false")
    assert "holdfast-ticket" not in await phone.caches()
    await phone.without_a_server("/tickets")
    await expect(page.get_by_role("heading", name="Holdfast cannot be reached")).to_be_visible()
    await expect(page.locator("#kept-ticket")).to_be_hidden()


async def test_a_session_that_ended_by_itself_leaves_no_ticket_behind(phone: Phone) -> None:
    page = phone.page
    button = page.locator("[data-keep]")
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "true")
    await page.goto(f"{phone.door.url}/tickets")
    assert "holdfast-ticket" in await phone.caches(), "the control: other pages leave it"
    await DB.execute("DELETE FROM sessions")
    await page.goto(f"{phone.door.url}/tickets/show")
    await expect(page.locator("#login-form")).to_be_visible()
    await page.wait_for_function("caches.has('holdfast-ticket').then(has => !has)")
    await phone.without_a_server("/tickets")
    await expect(page.locator("#kept-ticket")).to_be_hidden()


async def test_the_kept_ticket_follows_the_one_that_counts(desk: Desk, phone: Phone) -> None:
    page = phone.page
    button = page.locator("[data-keep]")
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "true")
    await DB.execute("UPDATE tickets SET valid_from = '2020-01-01', valid_to = '2020-01-31'")
    desk.portal.scenario("changed", text="Neue Fassung")
    await desk.run(phone.user_id)
    newest = await library.current_ticket(phone.user_id)
    assert newest is not None
    await page.reload()
    await expect(button).to_have_attribute("aria-pressed", "true")
    assert f"/{newest.id}/" in str(await button.get_attribute("data-keep"))
    await phone.without_a_server("/tickets/show")
    await expect(page.locator("#kept-words")).not_to_contain_text("2020")
