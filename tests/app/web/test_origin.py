"""Requests from other sites, against a real server and from a real browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Browser, async_playwright

from app.web.headers import App, Headers, Scope
from app.web.origin import EXEMPT, Origin
from tests.app.house import House as Program
from tests.app.web.server import running
from tests.system import program

pytestmark = pytest.mark.anyio

FORM = b"""<!doctype html><html lang=en><meta charset=utf-8><title>form</title>
<form method=post action="%s"><button>Go</button></form>"""


HTTPS = {"X-Forwarded-Proto": "https"}


class House:
    """An application that shows a form, counts what was changed, and says it."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.refusals: list[str] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        showing = scope["method"] in {"GET", "HEAD"}
        body = FORM % b"/change" if showing else b"changed"
        if not showing:
            self.changes.append(scope["path"])
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    async def note(self, _scope: Scope, reason: str) -> None:
        self.refusals.append(reason)

    def app(self, trusted: tuple[str, ...] = (), **more: Any) -> App:
        return Headers(Origin(self, on_refused=self.note, **more), trusted)


@asynccontextmanager
async def _house(**more: Any) -> AsyncIterator[tuple[House, httpx.AsyncClient]]:
    house = House()
    async with running(house.app(**more)) as url, httpx.AsyncClient(base_url=url) as client:
        yield house, client


@pytest.mark.feature("X-40")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "same-origin, same-origin"},
        {"Sec-Fetch-Site": "SAME-ORIGIN"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "OWN"},
        {"Sec-Fetch-Site": "same-site", "Origin": "OWN"},
        {},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "OWN.evil.example"},
        {"Origin": "http://evil@HOST"},
        {"Origin": "https://HOST"},
        {"Origin": "OWN OWN"},
        {"Referer": "OWN/form"},
        {"Content-Type": "text/plain"},
        {"Authorization": "Bearer hf_x"},
    ],
)
async def test_a_change_asked_for_by_another_site_is_refused(headers: dict[str, str]) -> None:
    methods = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    async with _house() as (house, client):
        own = str(client.base_url).rstrip("/")
        sent = {
            name: value.replace("OWN", own).replace("HOST", urlsplit(own).netloc)
            for name, value in headers.items()
        }
        for method in methods:
            response = await client.request(method, "/change", headers=sent)
            assert response.status_code == 403
            assert "did not come from Holdfast" in response.text
    assert not house.changes
    assert len(house.refusals) == len(methods)


@pytest.mark.feature("X-40")
@pytest.mark.parametrize(
    "headers",
    [
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "OWN"), ("Origin", "OWN")],
        [("Origin", "OWN"), ("Origin", "https://evil.example")],
    ],
)
async def test_a_header_sent_twice_proves_nothing(headers: list[tuple[str, str]]) -> None:
    async with _house() as (house, client):
        own = str(client.base_url).rstrip("/")
        sent = [(name, value.replace("OWN", own)) for name, value in headers]
        assert (await client.post("/change", headers=sent)).status_code == 403
    assert not house.changes


@pytest.mark.feature("X-40")
async def test_our_own_pages_may_change_things_with_either_header() -> None:
    async with _house() as (house, client):
        own = str(client.base_url).rstrip("/")
        for headers in (
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy-in-between.example"},
            {"Origin": own},
        ):
            assert (await client.post("/change", headers=headers)).text == "changed"
    assert len(house.changes) == 3
    assert not house.refusals


async def test_looking_is_free_for_everyone() -> None:
    async with _house() as (house, client):
        for method in ("GET", "HEAD"):
            response = await client.request(method, "/", headers={"Sec-Fetch-Site": "cross-site"})
            assert response.status_code == 200
    assert not house.refusals


@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        ("/", {"Host": "team.example", "Origin": "http://team.example"}, 200),
        ("/", {"Host": "team.example:80", "Origin": "http://team.example"}, 200),
        ("/", {"Host": "team.example", "Origin": "http://team.example:8040"}, 403),
        ("/", {"Host": "team.example", "Origin": "https://team.example"}, 403),
        (
            "/",
            {
                "Host": "team.example",
                "Origin": "https://team.example",
                **HTTPS,
            },
            200,
        ),
        (
            "/",
            {"Host": "team.example", "Origin": "http://team.example", **HTTPS},
            403,
        ),
        (
            "/",
            {"Host": "a", "X-Forwarded-Host": "b", "Origin": "http://b"},
            403,
        ),
        ("/", {"Host": "inner:8040", "Origin": "https://public.example:8443"}, 200),
    ],
)
async def test_ours_is_the_address_the_person_sees(
    url: str, headers: dict[str, str], status: int
) -> None:
    more = {"trusted": ("127.0.0.1",), "public_url": "https://public.example:8443/below"}
    async with _house(**more) as (_, client):
        assert (await client.post(url, headers=headers)).status_code == status


async def test_the_word_of_a_proxy_nobody_listed_does_not_count() -> None:
    async with _house() as (_, client):
        headers = {"Host": "a", "Origin": "https://a", **HTTPS}
        assert (await client.post("/", headers=headers)).status_code == 403


async def test_only_what_the_table_names_is_exempt() -> None:
    assert [path for path, *_ in EXEMPT] == ["/webhooks/twilio", "/csp-report", "/api/v1"]
    free = ["/webhooks/twilio", "/webhooks/twilio/status", "/csp-report", "/api/v1/jobs"]
    bound = ["/webhooks", "/webhooks/twilio2", "/csp-report/x", "/api/v10/x", "/api", "/x/api/v1/"]
    async with _house() as (house, client):
        assert [(await client.post(path)).status_code for path in free] == [200] * 4
        assert [(await client.post(path)).status_code for path in bound] == [403] * 6
    assert house.changes == free


async def test_below_a_path_the_table_still_holds() -> None:
    house = House()

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await house.app()({**scope, "root_path": "/below"}, receive, send)

    async with running(mounted) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/below/api/v1/jobs")).status_code == 200
        refused = await client.post("/below/tickets")
    assert refused.status_code == 403
    assert 'href="/below/"' in refused.text


async def test_htmx_gets_a_fragment_and_a_browser_a_page() -> None:
    async with _house() as (_, client):
        whole = await client.post("/change")
        fragment = await client.post("/change", headers={"HX-Request": "true"})
    assert whole.text.startswith("<!doctype html>")
    assert fragment.text.startswith("<p role=alert>")
    assert "content-security-policy" in whole.headers


@pytest.mark.feature("X-40")
async def test_the_program_refuses_in_its_own_words_as_a_page_and_as_a_fragment(
    house_of: Program,
) -> None:
    foreign = {"Origin": "https://evil.example", "Accept-Language": "de"}
    async with house_of.client() as client:
        whole = await client.post("/login", headers=foreign)
        part = await client.post("/login", headers={**foreign, "HX-Request": "true"})
        assert (whole.status_code, part.status_code) == (403, 403)
        assert '<html lang="de"' in whole.text
        assert "Seite von Holdfast" in whole.text
        assert 'href="/"' in whole.text
        assert part.headers["hx-retarget"] == "#toasts"
        assert part.text.lstrip().startswith('<div class="toast"')
        assert "Seite von Holdfast" in part.text
        # The control: the same form from our own page is read.
        assert (
            await client.post("/login", data={"login": "x", "password": "y"})
        ).status_code == 422


async def test_the_house_may_write_its_own_refusal_and_a_failing_audit_does_not_let_in() -> None:
    house = House()

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"own words"})

    async def broken(scope: Scope, reason: str) -> None:
        raise RuntimeError("no room for a row")

    closed = Origin(house, refuse=refuse, on_refused=broken)
    async with running(closed) as url, httpx.AsyncClient() as client:
        response = await client.post(url)
    assert (response.status_code, response.text) == (403, "own words")
    assert not house.changes


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program("chromium"),
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--host-resolver-rules=MAP *.test 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


@pytest.mark.feature("X-40")
async def test_in_a_browser_our_form_works_and_the_same_form_elsewhere_does_not() -> None:
    house = House()

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": FORM % f"{target}/change".encode()})

    async with running(house.app()) as ours, running(elsewhere) as theirs, _browser() as browser:
        here, there = urlsplit(ours).port, urlsplit(theirs).port
        # Over plain http browsers send Sec-Fetch-Site to localhost only: both rules are shown.
        for host in ("localhost", "house.test"):
            target = f"http://{host}:{here}"
            tab = await browser.new_page()
            for address, said in (
                (target, "changed"),
                (f"http://{host}:{there}", "did not come from Holdfast"),
                (f"http://evil.test:{there}", "did not come from Holdfast"),
            ):
                await tab.goto(address)
                await tab.click("button")
                await tab.wait_for_url(f"{target}/change")
                assert said in await tab.content()
            await tab.close()
    assert house.changes == ["/change"] * 2
    assert sorted(house.refusals) == ["origin", "origin", "sec-fetch-site", "sec-fetch-site"]
