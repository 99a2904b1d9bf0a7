"""A worker with five schedules whose clock rushes: `fires.py <database> <data dir> <origin>`."""

import asyncio
import sys
import time
from pathlib import Path

import structlog

from db import clock
from db.engine import DB
from jobs.pulse import Timing
from jobs.registry import Registry
from jobs.worker import Context, Worker
from tests.jobs.samples import Note

RUSH = 3000  # so a minute is 20 ms
SCHEDULES = 5


class RushedClock(clock.FakeClock):
    """The same for all processes that are told the same origin."""

    def __init__(self, origin: float) -> None:
        super().__init__()
        self._start, self._origin = self._wall, origin

    def wall(self) -> float:
        return self._start + (time.time() - self._origin) * RUSH


async def main(database: str, data_dir: str, origin: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    registry = Registry()

    @registry.handles(Note, lane="io")
    async def note(job: Note, ctx: Context) -> None: ...

    for number in range(SCHEDULES):
        registry.schedule(f"s{number}", Note(), cron="* * * * *", overlap="queue", catch_up="all")
    with clock.use(RushedClock(float(origin))):
        await DB.open(Path(database))
        timing = Timing(lease_ms=10**10, fence_after_ms=10**10, pulse_s=0.2)
        worker = Worker(DB, registry, Path(data_dir), timing=timing)
        await worker.start()
        print("ready", flush=True)  # noqa: T201
        while True:
            worker.poke()  # its timers run by the world's clock
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
