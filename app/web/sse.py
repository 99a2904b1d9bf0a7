"""`/live`: the one event stream of a page. It carries names and ids, never HTML, never content.

Raw ASGI, because a slow reader must be dropped and a stream ends before the server waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from litestar import asgi
from litestar.types import Receive, Scope, Send

from app.core.live import Hub, Stream, TooManyStreams
from app.web.auth import Principal, WebRequest
from app.web.links import root_of
from db.clock import monotonic

PING_S = 20.0
SEND_S = 30.0
AGE_S = 30 * 60.0
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Reload = Callable[[str], Awaitable[Principal | None]]


@asgi("/live", name="live", opt={"access": "public"}, copy_scope=True)
async def live(scope: Scope, receive: Receive, send: Send) -> None:
    """Open the stream of a signed-in page.

    `?at=` says which page looks, `Last-Event-ID` what it heard last; before it heard anything
    `?since=` says where the hub was when the page was drawn, so that nothing is lost in between.
    Nobody signed in hears `bye`, with status 200, because the client would ask again for ever
    after a 401.
    """
    request = WebRequest(scope, receive=receive, send=send)
    viewer = scope.get("user")
    if request.method != "GET":
        await _answer(send, 405, b"", [(b"allow", b"GET")])
        return
    if not isinstance(viewer, Principal):
        await _answer(send, 200, b"event: bye\ndata: signed out\n\n", HEADERS)
        return
    hub: Hub = scope["litestar_app"].state.hub
    reload: Reload = scope["litestar_app"].state.reload_principal
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    at, since = (asked.get(name, [""])[0][:200] for name in ("at", "since"))
    try:
        heard = request.headers.get("Last-Event-ID", since)
        stream = hub.connect(viewer, at.removeprefix(root_of(scope)), heard)
    except TooManyStreams:
        await _answer(send, 503, b"", [(b"retry-after", b"30")])
        return
    writer = asyncio.ensure_future(_write(send, hub, stream, reload))
    leaver = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({writer, leaver}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stream.close()
        for task in (writer, leaver):
            task.cancel()
        await asyncio.gather(writer, leaver, return_exceptions=True)


async def _write(send: Send, hub: Hub, stream: Stream, reload: Reload) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await _send(send, _message(hub, "hello", hub.number))
    began = monotonic()
    while True:
        names = await stream.next(PING_S)
        if stream.stale:
            stream.stale = False
            viewer = await reload(stream.viewer.session_id)
            if viewer is None:
                stream.end("bye")
            else:
                stream.viewer = viewer
        if stream.over == "bye":
            await _send(send, b"event: bye\ndata: signed out\n\n", last=True)
            return
        text = b"".join(_message(hub, name, number) for name, number in names)
        if stream.over or monotonic() - began > AGE_S:
            await _send(send, text + b"retry: 1000\n\n", last=True)
            return
        await _send(send, text or b": still here\n\n")


def _message(hub: Hub, name: str, number: int) -> bytes:
    return f"id: {hub.boot}-{number}\nevent: {name}\ndata: {number}\n\n".encode()


async def _send(send: Send, body: bytes, *, last: bool = False) -> None:
    """Hand over `body`; a reader that takes nothing for 30 s is given up (TimeoutError)."""
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
