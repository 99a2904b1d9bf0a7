"""A worker process of its own, for tests that kill it: `work.py <database> <data dir> [timing]`.

Says `ready` once the boot rescue is done. Every job leaves a row in `effects`.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import msgspec
import structlog

from db.engine import DB
from jobs import claim, lease, pulse
from jobs.outcome import LeaseLost
from jobs.payload import Payload
from jobs.pulse import Timing
from jobs.registry import Registry, Steps
from jobs.run import Run
from jobs.worker import Context, Worker

REGISTRY = Registry()
EFFECT = "INSERT INTO effects(job, pid) VALUES(?, ?)"


class Effect(Payload, kw_only=True):
    """Leaves its effect in the transaction that completes it."""

    TYPE: ClassVar[str] = "work.effect"
    MAX_ATTEMPTS: ClassVar[int] = 9


class Hang(Payload, kw_only=True):
    """Runs a program that takes for ever, or nothing."""

    TYPE: ClassVar[str] = "work.hang"
    argv: tuple[str, ...] = ()


class Hold(Payload, kw_only=True):
    """Waits for a file, then completes."""

    TYPE: ClassVar[str] = "work.hold"
    file: str


class Fork(Payload, kw_only=True):
    """Forks, past everything that starts programs, and leaves the child behind."""

    TYPE: ClassVar[str] = "work.fork"


class Suicide(Payload, kw_only=True):
    """Takes its worker along."""

    TYPE: ClassVar[str] = "work.suicide"
    MAX_ATTEMPTS: ClassVar[int] = 25


@REGISTRY.handles(Effect, lane="io", backoff=Steps(0))
async def effect(job: Effect, ctx: Context) -> None:
    async with ctx.tx() as tx:
        await DB.execute(EFFECT, (ctx.id, os.getpid()))
        await ctx.complete(tx)


@REGISTRY.handles(Hang, lane="io")
async def hang(job: Hang, ctx: Context) -> None:
    await ctx.progress(1, message="hanging")
    if job.argv:
        await ctx.run_process(job.argv)
    await asyncio.Event().wait()


@REGISTRY.handles(Hold, lane="io")
async def hold(job: Hold, ctx: Context) -> None:
    say(f"holding {ctx.id}")
    while not Path(job.file).exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    try:
        async with ctx.tx() as tx:
            await DB.execute(EFFECT, (ctx.id, os.getpid()))
            await ctx.complete(tx)
        say(f"done {ctx.id}")
    except LeaseLost:
        say(f"lost {ctx.id}")
        raise


@REGISTRY.handles(Fork, lane="io")
async def fork(job: Fork, ctx: Context) -> None:
    pid = os.fork()
    if not pid:
        os.close(1)  # whoever listens to us is not to wait for it
        time.sleep(60)
        os._exit(0)
    say(f"forked {pid}")
    await asyncio.Event().wait()


@REGISTRY.handles(Suicide, lane="io")
async def suicide(job: Suicide, ctx: Context) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def break_on_purpose(how: str) -> None:
    """The controls: a build without the fence, or one that takes every other worker for dead."""
    if how == "fence":
        fence = "AND state='running' AND lockedBy=?2 AND attempts=?3"
        assert fence in claim.COMPLETE
        claim.COMPLETE = claim.COMPLETE.replace(fence, "AND ?2=?2 AND ?3=?3")
        setattr(Run, "lose", lambda _run: None)  # noqa: B010 - said so that types let it pass
    if how == "forks":
        setattr(lease.Lock, "leave", lambda _lock: None)  # noqa: B010
    if how == "locks":
        setattr(pulse, "locks_of_dead", _everyone)  # noqa: B010


def _everyone(data_dir: Path, ids: Iterable[str]) -> dict[str, lease.Lock]:
    return {each: lease.Lock(data_dir / "none", os.open(os.devnull, os.O_RDONLY)) for each in ids}


async def main(database: str, data_dir: str, timing: str = "{}", broken: str = "") -> None:
    break_on_purpose(broken)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    await DB.open(Path(database))
    worker = Worker(DB, REGISTRY, Path(data_dir), timing=msgspec.json.decode(timing, type=Timing))
    await worker.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    say("ready")
    await stop.wait()
    await worker.stop(0.2)
    await DB.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
