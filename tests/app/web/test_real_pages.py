"""Every page of the running program, with rows in it and without, in Chromium."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Request

from db.engine import DB
from tests.app.web.town import DOORS, PAGES, PHONE, Town, each_look, town

pytestmark = pytest.mark.anyio

AXE = Path(__file__).parents[2] / "vendor" / "axe.min.js"
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PAGE_LIMIT = 100 * 1024  # bytes of styles and scripts, before compression

# What sticks out of the window, or is cut off inside a box that does not scroll.
WIDE = """() => {
  const out = [];
  if (document.documentElement.scrollWidth > innerWidth) out.push('the page');
  for (const it of document.querySelectorAll('button, a, h1, h2, label, th, .state')) {
    const box = it.getBoundingClientRect();
    if (box.width && box.right > innerWidth + 1 && !it.closest('.tabs, .log, .code, [popover]'))
      out.push(it.outerHTML.slice(0, 120));
  }
  return out;
}"""


# How many controls the Tab key should come by.
CONTROLS = """() => {
  const all = document.querySelectorAll('a[href], button, input, select, textarea, summary');
  return [...all].filter(it => it.checkVisibility() && !it.disabled && it.type !== 'hidden'
    && it.tabIndex >= 0 && (it.type !== 'radio' || it.checked)).length;
}"""


@pytest.fixture
async def place(database: Path, browser: Browser) -> AsyncIterator[Town]:
    async with town(database, browser) as made:
        yield made


async def visit(page: Page, url: str) -> None:
    """Open a page that is there, or the one that is not."""
    answer = await page.goto(url, wait_until="load")
    assert answer is not None
    assert answer.status == (404 if url.endswith(PAGES["missing"]) else 200), url


async def violations(page: Page) -> list[str]:
    """What axe finds: rule and place."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = await page.evaluate(
        "tags => axe.run({runOnly: {type: 'tag', values: tags}})", AXE_TAGS
    )
    return [
        f"{rule['id']}: {node['target']} {node['any'][0]['message'] if node['any'] else ''}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.feature("X-59")
@pytest.mark.parametrize("filled", [True, False], ids=["with rows", "empty"])
async def test_every_page_is_clean_and_fits(place: Town, filled: bool) -> None:
    """axe-core by WCAG 2.2 AA, and nothing wider than the window."""
    pages = {**PAGES, **(await place.fill() if filled else {})}
    found: list[str] = []
    # The policy is lifted in this profile alone, so that axe may be put into the page.
    async with place.tab(bypass_csp=True) as page:
        for name, path in pages.items():
            await visit(page, place.url + path)

            async def look(where: str, name: str = name) -> None:
                found.extend(f"{name}, {where}: wide {it}" for it in await page.evaluate(WIDE))
                found.extend(f"{name}, {where}: {it}" for it in await violations(page))

            await each_look(page, look)
    assert not found, "\n".join(found)


@pytest.mark.feature("X-59")
async def test_the_doors_are_clean(place: Town) -> None:
    found: list[str] = []
    async with place.tab(signed_in=False, bypass_csp=True) as page:
        for name, path in DOORS.items():
            await visit(page, place.url + path)

            async def look(where: str, name: str = name) -> None:
                found.extend(f"{name}, {where}: wide {it}" for it in await page.evaluate(WIDE))
                found.extend(f"{name}, {where}: {it}" for it in await violations(page))

            await each_look(page, look)
    assert not found, "\n".join(found)


@pytest.mark.feature("X-20")
@pytest.mark.parametrize("locale", ["de", "ru", "es"])
async def test_every_page_fits_in_other_languages(place: Town, locale: str) -> None:
    pages = {**PAGES, **(await place.fill())}
    await DB.execute("UPDATE users SET locale = ?", (locale,))
    found: list[str] = []
    async with place.tab() as page:
        for name, path in pages.items():
            await visit(page, place.url + path)
            assert await page.get_attribute("html", "lang") == locale
            for width in (1366, 390, 320):
                await page.set_viewport_size({"width": width, "height": 844})
                found += [f"{name}, {width} px: {it}" for it in await page.evaluate(WIDE)]
    assert not found, "\n".join(found)


async def test_pages_ask_only_our_own_server_and_stay_light(place: Town) -> None:
    """Bytes before compression, the count of requests, and where they go."""
    pages = {**PAGES, **(await place.fill())}
    foreign: list[str] = []
    async with place.tab() as page:

        def note(request: Request) -> None:
            if not request.url.startswith((place.url, "data:")):
                foreign.append(request.url)

        page.on("request", note)
        for name, path in pages.items():
            await visit(page, place.url + path)
            loaded = await page.evaluate(
                """() => [...document.querySelectorAll('link[rel=stylesheet], script[src]')]
                     .map(it => it.href || it.src)"""
            )
            sizes = [len(await (await page.request.get(url)).body()) for url in loaded]
            html = len((await page.content()).encode())
            paint = await page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
            )
            print(  # noqa: T201 - `pytest -s` shows the weight of each page
                f"{name}: {sum(sizes) / 1000:.1f} kB styles and scripts in {len(sizes)} files,"
                f" {html / 1000:.1f} kB page, first paint {paint:.0f} ms"
            )
            assert sum(sizes) < PAGE_LIMIT, name
            assert len(loaded) <= 4, name
    assert foreign == []


@pytest.mark.feature("X-21")
async def test_every_page_is_whole_without_scripts(place: Town) -> None:
    pages = {**PAGES, **(await place.fill())}
    async with place.tab(java_script_enabled=False) as page:
        for name, path in pages.items():
            await visit(page, place.url + path)
            assert await page.locator("h1").count() == 1, name
            dead = "[data-copy], [data-reveal], [data-themes], #live-state, [data-keep]"
            assert await page.locator(dead).filter(visible=True).count() == 0, name
            lone = await page.locator("[hx-post]:not(form):not(form *)").count()
            assert lone == 0, f"{name}: something is posted by scripts only"
        await page.goto(f"{place.url}/palette")
        await page.fill("main #palette-q", "Semesterticket")
        await page.press("main #palette-q", "Enter")
        await page.click("#palette-rows a:has-text('Semesterticket') >> nth=0")
        assert "/admin/queue/jobs/" in page.url
        await page.goto(f"{place.url}/notifications")
        await page.click("text=Mark all as read")
        assert await page.inner_text("h1 + p") == "You have seen everything."


@pytest.mark.feature("X-17")
async def test_nothing_jumps_while_a_page_keeps_itself_fresh(place: Town) -> None:
    """The layout shift of a minute's worth of changes, and the focus through every swap."""
    pages = {**PAGES, **(await place.fill())}
    job = pages["running_job"].rpartition("/")[2]
    async with place.tab() as page:
        for name in ("dashboard", "jobs", "queue", "running_job", "notifications"):
            await visit(page, place.url + pages[name])
            await page.wait_for_selector("#live-state[data-state=live]")
            await page.evaluate(
                """() => { window.shift = 0;
                     new PerformanceObserver(list => list.getEntries().forEach(
                       it => { window.shift += it.value; })
                     ).observe({type: 'layout-shift', buffered: true}); }"""
            )
            await page.keyboard.press("Tab")
            link = page.locator("main a, main button").first
            await link.focus()
            before = await page.evaluate("document.activeElement.outerHTML")
            for progress in (64, 71, 88):
                async with page.expect_response(lambda answer: answer.request.method == "GET"):
                    await DB.execute(
                        "UPDATE queueJobs SET progress = ?, progressMessage = ? WHERE id = ?",
                        (progress, f"{progress} of 100", job),
                    )
                    await DB.execute("UPDATE notifications SET kind = kind || '.'")
                await page.wait_for_timeout(600)  # a beat and the throttle
            shift = await page.evaluate("window.shift")
            print(f"{name}: layout shift {shift:.4f}")  # noqa: T201
            assert shift < 0.02, name
            assert await page.evaluate("document.activeElement.outerHTML") == before, name


async def test_back_leads_to_the_list_as_it_was(place: Town) -> None:
    await place.fill()
    async with place.tab() as page:
        await page.goto(f"{place.url}/admin/queue/jobs")
        await page.click("nav.tabs a:has-text('Failed')")
        await page.fill("#q", "Semesterticket")
        await page.press("#q", "Enter")
        await page.wait_for_url("**state=failed**")
        there, rows = page.url, await page.locator("tbody tr").count()
        await page.click("tbody th a >> nth=0")
        await page.wait_for_selector("#job-now")
        await page.go_back()
        assert page.url == there
        assert await page.locator("tbody tr").count() == rows
        assert await page.input_value("#q") == "Semesterticket"


@pytest.mark.parametrize("name", ["dashboard", "jobs", "queue", "invites", "account", "tickets"])
async def test_everything_is_reached_by_keyboard(place: Town, name: str) -> None:
    """Tab comes by every control in turn, shows where it is, and is caught nowhere."""
    await place.fill()
    async with place.tab() as page:
        await page.goto(place.url + PAGES[name])
        wanted = await page.evaluate(CONTROLS)
        seen: set[str] = set()
        hidden: list[str] = []
        for _press in range(wanted + 12):
            await page.keyboard.press("Tab")
            spot = await page.evaluate(
                """() => { const it = document.activeElement; if (it === document.body) return null;
                     window.number ??= new Map(); const known = window.number;
                     if (!known.has(it)) known.set(it, known.size);
                     const box = it.getBoundingClientRect();
                     const inside = box.bottom > 0 && box.top < innerHeight;
                     const shown = getComputedStyle(it).outlineStyle !== 'none';
                     return [String(known.get(it)), inside && shown,
                       it.outerHTML.slice(0, 90)]; }"""
            )
            if spot:
                seen.add(spot[0])
                if not spot[1]:
                    hidden.append(spot[2])
        assert len(seen) >= wanted
        assert hidden == []


async def test_new_rows_wait_behind_a_pill(place: Town) -> None:
    await place.fill()
    async with place.tab() as page:
        await page.goto(f"{place.url}/admin/queue/jobs")
        await page.wait_for_selector("#live-state[data-state=live]")
        first = await page.get_attribute("tbody tr:first-child", "id")
        await page.evaluate(
            """() => { window.shift = 0;
                 new PerformanceObserver(list => list.getEntries().forEach(
                   it => { window.shift += it.value; })).observe({type: 'layout-shift'}); }"""
        )
        await place.job("failed", "Came later")
        await page.wait_for_selector(".newrows:text('1 new job')")
        assert await page.get_attribute("tbody tr:first-child", "id") == first
        assert await page.evaluate("window.shift") < 0.02
        await page.click(".newrows")
        await page.wait_for_selector("tbody tr:first-child:has-text('Came later')")


@pytest.mark.feature("X-58")
async def test_search_and_keys(place: Town) -> None:
    await place.fill()
    async with place.tab() as page:
        await page.goto(place.url)
        await page.keyboard.press("Control+k")
        await page.wait_for_selector("#palette[open] a:has-text('Tickets')")
        await page.keyboard.type("Wilhelmine")
        await page.wait_for_selector("#palette[open] a:has-text('Semesterticket')")
        await page.keyboard.press("ArrowDown")
        assert await page.evaluate("document.activeElement.matches('.palette__hit')")
        await page.keyboard.press("Escape")
        assert await page.locator("#palette[open]").count() == 0
        await page.keyboard.press("g")
        await page.keyboard.press("q")
        await page.wait_for_url("**/admin/queue")
        await page.keyboard.press("/")
        await page.wait_for_selector("#palette[open]")
        await page.keyboard.type("invit")
        await page.wait_for_selector("#palette[open] li:first-child a:has-text('Invites')")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/admin/invites")
        await page.keyboard.press("?")
        await page.wait_for_url("**/palette#keys")
        await page.uncheck("[name=on]")
        await page.click("form:has([name=on]) button")
        await page.wait_for_selector("html[data-shortcuts=off]")
        await page.keyboard.press("g")
        await page.keyboard.press("q")
        await page.wait_for_timeout(300)
        assert page.url.endswith("/palette"), "single keys are off"
        await page.goto(place.url)
        await page.keyboard.press("Control+k")
        await page.wait_for_selector("#palette[open]")


@pytest.mark.feature("X-43")
async def test_a_notice_shows_in_the_corner_and_at_the_bell_and_survives_sleep(place: Town) -> None:
    from app.core import notify

    async with place.tab() as page:
        await page.goto(f"{place.url}/jobs")
        await page.wait_for_selector("#live-state[data-state=live]")
        await notify.tell(place.user_id, "a", "A new semester ticket is here", link="/tickets")
        await page.wait_for_selector("#toasts :text('A new semester ticket is here')")
        await page.wait_for_selector("#bell[aria-label='Notifications, 1 new']")
        # Asleep: the server goes on without this page, which asks once it is back.
        await page.context.set_offline(True)
        await notify.tell(place.user_id, "b", "Holdfast is busy", level="error")
        await page.context.set_offline(False)
        await page.evaluate("document.body.dispatchEvent(new CustomEvent('resync'))")
        await page.wait_for_selector("#toasts [role=alert] :text('Holdfast is busy')")
        assert await page.locator("#toasts :text('A new semester ticket is here')").count() <= 1
        await page.click("#toasts button:has-text('Look')")
        await page.wait_for_url("**/tickets")
        assert await page.get_attribute("#bell", "aria-label") == "Notifications, 1 new"


@pytest.mark.feature("X-62")
async def test_installable_and_without_a_network_it_says_so(place: Town) -> None:
    async with place.tab() as page:
        await page.goto(place.url)
        manifest = json.loads(
            await (
                await page.request.get(
                    await page.evaluate("document.querySelector('link[rel=manifest]').href")
                )
            ).text()
        )
        assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
        kept = await page.evaluate(
            """async () => { const out = [];
                 for (const name of await caches.keys())
                   for (const it of await (await caches.open(name)).keys())
                     out.push(new URL(it.url).pathname);
                 return out; }"""
        )
        assert {path for path in kept if not path.startswith("/static/")} == {"/offline"}
        await page.context.set_offline(True)
        await page.goto(f"{place.url}/jobs")
        assert await page.inner_text("h1") == "Holdfast cannot be reached"
        assert "wilhelmine" not in await page.content()
        await page.context.set_offline(False)
        await page.click("text=Try again")
        await page.wait_for_selector(".rail")


@pytest.mark.feature("X-56")
async def test_print_is_the_page_without_its_frame(place: Town) -> None:
    pages = {**PAGES, **(await place.fill())}
    async with place.tab(color_scheme="dark", viewport=PHONE) as page:
        for name in ("tickets", "ticket", "jobs"):
            await visit(page, place.url + pages[name])
            await page.emulate_media(media="print")
            frame = ".rail, .topbar, .dock, .toasts, .button, .tools, .paging, .skip"
            assert await page.locator(frame).filter(visible=True).count() == 0, name
            ground = await page.evaluate(
                "[getComputedStyle(document.documentElement).backgroundColor,"
                " getComputedStyle(document.body).color]"
            )
            assert ground == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"], name
            await page.emulate_media(media="screen")
