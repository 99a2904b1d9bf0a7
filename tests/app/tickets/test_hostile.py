"""A hostile ticket page in a real browser: it runs nothing, reaches nothing, leads nowhere."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page

from app.core import settings
from app.tickets.client import chromium
from app.tickets.service import library
from db.engine import DB
from tests.app.tickets.desk import Desk
from tests.app.tickets.door import open_door
from tests.system import program

pytestmark = pytest.mark.anyio


@pytest.fixture
async def tab(desk: Desk, browser: Browser) -> AsyncIterator[tuple[Page, str, list[str]]]:
    """A signed-in browser with the hostile ticket stored, and every address it asked for."""
    user_id = await desk.student()
    desk.portal.scenario("hostile_html")
    await desk.run(user_id)
    assert await library.current_ticket(user_id) is not None
    asked: list[str] = []
    async with open_door(desk) as door:
        context = await browser.new_context()
        token = await desk.house.session(user_id)
        await context.add_cookies([{"name": "holdfast", "value": token, "url": door.url}])
        page = await context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        yield page, door.url, asked
        await context.close()


@pytest.mark.feature("T-45")
async def test_a_hostile_ticket_gets_nowhere(desk: Desk, tab: tuple[Page, str, list[str]]) -> None:
    page, address, asked = tab
    ticket = await DB.value("SELECT id FROM tickets")
    for path in (f"/tickets/{ticket}", "/tickets/show", f"/tickets/{ticket}/frame"):
        before = await page.context.cookies()
        await page.goto(address + path)
        await page.wait_for_timeout(700)
        assert page.url == address + path
        assert await page.context.cookies() == before
    assert asked
    assert not [url for url in asked if not url.startswith((address, "data:"))]
    assert not [line for line in desk.portal.log() if line["kind"] == "trap"]
    frame = page.main_frame
    assert (
        await frame.evaluate("document.querySelectorAll('script, iframe, form[action]').length")
        == 0
    )


async def test_the_raw_page_would_have_called_out(
    desk: Desk, tab: tuple[Page, str, list[str]], tmp_path: Path
) -> None:
    """The control: the same bytes, opened without our frame, do what a hostile page does."""
    page, _address, asked = tab
    path = await DB.value("SELECT file_path FROM tickets")
    raw = (desk.house.app.settings.data_dir / str(path)).read_bytes()
    (tmp_path / "raw.html").write_bytes(raw)
    asked.clear()
    await page.goto(f"file://{tmp_path}/raw.html", wait_until="commit")
    await page.wait_for_timeout(700)
    trap = httpx.URL(desk.portal.trap_url).host
    assert [url for url in asked if trap in url]


@pytest.mark.feature("T-39")
async def test_the_browser_driver_leaves_a_pdf_beside_the_page(desk: Desk) -> None:
    user_id = await desk.student()
    await DB.execute("UPDATE users SET flags = json_set(flags, '$.tickets.driver', 'browser')")
    await settings.put("tickets.browser_path", str(program("chromium")), None, actor_kind="system")
    row = await desk.run(user_id)
    await chromium.close()
    assert (row["outcome"], row["driver"]) == ("new", "browser")
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get(f"/tickets/{ticket.id}")
        printed = await browser.get(f"/tickets/{ticket.id}/pdf")
    assert "Save PDF" in page.text
    assert printed.content.startswith(b"%PDF-")
    assert printed.headers["content-disposition"].endswith('.pdf"')
