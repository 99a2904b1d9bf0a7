"""A stream of three events for `holdfast doctor`: sent apart, each says when."""

import asyncio
from collections.abc import AsyncIterator

from db import clock

PATH = "/healthz/stream"
EVENTS, EVERY_S = 3, 0.1


async def events() -> AsyncIterator[bytes]:
    """The events; over after a fifth of a second, and the same for everybody."""
    for number in range(EVENTS):
        if number:
            await asyncio.sleep(EVERY_S)
        yield f"data: {clock.ms()}\n\n".encode()
