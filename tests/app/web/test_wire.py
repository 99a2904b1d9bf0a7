"""Before the body: heads that never end, one way or the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from app.server import http_config
from app.web.wire import COOKIES, HEAD_BYTES, QUERY_FIELDS, Http
from tests.app.web.server import Listening, page

pytestmark = pytest.mark.anyio


class Hasty(Http):
    """Has no patience at all."""

    HEAD_S = 0.05
    BODY_S = 0.05


@asynccontextmanager
async def serving(config: uvicorn.Config) -> AsyncIterator[int]:
    """The port where the program's own protocol answers."""
    server = Listening(config)
    config.host, config.port = "127.0.0.1", 0
    task = asyncio.ensure_future(server.serve())
    await server.listening.wait()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        server.over.set()
        await task


async def say(port: int, *pieces: bytes) -> bytes:
    """What the server answers until it hangs up, or its first line where it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.readline()
    except ConnectionError:
        return b"hung up"
    finally:
        writer.close()


REFUSED = (b"HTTP/1.1 400 Bad Request\r\n", b"hung up")
START = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def test_an_ordinary_request_is_answered_and_the_connection_kept() -> None:
    async with serving(http_config(page())) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _again in range(2):
            writer.write(START + b"Cookie: " + b"c" * 8000 + b"\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"0\r\n\r\n")
        writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [START, *[b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(100)], b"\r\n"],
        [START + b"X: " + b"a" * (HEAD_BYTES + 1) + b"\r\n\r\n"],
        [START + b"X: ", *[b"a" * 8000] * 100],
        [b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        [b"GET /?" + b"a&" * QUERY_FIELDS + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ],
    ids=["many headers", "one long header", "a header without an end", "long path", "many fields"],
)
async def test_a_head_without_measure_is_refused(pieces: list[bytes]) -> None:
    async with serving(http_config(page())) as port:
        assert await say(port, *pieces) in REFUSED
        assert (await say(port, START, b"\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("pieces", [[], [START]], ids=["silent", "half a head"])
async def test_who_never_finishes_a_head_is_hung_up_on(pieces: list[bytes]) -> None:
    config = http_config(page())
    config.http = Hasty
    async with serving(config) as port:
        assert await say(port, *pieces) == b""


async def test_a_slow_answer_is_no_slow_head() -> None:
    gate = asyncio.Event()

    async def slow(scope: object, receive: object, send: object) -> None:
        del receive
        await gate.wait()
        await page()(scope, None, send)

    config = http_config(slow)
    config.http = Hasty
    async with serving(config) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(START + b"\r\n")
        asyncio.get_running_loop().call_later(4 * Hasty.HEAD_S, gate.set)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


async def test_what_comes_after_the_body_has_an_end_too() -> None:
    async with serving(http_config(silent)) as port:
        lines = [b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(1000)]
        assert await say(port, CHUNKED, *lines, b"\r\n") in REFUSED
        assert await say(port, CHUNKED, b"X: ", *[b"a" * 8000] * 1000) in REFUSED
        assert (await say(port, CHUNKED, b"X: a\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("cookie", [b"a=1;", b"a=1; "], ids=["close", "apart"])
async def test_more_cookies_than_a_browser_keeps_are_refused(cookie: bytes) -> None:
    async with serving(http_config(page())) as port:
        sent = START + b"Cookie: " + cookie * (COOKIES + 1) + b"\r\n\r\n"
        assert await say(port, sent) in REFUSED
        kept = START + b"Cookie: " + cookie * (COOKIES - 1) + b"\r\n\r\n"
        assert (await say(port, kept)).startswith(b"HTTP/1.1 200")


async def test_who_never_finishes_a_body_is_hung_up_on() -> None:
    config = http_config(silent)
    config.http = Hasty
    sent = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    async with serving(config) as port:
        assert await say(port, sent, b"a=1") == b""
        assert (await say(port, sent + b"a=12345678")).startswith(b"HTTP/1.1 200")


async def test_a_body_in_the_smallest_chunks_is_read() -> None:
    async with serving(http_config(silent)) as port:
        head = CHUNKED.replace(b"1\r\na\r\n0\r\n", b"")
        sent = [b"1\r\na\r\n" * 5000] * 20
        assert (await say(port, head, *sent, b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body first, as our forms do."""
    while (await receive()).get("more_body"):
        pass
    await page()(scope, receive, send)
