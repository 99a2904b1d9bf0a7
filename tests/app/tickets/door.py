"""The program of a desk behind a real socket, for real browsers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from tests.app.tickets.desk import Desk


class Door:
    """An open port; closing it twice does no harm."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        config = uvicorn.Config(desk.house.app, port=0, log_config=None, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._open = False

    async def open(self) -> None:
        """From now on it answers at `url`."""
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup()
        self._open = True
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://localhost:{port}"

    async def close(self) -> None:
        """From now on nobody answers."""
        if self._open:
            self._open = False
            self._desk.house.app.litestar.state.hub.close()
            await self._server.shutdown()


@asynccontextmanager
async def open_door(desk: Desk) -> AsyncIterator[Door]:
    """Open for the block."""
    door = Door(desk)
    await door.open()
    try:
        yield door
    finally:
        await door.close()
