"""The pages in a real browser, under the real policy: what one sees, and what scripts add."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from litestar import get
from litestar.response import Response, ServerSentEvent, ServerSentEventMessage
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize

from app.web.auth import Principal, WebRequest
from app.web.pages import page as draw
from tests.app.web import samples
from tests.app.web.face import make_app, person
from tests.app.web.server import running
from tests.app.web.test_templates import ROOM

pytestmark = pytest.mark.anyio

DESK: ViewportSize = {"width": 1366, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
EXPECTED = ("Failed to load resource", "Framing", "htmx: htmx:sse:error")
REFUSED = ("Executing inline", "htmx: [hx-csp] blocked", "Loading the image", *EXPECTED)


class Stream:
    """The server's side of /live: says what it is told to, or refuses."""

    def __init__(self) -> None:
        self.words: asyncio.Queue[str] = asyncio.Queue()
        self.up = True
        self.opened = 0

    def route(self) -> Any:
        @get("/live", name="live", opt={"access": "user"}, media_type="text/event-stream")
        async def live() -> Any:
            if not self.up:
                return Response("", status_code=503)
            self.opened += 1
            return ServerSentEvent(self._words())

        return live

    async def _words(self) -> AsyncIterator[ServerSentEventMessage]:
        yield ServerSentEventMessage(event="hello", id="1", data="")
        while (word := await self.words.get()) != "end":
            yield ServerSentEventMessage(event=word, data="")


@asynccontextmanager
async def tab(
    browser: Browser,
    user: Principal | None = None,
    stream: Stream | None = None,
    expected: tuple[str, ...] = EXPECTED,
    more: tuple[Any, ...] = (),
    **look: Any,
) -> AsyncIterator[tuple[Page, str]]:
    """A browser tab, and the address of the pages. The console must have stayed quiet."""
    stream = stream or Stream()
    complaints: list[str] = []

    def note(said: ConsoleMessage) -> None:
        if said.type == "error":
            complaints.append(said.text)

    async with running(make_app(user, stream.route(), *more)) as base:
        context = await browser.new_context(viewport=DESK, **look)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        try:
            yield page, base
        finally:
            await context.close()
            stream.words.put_nowait("end")
    assert [text for text in complaints if not text.startswith(expected)] == []


@pytest.mark.feature("X-56")
async def test_every_page_fits_desk_and_phone_in_both_themes(browser: Browser) -> None:
    async with tab(browser, person()) as (page, base):
        for name, sample in samples.ALL.items():
            # The plain pages are looked at with real rows; here are the states that rows do not
            # bring about: refused forms, things gone, links shown once.
            if sample.template in ROOM or "_" not in name:
                continue
            await page.goto(f"{base}/show/{name}", wait_until="load")
            for size in (DESK, PHONE):
                await page.set_viewport_size(size)
                wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, f"{name} is {wide} px too wide at {size['width']}"
            grounds = set()
            for theme in ("light", "dark"):
                await page.emulate_media(color_scheme=theme)
                grounds.add(
                    await page.evaluate(
                        "getComputedStyle(document.documentElement).backgroundColor"
                    )
                )
            assert len(grounds) == 2
        await page.emulate_media(media="print")
        assert not await page.locator(".rail, .topbar, .dock").filter(visible=True).count()


async def test_doors_fit_desk_and_phone(browser: Browser) -> None:
    async with tab(browser) as (page, base):
        for name in ("login", "setup", "join", "join_code"):
            await page.goto(f"{base}/show/{name}", wait_until="load")
            for size in (DESK, PHONE):
                await page.set_viewport_size(size)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_named_message_makes_the_fragment_fetch_itself(browser: Browser) -> None:
    stream = Stream()
    async with tab(browser, person(), stream) as (page, base):
        await page.goto(f"{base}/show/jobs")
        await page.wait_for_selector("#live-state[data-state=live]")
        await page.click("[popovertarget='menu-0199']")
        async with page.expect_response(lambda answer: "/jobs?q=tick" in answer.url) as fetched:
            stream.words.put_nowait("jobs")
        sent = (await fetched.value).request.headers
        assert sent["hx-target"] == "div#job-rows"
        # The stand-in answers a plain word, which takes the place of the list.
        await page.wait_for_selector("#job-rows", state="detached")


@get("/admin/queue", name="queue", opt={"access": "admin"})
async def queue(request: WebRequest) -> Any:
    sample = samples.ALL["queue"]
    return draw(request, sample.template, block=sample.blocks, **sample.data)


async def test_a_live_list_that_fetches_itself_keeps_an_open_menu_open(browser: Browser) -> None:
    async with tab(browser, person(), more=(queue,)) as (page, base):
        await page.goto(f"{base}/show/queue")
        await page.click("[popovertarget='menu-0199']")
        await page.evaluate("document.querySelector('#queue-rows h2').textContent = 'stale'")
        await page.evaluate("document.body.dispatchEvent(new CustomEvent('resync'))")
        await page.wait_for_selector("#queue-rows h2:text('Open jobs')")
        assert await page.evaluate("document.getElementById('menu-0199').matches(':popover-open')")


async def test_the_dot_says_when_the_page_is_no_longer_fresh(browser: Browser) -> None:
    stream = Stream()
    async with tab(browser, person(), stream) as (page, base):
        await page.goto(f"{base}/show/jobs")
        await page.wait_for_selector("#live-state[data-state=live]")
        stream.up = False
        stream.words.put_nowait("end")
        await page.wait_for_selector("#live-state[data-state=off]")
        assert (await page.inner_text("#live-state")).startswith("Offline")
        async with page.expect_request(lambda request: "/jobs?q=tick" in request.url):
            stream.up = True
        assert stream.opened == 2


async def test_a_session_that_ends_is_said_and_not_asked_again(browser: Browser) -> None:
    stream = Stream()
    async with tab(browser, person(), stream) as (page, base):
        await page.goto(f"{base}/show/jobs")
        await page.wait_for_selector("#live-state[data-state=live]")
        stream.words.put_nowait("bye")
        await page.wait_for_selector("#live-state[data-state=failed]")
        assert await page.inner_text("#live-state") == "Signed out"


async def test_saving_and_failing_are_said_in_the_corner(browser: Browser) -> None:
    async with tab(browser, person()) as (page, base):
        await page.goto(f"{base}/show/index")
        post = "htmx.ajax('POST', {!r}, {{target: '#ticket-now', swap: 'outerMorph'}})"
        await page.evaluate(post.format("/late"))
        await page.wait_for_selector("#toasts [role=alert] :text('Somebody was faster.')")
        assert await page.locator("#ticket-now h1").count() == 1
        await page.click("#toasts [role=alert] [data-close]")
        assert await page.locator("#toasts [role=alert]").count() == 0
        await page.evaluate(post.format("/save/index"))
        await page.wait_for_selector("#toasts :text('Kept ✓')")


@pytest.mark.feature("X-39")
async def test_markup_that_slipped_in_cannot_act(browser: Browser) -> None:
    async with tab(browser, person(), expected=REFUSED) as (page, base):
        await page.goto(f"{base}/show/index")
        ran = await page.evaluate(
            """async () => {
              const evil = '<div id="ticket-now"><script>window.ran = 1</scr' + 'ipt>' +
                '<img src="x" onerror="window.ran = 2">' +
                '<i hx-get="/stolen" hx-trigger="load"></i></div>';
              await htmx.swap({text: evil, target: '#ticket-now', swap: 'outerHTML',
                sourceElement: document.body});
              await new Promise(done => setTimeout(done, 100));
              return [window.ran, document.querySelector('#ticket-now i').hasAttribute('hx-get')];
            }"""
        )
        assert ran == [None, False]


async def test_the_theme_chosen_here_is_still_there_on_the_next_page(browser: Browser) -> None:
    async with tab(browser, person()) as (page, base):
        await page.goto(f"{base}/show/index")
        await page.click("[popovertarget='account-menu']")
        await page.click("[data-theme-set=dark]")
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        answer = await page.goto(f"{base}/show/history")
        assert answer
        assert 'data-theme="dark"' in await answer.text()


async def test_small_conveniences_work(browser: Browser) -> None:
    async with tab(browser, person()) as (page, base):
        await page.goto(f"{base}/show/queue")
        await page.fill("#slots", "12")
        assert await page.inner_text("#slots-value") == "12"
        await page.goto(f"{base}/show/patterns")
        assert not await page.locator("[data-bulk]").is_visible()
        await page.check("[data-pick-all]")
        assert (await page.inner_text("[data-bulk-count]")) == "3"
        await page.click("[data-reveal='p-secret']")
        assert await page.get_attribute("#p-secret", "type") == "text"
        await page.goto(f"{base}/show/invites_wrong")
        assert await page.evaluate("document.activeElement.id") == "form-errors"


async def test_without_scripts_nothing_is_shown_that_needs_them(browser: Browser) -> None:
    async with tab(browser, person(), java_script_enabled=False) as (page, base):
        await page.goto(f"{base}/show/invites")
        assert await page.locator("[data-copy]").filter(visible=True).count() == 0
        assert await page.locator("#live-state").is_hidden()
        await page.goto(f"{base}/show/settings")
        assert await page.locator("[data-reveal]").filter(visible=True).count() == 0
