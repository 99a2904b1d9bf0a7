"""The wire itself, against a server that answers each path with bytes as given."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.core import outbound
from app.tickets.client.driver import Policy
from app.tickets.client.forms import Submission
from app.tickets.client.hops import Hops
from app.tickets.outcomes import Fault, Outcome
from app.tickets.paper.page import Page

pytestmark = pytest.mark.anyio


class Server:
    """Answers by path; remembers each request's first line, headers and body."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.heard: list[str] = []
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(x[15:]) for x in head.lower().split("\r\n") if x[:15] == "content-length:"), 0
        )
        self.heard.append(head + (await reader.readexactly(length)).decode())
        writer.write(self.answers.get(head.split()[1], b"HTTP/1.1 404 no\r\n\r\n"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} x", "Connection: close", *lines, "", ""])
    return head.encode() + body


@asynccontextmanager
async def listening() -> AsyncIterator[Server]:
    server = Server()
    async with await asyncio.start_server(server.talk, "127.0.0.1", 0) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with listening() as server:
        yield server


@pytest.fixture
async def hops(server: Server) -> AsyncIterator[Hops]:
    policy = Policy(
        portal_url=f"http://127.0.0.1:{server.port}/",
        idp_hosts=(f"localhost:{server.port}",),
        markers=(),
        max_body_bytes=10_000,
    )
    async with outbound.client("test", allow=policy.hosts()) as http:
        yield Hops(http, policy)


def url(server: Server, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.port}{path}"


@pytest.mark.parametrize("status", [307, 308])
async def test_a_body_follows_a_redirect_to_the_same_host_only(
    server: Server, hops: Hops, status: int
) -> None:
    server.answers["/near"] = answer(status, Location="/there")
    server.answers["/far"] = answer(status, Location=url(server, "/there", "localhost"))
    server.answers["/there"] = answer(200, b"<p>hello</p>")
    page = await hops.send(Submission("POST", url(server, "/near"), b"secret=1"), "")
    assert page.raw == b"<p>hello</p>"
    assert server.heard[-1].startswith("POST /there")
    assert server.heard[-1].endswith("secret=1")
    with pytest.raises(Fault) as caught:
        await hops.send(Submission("POST", url(server, "/far"), b"secret=1"), "")
    assert caught.value.outcome is Outcome.FORBIDDEN_HOST
    assert server.heard[-1].startswith("POST /far")


async def test_other_redirects_turn_a_post_into_a_get(server: Server, hops: Hops) -> None:
    server.answers["/post"] = answer(302, Location=url(server, "/next", "localhost"))
    server.answers["/next"] = answer(200, b"<p>")
    await hops.send(Submission("POST", url(server, "/post"), b"secret=1"), "")
    assert server.heard[-1].startswith("GET /next")
    assert "secret" not in server.heard[-1]


async def test_the_referer_is_whole_at_home_and_an_origin_abroad(
    server: Server, hops: Hops
) -> None:
    server.answers["/"] = answer(200, b"<p>")
    await hops.open(url(server, "/"), url(server, "/form?step=1#x"))
    assert f"referer: {url(server, '/form?step=1')}\r\n" in server.heard[-1].lower()
    await hops.open(url(server, "/", "localhost"), url(server, "/form?step=1"))
    assert f"referer: {url(server, '/')}\r\n" in server.heard[-1].lower()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"<p>hello", mtime=0)),
        ("deflate", zlib.compress(b"<p>hello")),
        ("deflate", zlib.compress(b"<p>hello")[2:-4]),
        ("identity", b"<p>hello"),
    ],
)
async def test_packed_answers_are_unpacked(
    server: Server, hops: Hops, coding: str, body: bytes
) -> None:
    server.answers["/"] = answer(200, body, Content_Encoding=coding)
    assert (await hops.open(url(server, "/"))).raw == b"<p>hello"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (answer(200, b"no gzip", Content_Encoding="gzip"), Outcome.NETWORK),
        (
            answer(200, gzip.compress(b"x" * 99, mtime=0)[:-9], Content_Encoding="gzip"),
            Outcome.NETWORK,
        ),
        (answer(200, b"x", Content_Encoding="br"), Outcome.NETWORK),
        (
            answer(200, gzip.compress(b"x" * 10_001, mtime=0), Content_Encoding="gzip"),
            Outcome.TOO_LARGE,
        ),
        (answer(200, b"x" * 10_001), Outcome.TOO_LARGE),
        (answer(200, b"x", Content_Length="10001"), Outcome.TOO_LARGE),
        (answer(200, b"half", Content_Length="9"), Outcome.NETWORK),
        (b"nonsense\r\n\r\n", Outcome.NETWORK),
        (answer(302, Location="http://[::1"), Outcome.NETWORK),
        (answer(302, Location="file:///etc/passwd"), Outcome.FORBIDDEN_HOST),
        (answer(302, Location="//user:pw@localhost/"), Outcome.FORBIDDEN_HOST),
    ],
)
async def test_what_a_server_may_do_wrong_has_a_name(
    server: Server, hops: Hops, reply: bytes, outcome: Outcome
) -> None:
    server.answers["/"] = reply
    with pytest.raises(Fault) as caught:
        await hops.open(url(server, "/"))
    assert caught.value.outcome is outcome


async def test_a_session_in_the_path_stays_out_of_the_trace(server: Server, hops: Hops) -> None:
    server.answers["/idp;jsessionid=A1/x;v=2?y=3"] = answer(200, b"<p>")
    await hops.open(url(server, "/idp;jsessionid=A1/x;v=2?y=3"))
    assert hops.steps[-1].path == "/idp/x"


def test_an_odd_charset_falls_back_to_utf8() -> None:
    for label in ("rot13", "zlib", "idna", "nonsense"):
        page = Page(
            "https://t.example/",
            "é".encode(),
            headers={"content-type": f"text/html; charset={label}"},
        )
        assert page.text == "é"
