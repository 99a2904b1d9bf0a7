"""The hourly broom."""

from app.accounts.service import closing, resets, sessions, throttle


async def sweep() -> dict[str, int]:
    """Delete what is over and says nothing any more; returns how many of each."""
    return {
        "sessions": await sessions.sweep(),
        "counts": await throttle.sweep(),
        "reset_links": await resets.sweep(),
        "exports": await closing.sweep(),
    }
