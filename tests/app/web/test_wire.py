"""Before the body: heads that never end, one way or the other."""

import asyncio
from typing import Any

import pytest

from app.server import http_config
from app.web.wire import HEAD_BYTES, QUERY_FIELDS, Http
from tests.app.web.server import page, serving

pytestmark = pytest.mark.anyio


class Hasty(Http):
    """Has no patience at all."""

    HEAD_S = BODY_S = 0.05


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


def posting(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % length


async def reading(scope: Any, receive: Any, send: Any) -> None:
    """Answers once the whole body has come."""
    while (await receive()).get("more_body"):
        pass
    await page()(scope, receive, send)


@pytest.mark.parametrize("sent", [b"", b"a=1"], ids=["none", "a little"])
async def test_who_never_finishes_a_body_is_hung_up_on(sent: bytes) -> None:
    config = http_config(reading)
    config.http = Hasty
    async with serving(config) as port:
        assert await say(port, posting(1000), sent) == b""


async def test_a_body_that_keeps_its_pace_may_take_its_time() -> None:
    """Many times as long as the patience lasts, each look finding enough."""
    config = http_config(reading)
    config.http = Hasty
    piece, looks = b"x" * 4 * int(Hasty.BODY_S * Hasty.BODY_PACE), 40
    async with serving(config) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(posting(looks * len(piece)))
        for _piece in range(looks):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(Hasty.BODY_S / 4)  # the pace itself is what is tried
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_where_we_do_not_read_nobody_is_too_slow() -> None:
    gate = asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await reading(scope, receive, send)

    config = http_config(late)
    config.http = Hasty
    async with serving(config) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(posting(200_000) + b"x" * 200_000)
        asyncio.get_running_loop().call_later(6 * Hasty.BODY_S, gate.set)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
