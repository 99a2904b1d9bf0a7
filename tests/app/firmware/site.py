"""The whole program beside a stand-in FUS, and what a test asks of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.core import settings
from app.demo.fus.serve import Fus
from app.firmware.service import lookup, wishes
from db.engine import DB

MODEL, CSC = "SM-S921B", "EUX"


async def point_at(fus: Fus, **more: Any) -> None:
    """Let the program speak with the stand-in; small room needs, quick tries."""
    chosen = {**{f"profile.{name}": url for name, url in fus.profile.items()}, "confirmed": True}
    for name, value in {**chosen, "min_free_mib": 1, **more}.items():
        await settings.put(f"firmware.{name}", value, None, actor_kind="system")
    # what waits for another try need not wait here: tests move it by hand
    await DB.execute("UPDATE queue_rates SET limitCount = 1000, burst = 100 WHERE key = 'fus'")


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """Wait until `ask` answers with something; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not (found := await ask()):  # noqa: ASYNC110 - what it asks for is in the database
            await asyncio.sleep(0.02)
    return found


async def state_of(version: str) -> str:
    """The state of a version; empty where it is unknown."""
    return str(
        await DB.value("SELECT state FROM firmware WHERE version_code = ?", (version,)) or ""
    )


async def newest(user_id: str, model: str = MODEL, csc: str = CSC) -> str:
    """Look a model up, as a person would; its newest version."""
    await lookup.order_check(model, csc, owner=user_id)
    return str(await until(lambda: lookup.newest_version(model, csc)))


async def order(user_id: str, version: str, **more: Any) -> int:
    """Ask for a version."""
    return await wishes.order(
        user_id, more.pop("model", MODEL), more.pop("csc", CSC), version, **more
    )


async def fetched(version: str, state: str = "ready", seconds: float = 30) -> dict[str, Any]:
    """The version's row, once it has reached a state."""

    async def look() -> bool:
        return await state_of(version) == state

    try:
        await until(look, seconds)
    except TimeoutError:
        jobs = "SELECT type, state, errorCode, lastError, stackTrace FROM queueJobs"
        raise AssertionError([await state_of(version), *await DB.all(jobs)]) from None
    row = await DB.one("SELECT * FROM firmware WHERE version_code = ?", (version,))
    assert row is not None
    return row


async def rested() -> None:
    """Wait until the round of upkeep that every start asks for has been, and none goes on."""
    rounds = (
        "SELECT count(*) > 0 AND count(*) = count(finishedAt) FROM queueJobs"
        " WHERE type = 'firmware.cleanup'"
    )

    async def over() -> bool:
        return bool(await DB.value(rounds))

    await until(over)


async def hurry() -> None:
    """Let jobs that wait for another try start now."""
    await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE state = 'queued'")
    await DB.execute("UPDATE queue_rates SET blockedUntil = 0")


def file_stats(fus: Fus) -> dict[str, Any]:
    """What was sent of the one file of a test."""
    files = fus.stats()["files"]
    assert len(files) == 1
    found: dict[str, Any] = next(iter(files.values()))
    return found
