"""The account jobs, run by a real worker."""

import asyncio
from pathlib import Path

import pytest

from app.accounts import jobs
from app.accounts.payloads import Sweep
from app.accounts.service import sessions
from app.accounts.service.sessions import Caller
from db import changes
from db.clock import FakeClock
from db.engine import DB
from jobs.enqueue import enqueue
from jobs.registry import REGISTRY, Registry
from jobs.worker import Worker

pytestmark = pytest.mark.anyio


async def test_the_sweep_deletes_what_is_over_and_nothing_else(
    admin: str, caller: Caller, clock: FakeClock, data_dir: Path
) -> None:
    await sessions.start_session(admin, caller)
    clock.advance(13 * 3600)
    kept = await sessions.start_session(admin, caller)
    registry = Registry()
    registry.handles(Sweep)(jobs.sweep_accounts)
    done = asyncio.Event()
    stop_listening = changes.subscribe(
        lambda seen: done.set() if any(one.table == "sessions" for one in seen) else None
    )
    worker = Worker(DB, registry, data_dir)
    await worker.start()
    try:
        first = await enqueue(Sweep())
        again = await enqueue(Sweep())
        async with asyncio.timeout(30):
            await done.wait()
    finally:
        stop_listening()
        await worker.stop()
    assert again.id == first.id, "one sweep at a time is enough"
    assert await DB.value("SELECT state FROM queueJobs") == "succeeded"
    assert await DB.value("SELECT count(*) FROM sessions") == 1
    assert await sessions.read_session(kept) is not None


def test_the_program_knows_the_job() -> None:
    assert REGISTRY.check([Sweep]) == []
