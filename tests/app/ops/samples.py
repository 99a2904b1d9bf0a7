"""Jobs that do what a test tells them, step by step, while the program runs."""

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from db import changes
from jobs.context import Context
from jobs.payload import Payload
from jobs.registry import REGISTRY, Backoff
from jobs.row import Job
from jobs.stats import get

Step = Callable[[Context], Any]
STEPS: dict[str, asyncio.Queue[Step | None]] = defaultdict(asyncio.Queue)


class Scripted(Payload, frozen=True, kw_only=True):
    """Does the steps its test puts in the queue of its name; None ends it well."""

    TYPE: ClassVar[str] = "samples.scripted"
    HIDDEN: ClassVar[tuple[str, ...]] = ("phone",)
    TIMEOUT_S: ClassVar[float] = 600
    name: str
    serial: str | None = None
    count: int = 3
    how: Literal["slow", "fast"] = "slow"
    loud: bool = False
    tags: list[str] = []
    phone: str = ""

    def serial_key(self) -> str | None:
        return self.serial

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.name}"


async def scripted(job: Scripted, ctx: Context) -> dict[str, str]:
    """One step after the other."""
    while (step := await STEPS[job.name].get()) is not None:
        answer = step(ctx)
        if inspect.isawaitable(answer):
            await answer
    return {"phone": job.phone, "name": job.name}


def tell(name: str, *steps: Step | None) -> None:
    """What the job of that name does next."""
    for step in steps:
        STEPS[name].put_nowait(step)


async def until(job_id: str, seen: Callable[[Job], bool]) -> Job:
    """The row once it is as it should be; commits say when to look. TimeoutError after 20 s."""
    stirred = asyncio.Event()
    stop = changes.subscribe(lambda _touched: stirred.set())
    try:
        async with asyncio.timeout(20):
            while True:
                row = await get(job_id)
                if row is not None and seen(row):
                    return row
                await stirred.wait()
                stirred.clear()
    finally:
        stop()


def fails(error: Exception) -> Step:
    """A step that raises."""

    def step(_ctx: Context) -> None:
        raise error

    return step


def register() -> None:
    """Make the program know them; twice is once."""
    if Scripted.TYPE not in REGISTRY.handlers:
        REGISTRY.handles(Scripted, lane="io", backoff=Backoff(base_s=3600, jitter=0))(scripted)


def forget() -> None:
    """As if they had never been."""
    REGISTRY.handlers.pop(Scripted.TYPE, None)
    STEPS.clear()
