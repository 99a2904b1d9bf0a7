"""A registry of the test's own and workers that stop with the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from db import migrate
from db.engine import DB, ApswEngine
from jobs.claim import claim
from jobs.registry import Registry
from jobs.worker import Context, Worker
from tests.jobs.samples import Slow

StartWorker = Callable[..., Awaitable[Worker]]
QUEUE_SQL = Path(migrate.__file__).parent / "migrations" / "0002_queue.sql"


def queue_in_memory() -> apsw.Connection:
    """The queue's tables alone, in memory: fast enough for hundreds of examples."""
    connection = apsw.Connection(":memory:")
    connection.pragma("foreign_keys", False)
    connection.execute(QUEUE_SQL.read_text())
    return connection


def claim_steps(connection: apsw.Connection, now: int, types: list[str]) -> int:
    """How many steps of SQLite's machine, in tens, a claim takes; it is undone afterwards."""
    steps = [0]

    def tick() -> bool:
        steps[0] += 1
        return False

    connection.execute("SAVEPOINT look")
    connection.set_progress_handler(tick, 10)
    assert claim(connection, "w", now, 1000, types) is not None
    connection.set_progress_handler(None)
    connection.execute("ROLLBACK TO look; RELEASE look").fetchall()
    return steps[0]


class Gate:
    """Handlers that wait here say that they came."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.most = 0
        self.opened = asyncio.Event()

    async def pass_through(self, text: str) -> None:
        self.here.append(text)
        self.most = max(self.most, len(self.here))
        await self.opened.wait()
        self.here.remove(text)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def start_worker(
    db: ApswEngine, registry: Registry, data_dir: Path
) -> AsyncIterator[StartWorker]:
    workers: list[Worker] = []

    async def start(**options: Any) -> Worker:
        worker = Worker(DB, registry, data_dir, **options)
        workers.append(worker)
        await worker.start()
        return worker

    yield start
    for worker in workers:
        if not worker.draining:
            await worker.stop(0)


@pytest.fixture
def gate(registry: Registry) -> Gate:
    gate = Gate()

    @registry.handles(Slow)
    async def slow(job: Slow, ctx: Context) -> None:
        await gate.pass_through(job.text)

    return gate
