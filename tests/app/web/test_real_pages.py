"""Every page of the running program, read from its routes, in Chromium."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from db.engine import DB
from tests.app.web import stretched
from tests.app.web.places import BY_COOKIE, Place
from tests.app.web.survey import WIDE, Seen, walk
from tests.app.web.town import HOLDER, LONG, Town

pytestmark = pytest.mark.anyio

PAGE_LIMIT = 100 * 1024  # bytes of styles and scripts, before compression
MISSING = Place("missing", "/no/such/place", "user")
WIDTHS = (1366, 390, 320)
# Texts of the frame and the page that must be ours; what people and machines wrote is left out.
NAMES = {"Holdfast", "wilhelmine", LONG, HOLDER, "Wilhelmine-Friederike 07"}
DATE = re.compile(r"\d+ de \w+")  # Babel writes these, in the language whose place is taken
OURS = "h1, h2, thead th, .field > label, .tabs a, .button:not(.jump), .rail__link, summary"


@pytest.fixture(scope="module")
async def tour(place: Town) -> list[Seen]:
    """A walk through every page there is, as admin and as somebody outside."""
    inside = [MISSING, *(each for each in place.places() if not each.outside)]
    second = Place("second", "/login/second", "anon_only")
    return [
        *await walk(place, inside),
        *await walk(place, await place.doors(), token=None),
        *await walk(place, [second], token=await place.half_way(), tabs=1),
    ]


async def test_the_tour_comes_by_every_page(tour: list[Seen]) -> None:
    names = {each.place.name for each in tour}
    assert set(BY_COOKIE) <= names
    assert {"dashboard", "users", "vault", "queue_rates", "security", "firmware", "login"} <= names
    assert len(names) > 45
    assert [each.place.path for each in tour if each.status != 200] == [MISSING.path]
    assert [each.place.path for each in tour if each.titles != 1] == []
    assert next(each for each in tour if each.place is MISSING).status == 404


@pytest.mark.feature("X-59")
async def test_every_page_is_clean(tour: list[Seen]) -> None:
    """axe-core by WCAG 2.2 AA at a desk and on a phone, its colours in both themes."""
    found = [f"{each.place.path}, {fault}" for each in tour for fault in each.faults]
    assert not found, "\n".join(found)


@pytest.mark.feature("X-56")
async def test_every_page_fits(tour: list[Seen]) -> None:
    """Nothing is wider than the window, with titles of sixty characters in it."""
    found = [f"{each.place.path}, {it}" for each in tour for it in each.wide]
    assert not found, "\n".join(found)


async def test_pages_ask_only_our_own_server_and_stay_light(tour: list[Seen]) -> None:
    for each in sorted(tour, key=lambda each: -each.bytes):
        print(  # noqa: T201 - `pytest -s` shows the weight of each page
            f"{each.place.path}: {each.bytes / 1000:.1f} kB styles and scripts in"
            f" {len(each.loaded)} files, {each.html / 1000:.1f} kB page,"
            f" first paint {each.paint_ms:.0f} ms"
        )
    assert [url for each in tour for url in each.foreign] == []
    assert [each.place.path for each in tour if each.bytes > PAGE_LIMIT] == []
    assert [each.place.path for each in tour if len(each.loaded) > 5] == []


@pytest.mark.feature("X-20")
async def test_every_page_fits_in_german(place: Town) -> None:
    wide, _texts = await _read_in(place, "de")
    assert not wide, "\n".join(wide)


@pytest.mark.feature("X-20")
async def test_a_language_a_third_longer_fits_and_leaves_no_text_out(
    place: Town, tmp_path: Path
) -> None:
    """The made-up language: nothing sticks out, and no head, label or button stays English."""
    with stretched.stretched(tmp_path):
        wide, texts = await _read_in(place, stretched.LOCALE)
    assert not wide, "\n".join(wide)
    silent = [path for path, said in texts.items() if not any(stretched.LEFT in it for it in said)]
    assert silent == [], "the control: every page speaks it"
    plain = {path: [it for it in said if _is_forgotten(it)] for path, said in texts.items()}
    left = {path: said for path, said in plain.items() if said}
    assert left == {}, "what never went through _()"


def _is_forgotten(text: str) -> bool:
    """Whether a head, label or button says something, and not in the made-up language."""
    if stretched.LEFT in text or text in NAMES or DATE.search(text):
        return False
    return bool(re.search(r"[a-z]{3}", text))


async def _read_in(place: Town, locale: str) -> tuple[list[str], dict[str, list[str]]]:
    """What sticks out on which page, and the texts of each page that must be ours."""
    await DB.execute("UPDATE users SET locale = ?", (locale,))
    left, wide = [each for each in place.places() if not each.outside], list[str]()
    texts: dict[str, list[str]] = {}

    async def one_tab() -> None:
        async with place.tab(java_script_enabled=False) as page:
            while left:
                path = left.pop().path
                await page.goto(place.url + path, wait_until="domcontentloaded")
                assert await page.get_attribute("html", "lang") == locale
                texts[path] = await page.locator(OURS).all_inner_texts()
                for width in WIDTHS:
                    await page.set_viewport_size({"width": width, "height": 844})
                    found = await page.evaluate(WIDE)
                    wide.extend(f"{path}, {width} px: {it}" for it in found)

    try:
        await asyncio.gather(one_tab(), one_tab())
    finally:
        await DB.execute("UPDATE users SET locale = 'en'")
    return wide, texts


@pytest.mark.feature("X-21")
async def test_every_page_is_whole_without_scripts(place: Town) -> None:
    """One title, no dead control, nothing that only scripts can post, and the work gets done."""
    dead = "[data-copy], [data-reveal], [data-themes], #live-state, [data-keep], [data-pick-all]"
    async with place.tab(java_script_enabled=False) as page:
        for each in place.places():
            if each.outside:
                continue
            await page.goto(place.url + each.path, wait_until="domcontentloaded")
            assert await page.locator("h1").count() == 1, each.path
            assert await page.locator(dead).filter(visible=True).count() == 0, each.path
            lone = await page.locator("[hx-post]:not(form):not(form *)").count()
            assert lone == 0, f"{each.path}: something is posted by scripts only"
        await page.goto(f"{place.url}/palette")
        await page.fill("main #palette-q", "Semesterticket")
        await page.press("main #palette-q", "Enter")
        await page.click("#palette-rows a:has-text('Semesterticket') >> nth=0")
        assert "/admin/queue/jobs/" in page.url
        await page.goto(f"{place.url}/notifications")
        await page.click("text=Mark all as read")
        assert await page.inner_text("h1 + p") == "You have seen everything."
