"""The worker's sign of life and its care for the dead: lock, leases, rescue at boot and after."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import apsw
import msgspec
import structlog

from db import clock
from db.connection import execute
from db.engine import DB
from db.keys import uuid7
from jobs import ending, history, rates, schedule
from jobs.children import Children, end_orphans
from jobs.claim import rescue_expired, rescue_workers
from jobs.lease import Lock, locks_of_dead
from jobs.log import Line, write_line
from jobs.outcome import Cancelled, WorkerLost
from jobs.registry import Registry
from jobs.row import Job

log = structlog.get_logger("jobs")

CLOCK_STEP_S = 2.0

_ARRIVE = """
INSERT INTO queue_workers(id, pid, host, version, bootId, startedAt, heartbeatAt)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?6)
"""
_BEAT = "UPDATE queue_workers SET heartbeatAt=?2 WHERE id=?1"
_DRAINING = "UPDATE queue_workers SET drainingAt=?2 WHERE id=?1"
_LEAVE = "DELETE FROM queue_workers WHERE id=?"
_RENEW = """
UPDATE queueJobs SET lockExpiresAt=?3 WHERE state='running' AND lockedBy=?1
  AND id IN (SELECT value FROM json_each(?2))
"""
_OTHERS = """
SELECT lockedBy FROM queueJobs WHERE state='running' AND lockedBy<>?1
UNION SELECT id FROM queue_workers WHERE id<>?1
"""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How long leases last, and when one that ran out counts."""

    lease_ms: int = 30_000
    pulse_s: float = 10.0
    fence_after_ms: int = 5 * 60_000  # past its lease a job is fenced away from a worker that hangs


TIMING = Timing()


class Pulse:
    """Holds the lock of one worker, renews its leases, takes over from dead ones."""

    def __init__(
        self,
        worker_id: str,
        registry: Registry,
        data_dir: Path,
        *,
        running: Callable[[], Iterable[str]],
        timing: Timing,
        version: str,
        counts_new: bool,
    ) -> None:
        """`counts_new`: it counts for the statistics what is asked for, in whichever process."""
        self.children = Children(data_dir, worker_id)
        self._id = worker_id
        self._registry = registry
        self._data_dir = data_dir
        self._running = running
        self._timing = timing
        self._version = version
        self._counts_new = counts_new
        self._counted_to = 0
        self._lock: Lock | None = None
        self._skew = 0.0

    async def start(self) -> None:
        """Take our lock, then every job of a worker that is dead: before anything else runs."""
        self._lock = Lock.own(self._data_dir, self._id)
        self._skew = _skew()
        self._counted_to = await DB.write(history.last_row)
        about = (self._id, os.getpid(), socket.gethostname(), self._version, uuid7(), clock.ms())
        await DB.execute(_ARRIVE, about)
        await DB.write(partial(rates.sync, registry=self._registry))
        await DB.write(partial(schedule.sync, registry=self._registry))
        await self.rescue()

    async def beat(self) -> list[Job]:
        """Renew our leases, then look for the dead; returns what was taken from them."""
        skew = _skew()
        if abs(skew - self._skew) > CLOCK_STEP_S:
            log.warning("clock.stepped", by_s=round(skew - self._skew, 3))
        self._skew = skew
        running = msgspec.json.encode(list(self._running())).decode()
        await DB.write(partial(self._renew, running=running))
        if self._counts_new:
            count_new = partial(history.count_new, after=self._counted_to)
            self._counted_to = await DB.write(count_new)
        return await self.rescue()

    async def drain(self) -> None:
        """Tell the others that this worker takes nothing new."""
        with contextlib.suppress(apsw.CorruptError, apsw.NotADBError):
            await DB.execute(_DRAINING, (self._id, clock.ms()))

    async def stop(self) -> None:
        """Leave: no job of ours is running any more."""
        with contextlib.suppress(apsw.CorruptError, apsw.NotADBError):
            await DB.execute(_LEAVE, (self._id,))
        self.children.close()
        if self._lock:
            self._lock.drop()

    async def rescue(self) -> list[Job]:
        """Take over what dead workers left and what nobody seems to run; returns these jobs."""
        others = [str(row["lockedBy"]) for row in await DB.all(_OTHERS, (self._id,))]
        locks = locks_of_dead(self._data_dir, others)
        try:
            for worker_id in locks:
                await asyncio.to_thread(end_orphans, self._data_dir, worker_id)
            return await self._take_over(list(locks))
        finally:
            for lock in locks.values():
                lock.drop()

    async def _take_over(self, dead: list[str]) -> list[Job]:
        running = list(self._running())

        def write(connection: apsw.Connection) -> list[Job]:
            now = clock.ms()
            taken = rescue_workers(connection, now, dead) if dead else []
            taken += rescue_expired(connection, now, self._id, running, self._timing.fence_after_ms)
            for row in taken:
                write_line(connection, _line(row, now))
                if row.finished_at is not None:
                    ending.settle(connection, row, now)
            for worker_id in dead:
                execute(connection, _LEAVE, (worker_id,))
            return taken

        async with DB.tx() as tx:
            taken = await DB.write(write)
            for row in taken:
                if row.finished_at is not None:
                    error = WorkerLost(row.last_error) if row.state == "failed" else Cancelled()
                    await ending.tell(self._registry, row, error, tx)
        for row in taken:
            log.warning("job.rescued", job_id=row.id, type=row.type, reason=row.heal_reason)
        return taken

    def _renew(self, connection: apsw.Connection, running: str) -> None:
        now = clock.ms()
        execute(connection, _BEAT, (self._id, now))
        execute(connection, _RENEW, (self._id, running, now + self._timing.lease_ms))


def _line(row: Job, now: int) -> Line:
    metadata = {"kind": "attempt", "outcome": row.state, "errorCode": row.error_code}
    return Line(
        job_id=row.id,
        attempt=row.attempts,
        level="error" if row.state == "failed" else "warn",
        context="queue",
        message=row.last_error or "",
        metadata=msgspec.json.encode({**metadata, "healReason": row.heal_reason}).decode(),
        at=now,
    )


def _skew() -> float:
    """Wall time against monotonic time: moves when somebody sets the clock."""
    return clock.now().timestamp() - clock.monotonic()
