"""Pages are made one after the other: in line they take no longer, and jobs start between them.

A page is some milliseconds of work without a pause. The pieces of many pages would stand in one
turn of the event loop, and whatever takes a few turns, such as the start of a job, would wait for
all of them each time.
"""

import asyncio
from typing import Any, Final

from app.web.headers import App
from app.web.links import inner_path
from app.web.rates import FREE

HOLD_S: Final = 0.025  # longer than any page takes: who still waits then waits for something else


class Line:
    """Middleware that lets in one GET at a time, until its answer begins or `HOLD_S` is over."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._free = asyncio.Semaphore(1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Wait for one's turn; the next one's comes when this answer begins."""
        free = scope["type"] != "http" or scope["method"] != "GET"
        if free or inner_path(scope).startswith(FREE):
            await self._app(scope, receive, send)
            return
        await self._free.acquire()
        turn = _Turn(self._free)

        async def answer(message: Any) -> None:
            turn.end()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            turn.end()


class _Turn:
    """Ends once."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free: asyncio.Semaphore | None = free
        self._timer = asyncio.get_running_loop().call_later(HOLD_S, self.end)

    def end(self) -> None:
        self._timer.cancel()
        if self._free is not None:
            self._free.release()
            self._free = None
