"""What moves on the queue's pages by itself, what holds it, and the keys: in Chromium."""

import asyncio
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error, Page, Request, Route, expect

from app.core import paths
from db.engine import DB
from jobs import logfile
from jobs.context import Context
from jobs.enqueue import enqueue
from jobs.stats import get, wait
from tests.app.ops.conftest import Desk
from tests.app.ops.samples import Scripted, tell, until

pytestmark = pytest.mark.anyio


async def running(name: str, label: str, **more: object) -> str:
    """A job that runs and waits for its test's word."""
    job_id = (await enqueue(Scripted(name=name), label=label, **more)).id  # type: ignore[arg-type]
    await until(job_id, lambda row: row.state == "running")
    return job_id


def advance(done: int, ctx: Context) -> Any:
    """A step that says how far it is."""
    return ctx.progress(done, message=f"{done} of 100 MB")


async def live(page: Page) -> None:
    """Until the stream is open."""
    await expect(page.locator("#live-state")).to_have_attribute("data-state", "live")


@pytest.mark.feature("Q-59")
async def test_progress_moves_in_the_list_and_on_the_page(desk: Desk) -> None:
    job_id = await running("moves", "Fetch the firmware")
    async with desk.tab() as rows, desk.tab() as page:
        await rows.goto(f"{desk.url}/admin/queue/jobs")
        await page.goto(f"{desk.url}/admin/queue/jobs/{job_id}")
        for tab in (rows, page):
            await live(tab)
            await tab.evaluate("window.sameDocument = true")
        bar = rows.locator(f"#job-{job_id} progress")
        for done in (25, 80):
            tell("moves", partial(advance, done))
            await expect(bar).to_have_attribute("value", str(done))
            await expect(rows.locator(f"#job-{job_id}")).to_contain_text(f"{done} of 100 MB")
            await expect(page.locator("progress.thick")).to_have_attribute("value", str(done))
        tell("moves", None)
        await expect(rows.locator(f"#job-{job_id} .state")).to_have_text("done")
        await expect(page.locator("#job-now .state--big")).to_have_text("done")
        for tab in (rows, page):
            assert await tab.evaluate("window.sameDocument"), "no document was loaded for it"


@pytest.mark.feature("Q-58")
async def test_log_lines_come_by_themselves_and_the_filter_stays(desk: Desk) -> None:
    job_id = await running("logs", "Talkative")
    async with desk.tab() as page:
        await page.goto(f"{desk.url}/admin/queue/jobs/{job_id}")
        await live(page)
        tell("logs", lambda ctx: ctx.log.info("segment 1"), lambda ctx: ctx.log.error("no answer"))
        lines = page.locator("#job-log li p")
        await expect(lines).to_have_text(["segment 1", "no answer"])
        await page.select_option("#log-level", "error")
        await expect(lines).to_have_text(["no answer"])
        await page.locator("#log-find").press_sequentially("turbine")
        await expect(page.locator("#job-log")).to_have_count(0)
        tell("logs", lambda ctx: ctx.log.info("turbine"), lambda ctx: ctx.log.error("no turbine"))
        await expect(lines).to_have_text(["no turbine"])
        assert await page.input_value("#log-find") == "turbine"
        assert await page.evaluate("document.activeElement.id") == "log-find"
        tell("logs", None)
        await wait(job_id)


async def test_a_late_answer_does_not_undo_what_was_chosen_since(desk: Desk) -> None:
    """A refresh that was asked for before the level changed, and answers after it."""
    job_id = await running("late", "Talkative")
    late = asyncio.Event()

    async def slow(route: Route) -> None:
        if "level=error" not in route.request.url:
            late.set()
            await asyncio.sleep(1)
        with suppress(Error):  # the page has given it up
            await route.continue_()

    async with desk.tab() as page:
        await page.goto(f"{desk.url}/admin/queue/jobs/{job_id}")
        await live(page)
        tell("late", lambda ctx: ctx.log.info("segment 1"), lambda ctx: ctx.log.error("no answer"))
        await expect(page.locator("#job-log li p")).to_have_text(["segment 1", "no answer"])
        await page.route(f"**/admin/queue/jobs/{job_id}*", slow)
        tell("late", lambda ctx: ctx.log.info("segment 2"))
        await asyncio.wait_for(late.wait(), 10)
        await page.select_option("#log-level", "error")
        await expect(page.locator("#job-log li p")).to_have_text(["no answer"])
        await asyncio.sleep(1.5)
        await expect(page.locator("#job-log li p")).to_have_text(["no answer"])
        assert await page.input_value("#log-level") == "error"
        await page.unroute_all(behavior="ignoreErrors")
        tell("late", None)
        await wait(job_id)


@pytest.mark.feature("Q-90")
async def test_output_grows_while_the_job_runs_and_stops_with_it(desk: Desk) -> None:
    job_id = await running("output", "Build")
    row = await get(job_id)
    assert row is not None
    file = logfile.LogFile(logfile.path_of(paths.data_dir(), job_id, row.created_at))
    await asyncio.to_thread(file.append, b"\x1b[32mstep 1\n")
    asked: list[str] = []
    async with desk.tab() as page:
        page.on("request", lambda request: _note(asked, request))
        await page.goto(f"{desk.url}/admin/queue/jobs/{job_id}")
        text = page.locator("#job-output-text")
        await expect(text).to_have_text("step 1\n")
        for n in (2, 3):
            await asyncio.to_thread(file.append, f"step {n}\n".encode())
            await expect(text).to_contain_text(f"step {n}")
        assert await text.inner_text() == "step 1\nstep 2\nstep 3\n", "nothing twice, nothing lost"
        green = await page.locator("#job-output-text .ansi-green").all_inner_texts()
        assert "".join(green) == "step 1\nstep 2\nstep 3\n", "the colour goes on"
        assert len(await page.locator("#job-output-text > *").all()) <= 3, "no nesting"
        await asyncio.to_thread(file.append, b"the end\n")
        tell("output", None)
        await wait(job_id)
        await expect(text).to_contain_text("the end")
        await expect(page.locator("#output-part")).not_to_have_attribute("data-tail", "")
    assert asked, "the control: it did ask"


def _note(asked: list[str], request: Request) -> None:
    if "/output?" in request.url:
        asked.append(request.url)


@pytest.mark.feature("Q-66")
async def test_updates_come_are_held_and_go_on(desk: Desk) -> None:
    job_id = await running("held", "Held")
    async with desk.tab() as page:
        await page.goto(f"{desk.url}/admin/queue/jobs")
        await live(page)
        row = page.locator(f"#job-{job_id}")
        hold = page.locator("#hold")
        tell("held", lambda ctx: ctx.progress(10, message="ten"))
        await expect(row).to_contain_text("ten")
        await hold.click()
        await expect(hold).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#live-state")).to_have_text("Held")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        tell("held", lambda ctx: ctx.progress(20, message="twenty"))
        await until(job_id, lambda row: row.progress == 20)
        # The word of that commit has passed once the next thing the stream carries has come.
        passed = page.evaluate(
            "new Promise(done => document.addEventListener('htmx:sse:before:message', done))"
            ".then(() => true)"
        )
        tell("held", lambda ctx: ctx.progress(30, message="thirty"))
        assert await passed
        await expect(row).to_contain_text("ten")
        assert not [url for url in asked if "/queue/jobs" in url]
        await hold.click()
        await expect(row).to_contain_text("thirty")
        tell("held", None)
        await expect(row.locator(".state")).to_have_text("done")


@pytest.mark.feature("Q-66")
async def test_a_hidden_tab_holds_no_stream(desk: Desk) -> None:
    hub = desk.house.app.litestar.state.hub
    async with desk.tab() as page:
        await page.goto(f"{desk.url}/admin/queue/jobs")
        await live(page)
        assert hub.watching("/admin/queue/jobs") == 1
        # What a browser says of a tab that is put behind another.
        await page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await _streams(desk, 0)
        job_id = await running("unseen", "Came while nobody looked")
        await page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await _streams(desk, 1)
        await expect(page.locator(".newrows")).to_have_text("1 new job")
        tell("unseen", None)
        await wait(job_id)


async def _streams(desk: Desk, n: int) -> None:
    """Until so many are open; the hub tells nobody, so this one looks."""
    hub = desk.house.app.litestar.state.hub
    async with asyncio.timeout(20):
        while hub.watching("/admin/queue/jobs") != n:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_rows_that_are_ticked_stay_ticked_while_they_change(desk: Desk) -> None:
    job_id = await running("ticked", "Ticked")
    async with desk.tab() as page:
        await page.goto(f"{desk.url}/admin/queue/jobs")
        await live(page)
        await page.check(f"#job-{job_id} .pick input")
        tell("ticked", lambda ctx: ctx.progress(50, message="half"))
        await expect(page.locator(f"#job-{job_id}")).to_contain_text("half")
        assert await page.is_checked(f"#job-{job_id} .pick input")
        await expect(page.locator("[data-bulk-count]")).to_have_text("1")
        tell("ticked", None)
        await wait(job_id)


@pytest.mark.feature("Q-67")
async def test_keys_lead_search_and_press(desk: Desk) -> None:
    async with desk.tab() as page:
        await page.goto(f"{desk.url}/admin/queue")
        for key, path in (
            ("j", "/admin/queue/jobs"),
            ("s", "/admin/queue/schedules"),
            ("b", "/admin/queue/batches"),
            ("q", "/admin/queue"),
        ):
            await page.keyboard.press(key)
            await page.wait_for_url(f"{desk.url}{path}")
        await page.keyboard.press("j")
        await page.wait_for_url(f"{desk.url}/admin/queue/jobs")
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.id") == "q"
        await page.keyboard.type("jsb")
        assert await page.input_value("#q") == "jsb", "in a field a key is a letter"
        await page.evaluate("document.activeElement.blur()")
        await page.keyboard.press("?")
        await page.wait_for_url(re.compile(r"/palette#keys$"))
        await expect(page.locator("#keys").locator("xpath=../..")).to_contain_text(
            "Cancel the job chosen"
        )


@pytest.mark.feature("Q-67")
async def test_r_starts_and_x_cancels_the_job_that_has_the_focus(desk: Desk) -> None:
    first = (await enqueue(Scripted(name="by key"), label="First", delay_s=3600)).id
    other = (await enqueue(Scripted(name="not this"), label="Other", delay_s=3600)).id
    async with desk.tab() as page:
        await page.goto(f"{desk.url}/admin/queue/jobs")
        await live(page)
        await page.keyboard.press("x")
        await page.locator(f"#job-{first} a").first.focus()
        await page.keyboard.press("r")
        await until(first, lambda row: row.state == "running")
        await expect(page.locator(f"#job-{first} .state")).to_have_text("running")
        await page.locator(f"#job-{first} a").first.focus()
        await page.keyboard.press("x")
        await wait(first)
        row = await get(other)
        assert row is not None
        assert row.state == "queued", "without a row in focus x does nothing, and r only its own"
        await page.goto(f"{desk.url}/admin/queue/jobs/{other}")
        await live(page)
        await page.keyboard.press("x")
        await expect(page.locator("#job-now .state--big")).to_have_text("cancelled")
        await DB.execute(
            "INSERT INTO userSettings(userId, shortcuts) VALUES(?, 0)"
            " ON CONFLICT(userId) DO UPDATE SET shortcuts = 0",
            (desk.people.admin_id,),
        )
        third = (await enqueue(Scripted(name="third"), label="Third", delay_s=3600)).id
        await page.goto(f"{desk.url}/admin/queue/jobs/{third}")
        await page.keyboard.press("x")
        await page.keyboard.press("j")
        await page.wait_for_timeout(0)
        row = await get(third)
        assert row is not None
        assert row.state == "queued", "switched off, keys do nothing"
        assert page.url.endswith(third)


async def test_a_job_with_everything_its_form_and_the_worker_are_clean(desk: Desk) -> None:
    """axe-core by WCAG 2.2 AA in both themes on a desk, and no page wider than a phone."""
    axe = Path(__file__).parents[2] / "vendor" / "axe.min.js"
    job_id = await running("axe", "Everything " * 6)
    row = await get(job_id)
    assert row is not None
    file = logfile.LogFile(logfile.path_of(paths.data_dir(), job_id, row.created_at))
    codes = [*range(30, 38), *range(41, 47)]
    colours = "".join(f"\x1b[{code}mcolour {code}\x1b[0m " for code in codes)
    await asyncio.to_thread(file.append, f"{colours}\n".encode())
    tell("axe", lambda ctx: ctx.progress(40), lambda ctx: ctx.log.error("broken"))
    form = (await enqueue(Scripted(name="form"), delay_s=3600)).id
    found: list[str] = []
    async with desk.tab(bypass_csp=True) as page:
        for path in (
            f"/admin/queue/jobs/{job_id}",
            f"/admin/queue/jobs/{form}/edit",
            "/admin/queue/worker",
        ):
            await page.goto(desk.url + path, wait_until="load")
            await page.evaluate(axe.read_text("utf-8"))
            for theme in ("light", "dark"):
                await page.emulate_media(color_scheme=theme)
                result = await page.evaluate(
                    "axe.run({runOnly: {type: 'tag',"
                    " values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}})"
                )
                found += [
                    f"{path}, {theme}: {rule['id']}: {node['target']} {node['any'][:1]}"
                    for rule in result["violations"]
                    for node in rule["nodes"]
                ]
            await page.set_viewport_size({"width": 390, "height": 844})
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                found.append(f"{path}: {wide} px too wide on a phone")
            await page.set_viewport_size({"width": 1366, "height": 900})
    tell("axe", None)
    await wait(job_id)
    assert not found, "\n".join(found)
