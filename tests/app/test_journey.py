"""The whole path in a real browser: from the setup token to the ticket on the screen."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.serving import PortalProcess, Server, portal

pytestmark = pytest.mark.anyio

ADMIN, ADMIN_PASSWORD = "keeper", "seven-quiet-harbour-lamps"
STUDENT, STUDENT_PASSWORD = "nora", "nine-green-lanterns-adrift"
SLOW_S = 0.35  # each of the portal's answers: a run of about four seconds

# Notes every state the steps go through, on this document and no other.
WATCH = """() => {
  window.seen = [];
  const look = () => {
    const step = document.querySelector('#ticket-now .stages [aria-current="step"]');
    const word = step ? step.textContent.trim() : '';
    if (word && window.seen.at(-1) !== word) window.seen.push(word);
  };
  new MutationObserver(look).observe(document.body,
    {subtree: true, childList: true, attributes: true, characterData: true});
  look();
}"""


@pytest.fixture(scope="module")
def slow_portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalProcess]:
    with portal(tmp_path_factory.mktemp("portal"), SLOW_S) as running:
        yield running


@pytest.fixture
def server(slow_portal: PortalProcess, tmp_path: Path) -> Iterator[Server]:
    """A server that nobody has set up yet."""
    slow_portal.reset()
    slow_portal.scenario("consent")
    running = Server(
        tmp_path / "data", {**slow_portal.env, "HOLDFAST_ACCOUNTS_ARGON2_PRESET": "small"}
    )
    try:
        yield running.start().quicken()
    finally:
        running.kill()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(locale="en-GB")
    yield context
    await context.close()


async def set_up(page: Page, server: Server) -> str:
    """The first admin by the token of the file, and an invite; the invite's link."""
    token = (server.data_dir / "setup-token").read_text().strip()
    await page.goto(f"{server.url}/setup")
    await page.fill("[name=token]", token)
    await page.fill("[name=login]", ADMIN)
    await page.fill("[name=password]", ADMIN_PASSWORD)
    await page.locator("main button[type=submit], form button[type=submit]").first.click()
    await page.wait_for_url(f"{server.url}/")
    await page.goto(f"{server.url}/admin/invites")
    await page.get_by_role("button", name="Make the link", exact=True).click()
    link = page.locator("text=/\\/join\\/[A-Za-z0-9_-]{43}/").first
    await expect(link).to_be_visible()
    found = re.search(r"/join/[A-Za-z0-9_-]{43}", await page.content())
    assert found
    return server.url + found[0]


async def join(page: Page, link: str, server: Server) -> None:
    """Follow the link, make the account, be signed in."""
    await page.goto(link)
    assert page.url == f"{server.url}/join", "the secret has left the address"
    await page.fill("[name=login]", STUDENT)
    await page.fill("[name=password]", STUDENT_PASSWORD)
    await page.locator("form button[type=submit]").first.click()
    await page.wait_for_url(f"{server.url}/")


async def sign_in(page: Page, server: Server) -> None:
    await page.goto(f"{server.url}/login?next=/tickets")
    await page.fill("[name=login]", STUDENT)
    await page.fill("[name=password]", STUDENT_PASSWORD)
    await page.locator("form button[type=submit]").first.click()
    await page.wait_for_url(f"{server.url}/tickets")


async def save_login(page: Page, server: Server) -> None:
    await page.goto(f"{server.url}/tickets/settings")
    await page.fill("[name=uk_number]", "uk000007")
    await page.fill("[name=uk_password]", "pw-7")
    await page.check("[name=agree]")
    await page.check("[name=auto_consent][value='1']")
    await page.locator("#ticket-settings").get_by_role("button", name="Save").click()
    await page.wait_for_url(f"{server.url}/tickets")
    await login_checked(page)


async def login_checked(page: Page) -> None:
    """Saving a login has it checked at once; come back until that is over."""
    button = page.get_by_role("button", name="Download now", exact=True)
    for _ in range(100):
        if await button.is_enabled():
            return
        await page.wait_for_timeout(200)
        await page.reload()
    raise AssertionError("the check of the login never ends")


async def signed_in_student(context: BrowserContext, server: Server) -> Page:
    """Setup, invite, join and a stored login, each by the page that is for it."""
    page = await context.new_page()
    link = await set_up(page, server)
    await context.clear_cookies()
    await join(page, link, server)
    await context.clear_cookies()
    await sign_in(page, server)
    await save_login(page, server)
    return page


async def watch_a_run(page: Page) -> list[str]:
    """Press the button and note the steps shown, until the ticket is there or nothing moves."""
    loads: list[str] = []
    await page.evaluate(WATCH)
    page.on("domcontentloaded", lambda loaded: loads.append(loaded.url))
    await page.get_by_role("button", name="Download now", exact=True).click()
    try:
        await expect(page.get_by_text("Show to inspector")).to_be_visible(timeout=12_000)
    except AssertionError:
        return []
    assert loads == [], "no document was loaded"
    seen: list[str] = await page.evaluate("window.seen")
    return seen


@pytest.mark.feature("T-32", "T-34", "X-17")
async def test_from_the_setup_token_to_the_ticket(context: BrowserContext, server: Server) -> None:
    page = await signed_in_student(context, server)
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    seen = await watch_a_run(page)
    assert len(seen) >= 3, f"three states and then the ticket, without any navigation: {seen}"
    await page.get_by_role("link", name="Details", exact=True).click()
    frame = page.frame_locator("#ticket-frame")
    await expect(frame.get_by_text("Test Person 7").first).to_be_visible()
    await expect(page.locator("#ticket-frame")).to_have_attribute("sandbox", "")
    await page.goto(f"{server.url}/tickets/history")
    await expect(page.get_by_text("A new version was stored.")).to_be_visible()
    assert refused == []


async def test_a_second_run_recognises_the_same_ticket(
    context: BrowserContext, server: Server
) -> None:
    page = await signed_in_student(context, server)
    assert await watch_a_run(page)
    await page.get_by_role("button", name="Download now", exact=True).click()
    await expect(page.get_by_text("The same ticket, fetched anew.")).to_be_visible(timeout=20_000)
    await page.goto(f"{server.url}/tickets")
    await expect(page.locator("#ticket-rows tbody tr")).to_have_count(1)


async def test_without_the_live_stream_nothing_moves(
    context: BrowserContext, server: Server
) -> None:
    """The control of the first test: it is the stream that moves the page."""
    await context.route(re.compile(r"/live\?"), lambda route: route.abort())
    page = await signed_in_student(context, server)
    seen = await watch_a_run(page)
    assert len(seen) < 3, seen


@pytest.mark.feature("X-21", "T-65")
async def test_without_scripts_with_reloads(
    browser: Browser, server: Server, slow_portal: PortalProcess
) -> None:
    context = await browser.new_context(java_script_enabled=False, locale="en-GB")
    try:
        page = await signed_in_student(context, server)
        await page.get_by_role("button", name="Download now", exact=True).click()
        steps = set()
        for _ in range(100):
            current = page.locator('#ticket-now .stages [aria-current="step"]')
            if await current.count():
                steps.add(await current.first.inner_text())
            if await page.get_by_text("Show to inspector").count():
                break
            await page.wait_for_timeout(150)
            await page.reload()
        assert len(steps) >= 3
        await page.get_by_role("link", name="Details", exact=True).click()
        await expect(
            page.frame_locator("#ticket-frame").get_by_text("Test Person 7").first
        ).to_be_visible()
    finally:
        await context.close()
    assert slow_portal.stats()["wrong_logins"] == 0


@pytest.mark.feature("T-19")
async def test_a_refused_password_is_tried_once_and_never_by_itself(
    context: BrowserContext, server: Server, slow_portal: PortalProcess
) -> None:
    page = await signed_in_student(context, server)
    await page.goto(f"{server.url}/tickets/settings")
    await page.fill("[name=uk_password]", "not-the-password")
    await page.locator("#ticket-settings").get_by_role("button", name="Save").click()
    await page.wait_for_url(f"{server.url}/tickets")
    await expect(page.get_by_text("Password refused.").first).to_be_visible(timeout=20_000)
    await expect(page.get_by_role("button", name="Download now", exact=True)).to_be_disabled()
    await page.wait_for_timeout(1500)
    assert slow_portal.stats()["wrong_logins"] == 1
