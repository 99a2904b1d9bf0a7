"""Look-around work more often than once a minute: called in process, no job row, no firing row."""

import asyncio

import msgspec
import structlog

from db import clock
from jobs.registry import Tick

log = structlog.get_logger("jobs")


class TickState(msgspec.Struct):
    """How a tick fared last; times in milliseconds."""

    every_s: float
    last_at: int | None = None
    took_ms: int = 0
    error: str | None = None


async def keep_ticking(tick: Tick, state: TickState) -> None:
    """Call it for ever; one that fails is logged and called again next time."""
    while True:
        await asyncio.sleep(tick.every_s)
        began = clock.monotonic()
        try:
            await tick.call()
            state.error = None
        except Exception as error:
            log.exception("tick.failed", tick=tick.name)
            state.error = f"{type(error).__name__}: {error}"
        state.last_at = clock.ms()
        state.took_ms = round((clock.monotonic() - began) * 1000)
