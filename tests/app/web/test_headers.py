"""The outermost layer, through a real server and in a real browser."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright

from app.core import logs
from app.web.headers import App, Headers
from tests.app.web.server import page, running
from tests.system import program

pytestmark = pytest.mark.anyio

Serve = Callable[[App], Awaitable[str]]

NONCE = re.compile(r"'nonce-([A-Za-z0-9_-]{22})'")
POLICY = (
    "default-src 'none'; script-src 'nonce-N'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types htmx holdfast"
)
ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()"
    ),
    "cache-control": "no-store",
    "content-security-policy": POLICY,
}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(app)`: the app behind a real server, as the program starts it; its address."""
    async with AsyncExitStack() as stack:

        async def start(app: App) -> str:
            return await stack.enter_async_context(running(app))

        yield start


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    logs.setup("json", "info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], level = before
    root.setLevel(level)


def _seen(response: httpx.Response) -> dict[str, str]:
    shown = {name: ", ".join(response.headers.get_list(name)) for name in ALWAYS}
    shown["content-security-policy"] = NONCE.sub("'nonce-N'", shown["content-security-policy"])
    return shown


@pytest.mark.parametrize("status", [200, 204, 303, 404, 405, 500])
async def test_every_response_carries_every_header_byte_for_byte(serve: Serve, status: int) -> None:
    url = await serve(
        Headers(page(status, b"" if status == 204 else b"ok", Server="x", X_Powered_By="x"))
    )
    async with httpx.AsyncClient() as client:
        for method in ("GET", "HEAD", "POST"):
            response = await client.request(method, url)
            assert response.status_code == status
            assert _seen(response) == ALWAYS
            assert "server" not in response.headers
            assert "x-powered-by" not in response.headers
            assert "strict-transport-security" not in response.headers


async def test_an_application_that_crashes_is_answered_for_with_all_headers(
    serve: Serve, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    async def crash(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("only for the log")

    url = await serve(Headers(crash))
    async with httpx.AsyncClient() as client:
        response = await client.get(url)
    assert response.status_code == 500
    assert _seen(response) == ALWAYS
    assert response.headers["x-request-id"] in response.text
    assert "only for the log" not in response.text
    mine = [line["event"] for line in logged() if "request_id" in line]
    assert mine == ["http.crashed", "http.request"]


async def test_a_nonce_is_made_for_each_response_and_told_to_the_application(serve: Serve) -> None:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope["csp_nonce"])
        await page()(scope, receive, send)

    url = await serve(Headers(app))
    async with httpx.AsyncClient() as client:
        sent = [
            NONCE.findall((await client.get(url)).headers["content-security-policy"])[0]
            for _ in range(20)
        ]
    assert sent == told
    assert len(set(told)) == 20


async def test_a_route_with_its_own_policy_keeps_it_and_no_other_header(serve: Serve) -> None:
    own = {
        "content_security_policy": "sandbox; default-src 'none'",
        "x_frame_options": "SAMEORIGIN",
        "referrer_policy": "no-referrer",
        "cache_control": "private, no-store",
        "x_content_type_options": "sniff",
        "cross_origin_opener_policy": "unsafe-none",
    }
    url = await serve(Headers(page(**own)))
    async with httpx.AsyncClient() as client:
        response = await client.get(url)
    assert _seen(response) == ALWAYS | {
        "content-security-policy": "sandbox; default-src 'none'",
        "x-frame-options": "SAMEORIGIN",
        "referrer-policy": "no-referrer",
        "cache-control": "private, no-store",
    }


@pytest.mark.parametrize(
    ("asked", "added"),
    [
        ("'self'", "; frame-src 'self'"),
        ("http://p1.localhost:4000", "; frame-src http://p1.localhost:4000"),
    ],
)
async def test_a_page_that_embeds_a_frame_says_so_and_only_that_is_added(
    serve: Serve, asked: str, added: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["frame_src"] = asked
        await page()(scope, receive, send)

    url = await serve(Headers(app))
    async with httpx.AsyncClient() as client:
        assert _seen(await client.get(url))["content-security-policy"] == POLICY + added


async def test_nothing_else_can_be_smuggled_into_the_policy(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["frame_src"] = "'self'; script-src *"
        await page()(scope, receive, send)

    url = await serve(Headers(app))
    async with httpx.AsyncClient() as client:
        response = await client.get(url)
    assert response.status_code == 500
    assert _seen(response) == ALWAYS


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = json.dumps({"scheme": scope["scheme"], "client": (scope["client"] or [""])[0]}).encode()
    await page(200, body)(scope, receive, send)


@pytest.mark.feature("X-05")
async def test_without_a_list_no_proxy_is_believed(serve: Serve) -> None:
    url = await serve(Headers(_echo))
    async with httpx.AsyncClient() as client:
        response = await client.get(url, headers=FORWARDED)
    assert response.json() == {"scheme": "http", "client": "127.0.0.1"}
    assert "strict-transport-security" not in response.headers
    assert response.headers["x-request-id"] != FORWARDED["X-Request-ID"]


@pytest.mark.feature("X-05")
@pytest.mark.parametrize("trusted", [["127.0.0.1", "10.0.0.0/8"], ["127.0.0.0/8", "10.1.1.1"]])
async def test_a_listed_proxy_is_believed_up_to_the_last_address_nobody_listed(
    serve: Serve, trusted: list[str]
) -> None:
    url = await serve(Headers(_echo, trusted))
    async with httpx.AsyncClient() as client:
        response = await client.get(url, headers=FORWARDED)
    assert response.json() == {"scheme": "https", "client": "192.0.2.7"}
    assert response.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
    assert response.headers["x-request-id"] == FORWARDED["X-Request-ID"]


@pytest.mark.feature("X-05")
async def test_a_proxy_that_is_not_on_the_list_is_not_believed(serve: Serve) -> None:
    url = await serve(Headers(_echo, ["10.0.0.0/8"]))
    async with httpx.AsyncClient() as client:
        response = await client.get(url, headers=FORWARDED)
    assert response.json() == {"scheme": "http", "client": "127.0.0.1"}
    assert response.headers["x-request-id"] != FORWARDED["X-Request-ID"]


@pytest.mark.feature("X-05")
@pytest.mark.parametrize("trusted", [["unix"], []])
async def test_a_proxy_at_our_unix_socket_is_believed_if_it_is_listed(
    tmp_path: Path, trusted: list[str]
) -> None:
    place = str(tmp_path / "s")
    async with (
        running(Headers(_echo, trusted), uds=place),
        httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=place)) as client,
    ):
        seen = await client.get("http://holdfast.example/", headers=FORWARDED)
        again = await client.get("http://holdfast.example/")
    if trusted:
        assert seen.json() == {"scheme": "https", "client": "10.1.1.1"}, "the last is not listed"
        assert seen.headers["x-request-id"] == FORWARDED["X-Request-ID"]
        assert again.json()["client"] == "unix"
    else:
        assert seen.json() == {"scheme": "http", "client": ""}


FORWARDED = {
    # What a client wrote itself, what the outer proxy saw, what the inner one is.
    "X-Forwarded-For": "203.0.113.66, 192.0.2.7, 10.1.1.1",
    "X-Forwarded-Proto": "https",
    "X-Request-ID": "abcDEF-0123456789",
}


@pytest.mark.parametrize(
    "given", ["short", "x" * 65, "with space", "a_b_c_d_e", "<script>alert(1)"]
)
async def test_an_odd_request_id_is_replaced_even_from_a_trusted_proxy(
    serve: Serve, given: str
) -> None:
    url = await serve(Headers(page(), ["127.0.0.1"]))
    async with httpx.AsyncClient() as client:
        response = await client.get(url, headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-request-id"])


@pytest.mark.feature("X-52")
async def test_the_lines_of_a_request_carry_its_id_and_the_route_but_no_address(
    serve: Serve, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        logs.log.info("sample.inside")
        logging.getLogger("some.library").warning("inside too")
        await page(404)(scope, receive, send)

    url = await serve(Headers(app))
    async with httpx.AsyncClient() as client:
        first = await client.get(f"{url}/sample/visible?q=visible")
        second = await client.post(url)
    assert first.headers["x-request-id"] < second.headers["x-request-id"]  # they sort by time
    events = ["sample.inside", "inside too", "http.request"]
    for response in (first, second):
        mine = [
            line for line in logged() if line.get("request_id") == response.headers["x-request-id"]
        ]
        assert [line["event"] for line in mine] == events
    (access,) = [
        line for line in logged() if line["event"] == "http.request" and line["method"] == "GET"
    ]
    assert (access["route"], access["status"]) == ("/sample/{id}", 404)
    assert access["ms"] >= 0
    assert "visible" not in json.dumps(logged())


@pytest.mark.feature("X-39")
async def test_a_browser_runs_only_scripts_with_the_nonce_and_refuses_html_from_strings(
    serve: Serve,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        html = f"""<!doctype html><html lang=en><title>x</title>
            <body data-ran="" onclick="document.body.dataset.ran += ' handler'">
            <style>p {{ color: rgb(1, 2, 3) }}</style><p style="color: rgb(1, 2, 3)">text</p>
            <script>document.body.dataset.ran += ' bare'</script>
            <script nonce="wrong">document.body.dataset.ran += ' wrong'</script>
            <script src="data:text/javascript,document.body.dataset.ran += ' data'"></script>
            <script nonce="{scope["csp_nonce"]}">
              const tell = word => document.body.dataset.ran += ' ' + word;
              tell('nonce');
              try {{ document.querySelector('p').innerHTML = '<b>x</b>'; tell('html') }}
              catch (error) {{ tell(error.name) }}
              try {{ eval('tell("eval")') }} catch (error) {{ tell(error.name) }}
              const late = document.createElement('script');
              try {{ late.text = 'tell("late")'; document.body.append(late) }}
              catch (error) {{ tell(error.name) }}
              document.body.click();
            </script>"""
        await page(200, html.encode(), content_type="text/html; charset=utf-8")(
            scope, receive, send
        )

    url = await serve(Headers(app))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        try:
            tab = await browser.new_page()
            await tab.goto(url)
            ran = await tab.evaluate("document.body.dataset.ran")
            color = await tab.evaluate("getComputedStyle(document.querySelector('p')).color")
        finally:
            await browser.close()
    assert ran.split() == ["nonce", "TypeError", "EvalError", "TypeError"]
    assert color == "rgb(0, 0, 0)"
