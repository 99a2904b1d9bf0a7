"""An open vault, captured log lines, and plain servers on loopback."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.core import logs, settings, vault
from db.engine import ApswEngine

Speak = Callable[[bytes], bytes | Awaitable[bytes]]


@pytest.fixture
async def house(db: ApswEngine, data_dir: Path) -> AsyncIterator[ApswEngine]:
    """A fresh database with its vault open."""
    await vault.load(data_dir, {})
    yield db
    vault.close()
    settings.use(None)


class Lines:
    """What was logged since `setup`."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def setup(self, form: str = "json", level: str = "info") -> None:
        logs.setup(form, level, self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    captured = Lines()
    captured.setup()
    yield captured
    root.handlers[:], level = before
    root.setLevel(level)


class Server:
    """A loopback server that answers each request head with the bytes of `speak`, and counts."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode("latin-1"))
                answer = self._speak(head)
                writer.write(answer if isinstance(answer, bytes) else await answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"


def answer(body: bytes = b"ok", status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """`await serve(speak)` starts one more server for this test."""
    async with AsyncExitStack() as stack:

        async def start(speak: Speak = lambda _: answer(), **more: Any) -> Server:
            server = Server(speak)
            listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, **more)
            server.port = listening.sockets[0].getsockname()[1]
            stack.push_async_callback(_stop, listening)
            return server

        yield start


async def _stop(listening: asyncio.Server) -> None:
    listening.close()
    await asyncio.sleep(0)
