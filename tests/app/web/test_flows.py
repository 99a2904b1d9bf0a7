"""What people do on the pages, in Chromium: keys, search, back, news, no network."""

from __future__ import annotations

import json

import pytest

from app.accounts.service import invites
from app.core import notify
from db.engine import DB
from tests.app.web.town import LONG, PHONE, Town

pytestmark = pytest.mark.anyio

# How many controls the Tab key should come by.
CONTROLS = """() => {
  const all = document.querySelectorAll('a[href], button, input, select, textarea, summary');
  return [...all].filter(it => it.checkVisibility() && !it.disabled && it.type !== 'hidden'
    && it.tabIndex >= 0 && (it.type !== 'radio' || it.checked)).length;
}"""
WATCH = """() => {
  window.shift = 0; window.swaps = 0;
  document.addEventListener('htmx:after:swap', () => { window.swaps += 1; });
  new PerformanceObserver(list => list.getEntries().forEach(it => { window.shift += it.value; }))
    .observe({type: 'layout-shift', buffered: true});
}"""


@pytest.mark.feature("X-17")
async def test_nothing_jumps_while_a_page_keeps_itself_fresh(place: Town) -> None:
    """The layout shift while rows change, and the focus through every swap."""
    running = place.ids["running"]
    paths = ("/", "/jobs", "/admin/queue", f"/jobs/{running}", "/notifications", "/admin/users")
    async with place.tab() as page:
        for path in paths:
            await page.goto(place.url + path)
            await page.wait_for_selector("#live-state[data-state=live]")
            await page.evaluate(WATCH)
            await page.keyboard.press("Tab")
            await page.locator("main a, main button").first.focus()
            before = await page.evaluate("document.activeElement.outerHTML")
            for progress in (64, 88):
                swaps = await page.evaluate("window.swaps")
                await DB.execute(
                    "UPDATE queueJobs SET progress = ?, progressMessage = ? WHERE id = ?",
                    (progress, f"{progress} of 100", running),
                )
                await DB.execute("UPDATE notifications SET kind = kind || '.'")
                await DB.execute(
                    "UPDATE users SET email = ? WHERE id = 'person-07'", (f"{progress}@x.org",)
                )
                await page.wait_for_function("before => window.swaps > before", arg=swaps)
            shift = await page.evaluate("window.shift")
            print(f"{path}: layout shift {shift:.4f}")  # noqa: T201
            assert shift < 0.02, path
            assert await page.evaluate("document.activeElement.outerHTML") == before, path


async def test_back_leads_to_the_list_as_it_was(place: Town) -> None:
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


PATHS = ("/", "/jobs", "/admin/queue", "/admin/invites", "/admin/audit", "/account", "/tickets")


@pytest.mark.parametrize("path", PATHS)
async def test_everything_is_reached_by_keyboard(place: Town, path: str) -> None:
    """Tab comes by every control in turn, shows where it is, and is caught nowhere."""
    async with place.tab() as page:
        await page.goto(place.url + path)
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
        await page.keyboard.press("/")
        assert await page.locator("#palette[open]").count() == 0, "single keys are off"
        assert page.url.endswith("/palette")
        await page.goto(place.url)
        await page.keyboard.press("Control+k")
        await page.wait_for_selector("#palette[open]")


@pytest.mark.feature("X-43")
async def test_a_notice_shows_in_the_corner_and_at_the_bell_and_survives_sleep(place: Town) -> None:
    await notify.mark_read(place.user_id, "")
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
    async with place.tab(color_scheme="dark", viewport=PHONE) as page:
        for name in ("/tickets", f"/tickets/{place.ids['ticket_id']}", "/jobs", "/admin/users"):
            await page.goto(place.url + name)
            await page.emulate_media(media="print")
            frame = ".rail, .topbar, .dock, .toasts, .button, .tools, .paging, .skip"
            assert await page.locator(frame).filter(visible=True).count() == 0, name
            ground = await page.evaluate(
                "[getComputedStyle(document.documentElement).backgroundColor,"
                " getComputedStyle(document.body).color]"
            )
            assert ground == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"], name
            await page.emulate_media(media="screen")


@pytest.mark.feature("X-62")
async def test_a_kept_ticket_is_there_without_a_network_until_one_signs_out(place: Town) -> None:
    async with place.tab() as page:
        await page.goto(f"{place.url}/tickets/{place.ids['ticket_id']}")
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
        await page.click("[data-keep]")
        await page.wait_for_selector("[data-keep][aria-pressed=true]")
        await page.context.set_offline(True)
        await page.goto(f"{place.url}/tickets")
        await page.wait_for_selector("#kept-ticket:not([hidden]) img[src^='data:image/png']")
        assert LONG in await page.inner_text("#kept-words")
        drawn = "img => img.decode().then(() => img.naturalWidth > 0)"
        assert await page.locator("#kept-picture").evaluate(drawn)
        await page.context.set_offline(False)
        await page.goto(place.url)
        await page.click("[popovertarget='account-menu']")
        await page.click("#account-menu button:has-text('Sign out')")
        await page.wait_for_url("**/login**")
        await page.context.set_offline(True)
        await page.goto(f"{place.url}/tickets")
        assert await page.inner_text("h1") == "Holdfast cannot be reached"
        assert await page.locator("#kept-ticket").is_hidden()


async def test_a_field_says_what_is_wrong_as_soon_as_it_is_left(place: Town) -> None:
    async with place.tab() as page:
        await page.goto(f"{place.url}/admin/invites")
        await page.fill("#email", "wilhelmine@")
        await page.keyboard.press("Tab")
        await page.wait_for_selector("#email-said .field__error")
        assert await page.get_attribute("#email", "aria-invalid") == "true"
        assert "email-said" in (await page.get_attribute("#email", "aria-describedby") or "")
        assert await page.evaluate("document.activeElement.id") == "hours", "the focus goes on"
        assert await page.locator("#hours-said .field__error").count() == 0
        await page.fill("#email", "wilhelmine@example.org")
        await page.keyboard.press("Tab")
        await page.wait_for_selector("#email-said .field__error", state="detached")
        assert await page.get_attribute("#email", "aria-invalid") is None


async def test_an_invite_of_ones_own_stands_in_the_list_at_once(place: Town) -> None:
    """Only what others make meanwhile waits to be asked for: nothing jumps under a pointer."""
    async with place.tab() as page:
        await page.goto(f"{place.url}/admin/invites")
        await page.fill("#label", "For Wilhelmine, by me")
        await page.click("#invite-form button[type=submit]")
        await page.wait_for_selector("#invite-made")
        await page.wait_for_selector("#invite-rows th:has-text('For Wilhelmine, by me')")
        assert await page.locator("#invite-rows .newrows").count() == 0
        another = await place.house.person("hedwig", role="admin")
        await invites.create_invite(another, label="For Hedwig, by another")
        await page.wait_for_selector("#invite-rows .newrows:has-text('1 new invite')")
        assert await page.locator("th:has-text('For Hedwig')").count() == 0
