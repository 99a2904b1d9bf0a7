"""A registry of the test's own and workers that stop with the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from db.engine import DB, ApswEngine
from jobs.registry import Registry
from jobs.worker import Worker

StartWorker = Callable[..., Awaitable[Worker]]


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
