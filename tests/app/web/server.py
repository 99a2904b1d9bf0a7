"""A real server around an ASGI application, started as the program starts it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from app.web.headers import App


@asynccontextmanager
async def running(app: App, uds: str | None = None) -> AsyncIterator[str]:
    """The address of `app` while the block runs; nothing where it listens on a unix socket."""
    config = uvicorn.Config(
        app,
        port=0,
        uds=uds,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
    )
    server = Listening(config)
    task = asyncio.ensure_future(server.serve())
    await server.listening.wait()
    try:
        yield "" if uds else f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        server.over.set()
        await task


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


class Listening(uvicorn.Server):
    """Starts and stops without looking at the clock."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening, self.over = asyncio.Event(), asyncio.Event()

    async def main_loop(self) -> None:
        self.listening.set()
        await self.over.wait()


def page(status: int = 200, body: bytes = b"ok", /, **headers: str) -> App:
    """An application that always answers this."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/sample/{id}"
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    return app
