"""HTTP/1.1 on bare sockets: whole requests in, replies out, file bytes by sendfile.

A web server between would hide what this stand-in is for: connections that are cut at an exact
byte, answers that stop, and bytes that go out as fast as the kernel copies them.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import urlsplit

HEAD_LIMIT = 32 * 1024
BODY_LIMIT = 64 * 1024
COPY = 1024 * 1024


class Cut(Exception):
    """End the connection here; `reset` throws away what is still in the socket."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__("cut")
        self.reset = reset


class Refused(Exception):
    """What came is no request this server reads."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request, read whole. Path and query as they were sent, nothing decoded."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def cookie(self, name: str) -> str:
        """A cookie's value, '' when it was not sent."""
        for pair in self.headers.get("cookie", "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""


@dataclass
class Reply:
    """One answer. `stream` writes the body itself, `length` bytes of it unless it cuts."""

    body: bytes = b""
    status: int = 200
    type: str = "text/xml;charset=UTF-8"
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: "Callable[[Line], Awaitable[None]] | None" = None
    length: int | None = None


Answer = Callable[[Request], Awaitable[Reply]]


def as_json(value: Any, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(json.dumps(value).encode(), status, "application/json")


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._native = writer.get_extra_info("sslcontext") is None

    async def read(self) -> Request | None:
        """The next request, None when the peer is done; raises Refused."""
        start = await self._reader.read(1)
        if start and not start.isalpha():
            raise Cut  # the first byte of a TLS handshake, by who tries https here
        try:
            head = start + await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            raise Refused(431) from None
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise Refused(400)
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise Refused(400)
            headers[name.strip().lower()] = value.strip()
        body = await self._body(headers)
        url = urlsplit(parts[1])
        return Request(parts[0], url.path, url.query, headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            raise Refused(411)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refused(400)
        if int(length) > BODY_LIMIT:
            raise Refused(413)
        return await self._reader.readexactly(int(length))

    async def answer(self, reply: Reply, *, keep: bool, bare: bool = False) -> None:
        """Send it. `bare` leaves the body out (HEAD)."""
        length = len(reply.body) if reply.length is None else reply.length
        lines = [
            f"HTTP/1.1 {reply.status} {_phrase(reply.status)}",
            f"content-type: {reply.type}",
            f"content-length: {length}",
            f"connection: {'keep-alive' if keep else 'close'}",
            *(f"{name}: {value}" for name, value in reply.headers),
        ]
        await self.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if bare:
            return
        if reply.stream is None:
            await self.write(reply.body)
        else:
            await reply.stream(self)

    async def write(self, data: bytes) -> None:
        """Send these bytes, waiting while the peer is slow."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> int:
        """Send a stretch of a file; returns how many bytes the socket took."""
        if self._writer.transport.is_closing():
            raise ConnectionResetError
        if self._native:
            try:
                loop = asyncio.get_running_loop()
                return await loop.sendfile(
                    self._writer.transport, file, offset, count, fallback=False
                )
            except (NotImplementedError, asyncio.SendfileNotAvailableError):
                self._native = False  # another event loop, or TLS
        sent = 0
        while sent < count:
            data = os.pread(file.fileno(), min(COPY, count - sent), offset + sent)
            if not data:
                break
            await self.write(data)
            sent += len(data)
        return sent

    @property
    def is_gone(self) -> bool:
        """True once the peer has closed its side."""
        return self._reader.at_eof() or self._writer.transport.is_closing()

    def end(self, *, reset: bool = False) -> None:
        """Close politely, or at once."""
        if reset:
            self._writer.transport.abort()
        else:
            self._writer.close()


class Server:
    """Listens on one port and answers every connection until it is closed."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], Line] = {}

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Open the port (0: a free one); returns its number."""
        self._server = await asyncio.start_server(self._talk, host, port, limit=HEAD_LIMIT, ssl=tls)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def close(self) -> None:
        """Take no more, drop who is connected."""
        if self._server is not None:
            self._server.close()
        for task, line in list(self._tasks.items()):
            line.end(reset=True)
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        line = Line(reader, writer)
        if task is None:
            return
        self._tasks[task] = line
        reset = False
        try:
            while await self._one(line):
                pass
        except Cut as cut:
            reset = cut.reset
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            reset = True
        except asyncio.CancelledError:
            reset = True  # the server stops: nothing waits for this task but close()
        finally:
            line.end(reset=reset)
            del self._tasks[task]

    async def _one(self, line: Line) -> bool:
        try:
            request = await line.read()
        except Refused as refused:
            await line.answer(Reply(status=refused.status, type="text/plain"), keep=False)
            return False
        if request is None:
            return False
        keep = request.headers.get("connection", "").lower() != "close"
        reply = await self._answer(request)
        await line.answer(reply, keep=keep, bare=request.method == "HEAD")
        return keep


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Odd"
