"""How the program ends when something around it fails: everything is closed, in order."""

import asyncio
from pathlib import Path

import pytest

from jobs.worker import Worker
from tests.app.house import running

pytestmark = pytest.mark.anyio


async def test_a_failure_outside_ends_the_worker_before_the_database(database: Path) -> None:
    """Else a ride on a commit finds no writer, and its task outlives every wish to cancel it."""
    before = asyncio.all_tasks()
    workers: list[Worker] = []

    async def fail() -> None:
        async with running(database) as house:
            workers.append(house.app.litestar.state.worker)
            raise LookupError("outside")

    with pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert caught.group_contains(LookupError, match="outside")
    assert workers[0].draining
    left = asyncio.all_tasks() - before
    assert not [task for task in left if "Worker." in str(task.get_coro())], "tasks of the worker"
