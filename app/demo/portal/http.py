"""The little HTTP that the stand-in needs: whole requests, replies that misbehave on order."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 1024 * 1024
HTML = "text/html; charset=utf-8"


class BodyTooLarge(Exception):
    """The request body is larger than any form of the portal."""


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, list[str]]:
        """The fields of an urlencoded form, blank ones too."""
        text = self.body.decode("utf-8", "replace")
        return parse_qs(text, keep_blank_values=True)

    def field(self, name: str) -> str | None:
        """The first value of a form field, None when it was not sent."""
        return self.form.get(name, [None])[0]

    def argument(self, name: str) -> str | None:
        """The first value in the query string, None when it was not sent."""
        return self.query.get(name, [None])[0]

    @property
    def language(self) -> str:
        """`de` or `en`, whichever Accept-Language weighs higher; `en` when it names neither."""
        best, best_weight = "en", 0.0
        for part in self.headers.get("accept-language", "").split(","):
            tag, _, weight_text = part.strip().partition(";q=")
            language = tag[:2].lower()
            try:
                weight = float(weight_text or 1)
            except ValueError:
                continue
            if language in ("de", "en") and weight > best_weight:
                best, best_weight = language, weight
        return best


@dataclass
class Reply:
    """One answer. `stream` replaces the body; `stall_s` hangs after the body that is there."""

    body: bytes = b""
    status: int = 200
    type: str | None = HTML
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None
    stall_s: float | None = None
    length: int | None = None

    def cookie(self, name: str, value: str, path: str) -> "Reply":
        """Set a session cookie. No SameSite: the sign-in comes back as a cross-site POST."""
        self.headers.append(("set-cookie", f"{name}={value}; Path={path}; HttpOnly"))
        return self


def html(text: str, status: int = 200) -> Reply:
    """A page in UTF-8."""
    return Reply(text.encode(), status)


def redirect(url: str) -> Reply:
    """302, as the portal and the sign-in service use throughout."""
    return Reply(b"", 302, None, [("location", url)])


def as_json(value: Any, status: int = 200) -> Reply:
    """A JSON answer of the control plane."""
    return Reply(json.dumps(value).encode(), status, "application/json")


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Read the whole request; raises BodyTooLarge."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        text = value.decode("latin-1")
        # HTTP/2 and some clients split the cookie header; one jar all the same
        headers[key] = f"{headers[key]}; {text}" if key == "cookie" and key in headers else text
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise BodyTooLarge
        if not message.get("more_body"):
            break
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return Request(
        scope["method"], scope["path"], query, headers, read_cookies(headers), bytes(body)
    )


def read_cookies(headers: dict[str, str]) -> dict[str, str]:
    """The cookies by name; an unreadable header counts as none."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


async def send_reply(reply: Reply, receive: Receive, send: Send, closing: asyncio.Event) -> None:
    """Send it, with whatever misbehaviour it carries."""
    headers = [("cache-control", "no-store"), *reply.headers]
    if reply.type is not None:
        headers.append(("content-type", reply.type))
    if reply.stream is None:
        length = len(reply.body) if reply.length is None else reply.length
        headers.append(("content-length", str(length)))
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    if reply.stream is not None:
        async for chunk in reply.stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif reply.stall_s is None:
        await send({"type": "http.response.body", "body": reply.body})
    else:
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        await _hang(reply.stall_s, receive, closing)


async def _hang(seconds: float, receive: Receive, closing: asyncio.Event) -> None:
    """Wait until the client gives up, the stand-in stops, or the time is over."""
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(_gone(receive)), loop.create_task(_set(closing))]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _set(event: asyncio.Event) -> None:
    await event.wait()
