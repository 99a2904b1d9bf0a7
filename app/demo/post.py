"""Stand-ins for where notices go: a mail server that speaks SMTP, and one that takes HTTP posts.

Both keep what they were given. The HTTP one is ntfy, Gotify, a webhook and every messenger at once:
what they differ in is what is sent to them. `far_end` is the same behind an HTTPS proxy, for
services that are only at a name of their own.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import msgspec


class Post(msgspec.Struct, frozen=True):
    """One HTTP request: method, path, headers in lower case, body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Mailbox:
    """Received mails and posts, and who is told to wait for them."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.logins: list[tuple[str, str]] = []
        self.status = 200  # what the HTTP one answers
        self.refuses = ""  # a line the mail server answers to the recipient with
        self.port = 0
        self._more = asyncio.Event()

    @property
    def place(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    def put(self, item: Any) -> None:
        """Keep one more."""
        self.items.append(item)
        self._more.set()

    async def wait(self, count: int, limit_s: float = 20) -> list[Any]:
        """All there are, once there are so many; TimeoutError if they do not come."""
        async with asyncio.timeout(limit_s):
            while len(self.items) < count:
                self._more.clear()
                await self._more.wait()
        return self.items


async def _smtp(box: Mailbox, reader: asyncio.StreamReader, say: Callable[[str], None]) -> None:
    say("220 mail.example.org ESMTP stand-in")
    while line := (await reader.readline()).decode("latin-1").strip():
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO":
                say("250-mail.example.org\r\n250-8BITMIME\r\n250 AUTH PLAIN")
            case "AUTH":
                _, login, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                box.logins.append((login, password))
                say("235 welcome")
            case "RCPT" if box.refuses:
                say(box.refuses)
            case "MAIL" | "RCPT" | "RSET" | "NOOP":
                say("250 fine")
            case "DATA":
                say("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                text = raw.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
                box.put(message_from_bytes(text, policy=policy.default))
                say("250 taken")
            case "QUIT":
                say("221 bye")
                return
            case _:
                say("502 not known")


async def _http(box: Mailbox, reader: asyncio.StreamReader, say: Callable[[str], None]) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    method, path, _ = head[0].split()
    headers = {
        name.lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:-1])
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    box.put(Post(method, path, headers, body))
    say(f"HTTP/1.1 {box.status} Answer\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}")


@asynccontextmanager
async def _listening(speak: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[Mailbox]:
    """`tls`: who comes asks for a host first, as at a proxy, and is then spoken to as that host."""
    box = Mailbox()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if tls is not None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await writer.start_tls(tls)
            await speak(box, reader, lambda line: writer.write(f"{line}\r\n".encode()))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()


def mail_server() -> AbstractAsyncContextManager[Mailbox]:
    """SMTP on a free loopback port; takes any login. For `async with … as box`."""
    return _listening(_smtp)


def http_server() -> AbstractAsyncContextManager[Mailbox]:
    """HTTP on a free loopback port; takes any request. For `async with … as box`."""
    return _listening(_http)


def far_end(certificate: tuple[Path, Path]) -> AbstractAsyncContextManager[Mailbox]:
    """An HTTPS proxy that is each host it is asked for itself: the files of its chain and key."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    return _listening(_http, tls)
