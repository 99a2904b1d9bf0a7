"""Letters that libraries below us take too long over, or do not take at all."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.core.sheets import cell
from app.web.headers import Headers
from tests.reliability.test_attack_forms import knock
from tests.serving import Person, Server, serving, until

pytestmark = pytest.mark.anyio


pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("letters") / "data") as running:
        yield running


async def heard(cookie: str) -> list[bytes]:
    """The cookies an application below the headers sees."""
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        seen.extend(value for name, value in scope["headers"] if name == b"cookie")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(Headers(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get("/", headers={"Cookie": cookie})
    return seen


async def test_a_cookie_of_escapes_reaches_no_parser() -> None:
    # Python 3.11's own reading of such a value costs the square of its length: seconds for 30 KB.
    assert await heard('a=1; x="' + '\\"' * 15_000 + '"; holdfast=b') == [b"a=1; holdfast=b"]
    assert await heard("a=1; b=2") == [b"a=1; b=2"]


@pytest.mark.parametrize("charset", ["punycode", "hex", "undefined"])
async def test_a_form_of_parts_is_none_of_ours(charset: str) -> None:
    # In parts, each part may name its own codec: punycode of 1 MB stood still for a minute.
    name = 'Content-Disposition: form-data; name="a"'
    kind = f"Content-Type: text/plain; charset={charset}"
    body = f"--x\r\n{name}\r\n{kind}\r\n\r\n-aaaa\r\n--x--\r\n".encode()
    sent = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await knock(body, **sent)).status_code == 415


@pytest.mark.parametrize("address", ["http://[", "//[", "http://[::1", "http://x:y/"])
@pytest.mark.parametrize("path", ["/account", "/admin/users"])
def test_a_page_that_is_no_address_breaks_nothing(server: Server, path: str, address: str) -> None:
    with Person(server.url) as somebody, Person(server.url) as admin:
        headers = {"HX-Request": "true", "HX-Current-URL": address, "Referer": address}
        assert somebody.get(path, headers=headers).status_code == 401
        admin.sign_in()
        assert admin.http.post(f"{path}x", headers=headers).status_code in (404, 405)


@pytest.mark.parametrize("host", ["localhost:99999", "localhost:x", "[::1", "[", "a:b:c"])
def test_a_host_that_is_none_is_refused(server: Server, host: str) -> None:
    port = httpx.URL(server.url).port
    with socket.create_connection(("127.0.0.1", port or 0), timeout=10) as wire:
        wire.sendall(f"GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert wire.recv(100).split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"


def test_a_number_without_end_is_no_place_in_the_stream(server: Server) -> None:
    with Person(server.url) as admin:
        admin.sign_in()
        with admin.http.stream("GET", "/live") as first:
            boot = next(first.iter_lines()).removeprefix("id: ").rpartition("-")[0]
        headers = {"Last-Event-ID": f"{boot}-{'9' * 5000}"}
        with admin.http.stream("GET", "/live", headers=headers) as again:
            assert again.status_code == 200


def test_who_hangs_up_in_the_middle_of_a_form_fills_no_log(server: Server) -> None:
    url = httpx.URL(server.url)
    head = f"POST /login HTTP/1.1\r\nHost: localhost:{url.port}\r\nOrigin: {server.url}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 50\r\n\r\nlogin="
    with socket.create_connection(("127.0.0.1", url.port or 0), timeout=10) as wire:
        wire.sendall(head.encode())
    until(lambda: '"route": "/login", "status": 400' in server.log(), "the line of that request")
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("sign", ["=", "＝", "+", "＋", "-", "－", "@", "＠", "\t", "\n"])
def test_no_cell_is_a_formula_in_any_width(sign: str) -> None:
    assert cell(f"{sign}1+1") == f"'{sign}1+1"
    assert cell(f"1{sign}1") == f"1{sign}1"
