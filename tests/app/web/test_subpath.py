"""Shown below a path: every link, form and fragment of every page stays below it and leads on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser

from tests.app.web.places import Place
from tests.app.web.town import Town, town

pytestmark = pytest.mark.anyio

ROOT = "/x/y"
_ADDRESS = re.compile(
    r"""\s(?:href|src|action|formaction|hx-get|hx-post|hx-sse:connect|data-keep|data-worker|data-scope)="([^"]*)\""""
)


@pytest.fixture(scope="module")
async def below(
    browser: Browser, migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("below")
    database = folder / "holdfast.db"
    database.write_bytes(migrated.read_bytes())
    async with town(database, browser, root_path=ROOT) as made:
        await made.fill()
        yield made


def addresses(html: str) -> set[str]:
    """Everything a page refers to here, but places in itself."""
    found = {unescape(text) for text in _ADDRESS.findall(html)}
    return {text for text in found if text and not text.startswith(("#", "data:", "?", "https://"))}


async def open_page(web: httpx.AsyncClient, place: Place) -> str:
    answer = await web.get(ROOT + place.path)
    assert answer.status_code == 200, f"{place.path}: {answer.status_code}"
    return answer.text


@pytest.mark.feature("X-04")
async def test_every_address_on_every_page_stays_below_the_path(below: Town) -> None:
    wrong: list[str] = []
    links: dict[str, str] = {}
    inside = await below.house.browser(below.user_id)
    async with inside, below.house.client() as outside:
        for place in below.places():
            if place.name in ("setup", "second"):
                continue
            html = await open_page(outside if place.outside else inside, place)
            for address in addresses(html):
                if not address.startswith(f"{ROOT}/") or address.count(ROOT) > 1 + ("?" in address):
                    wrong.append(f"{place.name}: {address}")
                if 'data-scope="' not in html:
                    wrong.append(f"{place.name} has no frame")
            links |= dict.fromkeys(re.findall(r'<a\b[^>]*\shref="([^"#]+)', html), place.name)
        assert wrong == []
        assert len(links) > 60, "the control: there are links to follow"
        for link, name in links.items():
            answer = await inside.get(unescape(link))
            assert answer.status_code in (200, 303), f"{name}: {link} answers {answer.status_code}"
            onward = answer.headers.get("location", ROOT)
            assert onward.startswith((ROOT, "/x/y")), f"{name}: {link} leads to {onward}"


@pytest.mark.feature("X-04")
@pytest.mark.parametrize("prefix", [ROOT, ""], ids=["passed whole", "cut by the proxy"])
async def test_a_proxy_may_pass_the_path_whole_or_cut(below: Town, prefix: str) -> None:
    async with below.house.client() as web:
        assert (await web.get(f"{prefix}/healthz")).text == "ok"
        away = await web.get(f"{prefix}/tickets?a=1")
        assert away.headers["location"] == f"{ROOT}/login?next=/x/y/tickets%3Fa%3D1"
        page = await web.get(f"{prefix}/login")
        style = re.search(r'<link rel="stylesheet" href="([^"]+)', page.text)
        assert style
        assert (await web.get(prefix + style[1].removeprefix(ROOT))).status_code == 200
        manifest = await web.get(f"{prefix}/static/app.webmanifest")
        assert manifest.json()["start_url"] == "../", "from where it lies, up to our own root"


@pytest.mark.feature("X-04")
async def test_an_address_inside_an_address_opens_nothing_else(below: Town) -> None:
    """The path is cut once, at its beginning: no place can be reached through another's rules."""
    async with below.house.client() as web:
        for path in ("/csp-report/x/y/logout", "/static/x/y/login", "/healthz/x/y/login"):
            answer = await web.get(ROOT + path)
            assert answer.status_code in (404, 405), path
            assert 'name="password"' not in answer.text


@pytest.mark.feature("X-04")
async def test_a_page_below_a_path_lives_and_goes_on(below: Town) -> None:
    """In a browser: the stream opens, a fragment fetches itself, the worker keeps its frame."""
    async with below.tab() as page:
        await page.goto(f"{below.url}{ROOT}/jobs")
        await page.wait_for_selector("#live-state[data-state=live]")
        async with page.expect_response(lambda answer: answer.url.endswith(f"{ROOT}/jobs")):
            await below.job("queued", "Came later")
        await page.click("[data-go=d]")
        await page.wait_for_url(f"**{ROOT}/")
        assert await page.evaluate(
            "navigator.serviceWorker.ready.then(it => new URL(it.scope).pathname)"
        ) == (f"{ROOT}/")
