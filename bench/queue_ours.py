"""Holdfast's own queue as a contestant of `bench.queue`: the product wired, one stream open."""

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import apsw
import structlog
import uvloop

from app.core.live import Hub, Noun
from bench.measure import serve
from db import changes
from db.engine import DB
from db.migrate import migrate
from jobs.claim import CLAIM, COMPLETE
from jobs.enqueue import enqueue, enqueue_many
from jobs.payload import Payload
from jobs.registry import Registry
from jobs.worker import Context, Worker

JOBS, SLOTS, LOOKS, ASKED, CLAIMS = 5000, 10, 100, 1000, 2000
NOUNS = {"queueJobs": Noun("job", plural="jobs", owner="ownerUserId", to="owner")}
RUNNING = "SELECT count(*) FROM queueJobs WHERE state='running'"  # by its index, not by all rows
WORKER, LEASE_MS, BIG = "bench", 30_000, 1_000_000


class Noop(Payload, kw_only=True):
    """Nothing to do."""

    TYPE: ClassVar[str] = "bench.noop"
    n: int = 0


class Admin:
    """Who has a page open."""

    id, role, domains, session_id = "admin", "admin", (), "session"


class Product:
    """A migrated file of its own, the hub with an open stream, a worker with ten slots."""

    def __init__(self, finished: int = 0) -> None:
        self.finished = finished  # rows there before anything starts: such come over days
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
        self.registry = Registry()
        self.started: dict[int, float] = {}
        self.left = 0
        self.done = asyncio.Event()

        @self.registry.handles(Noop, lane="io")
        async def noop(job: Noop, ctx: Context) -> None:  # noqa: ARG001
            self.started[job.n] = time.perf_counter()
            self.left -= 1
            if self.left == 0:
                self.done.set()

    async def __aenter__(self) -> "Product":
        path = self.folder / "bench.db"
        migrate(path, self.folder / "backups")
        if self.finished:
            fill_at_rest(path, self.finished)
        await DB.open(path)
        await DB.execute("UPDATE queueSettings SET ioConcurrency=?", (SLOTS,))
        self.hub = Hub(NOUNS, changes.FEED)
        self.stream = self.hub.connect(Admin(), "/admin/queue", "")
        self.reader = asyncio.ensure_future(self._read())
        self.worker = Worker(DB, self.registry, self.folder)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.reader.cancel()
        self.hub.close()
        await DB.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _read(self) -> None:
        while await self.stream.next(1.0) is not None:
            pass

    async def drain(self, count: int) -> float:
        """Jobs a second from the start of the worker to the last finished row."""
        await enqueue_many([Noop(n=n) for n in range(count)])
        self.left = count
        began = time.perf_counter()
        await self.worker.start()
        await self.done.wait()
        while await DB.value(RUNNING):  # noqa: ASYNC110 - the last rows are being finished
            await asyncio.sleep(0.001)
        took = time.perf_counter() - began
        await self.worker.stop(1)
        return count / took


async def throughput(filled: int = 0) -> float:
    """Jobs a second, beside so many finished rows."""
    async with Product(filled) as product:
        return await product.drain(JOBS)


async def latency() -> float:
    """Median ms from the call of `enqueue` to the first line of the handler."""
    async with Product() as product:
        await product.worker.start()
        product.left = LOOKS + 1
        times = []
        for n in range(LOOKS):
            began = time.perf_counter()
            await enqueue(Noop(n=n))
            await asyncio.sleep(0.03)  # also until the row of the one before is finished
            while n not in product.started:  # noqa: ASYNC110 - a slow disk
                await asyncio.sleep(0.03)
            times.append(product.started[n] - began)
        await product.worker.stop(1)
        return 1000 * statistics.median(times)


async def rescue() -> float:
    """Ms from the start of a worker until 20 jobs of a dead one are its own to run again."""
    async with Product() as product:
        await DB.write(lambda connection: fill(connection, "queued", 20))
        taken = "UPDATE queueJobs SET state='running', attempts=1, lockedBy='dead', lockExpiresAt=?"
        await DB.execute(taken, (10**15,))
        began = time.perf_counter()
        await product.worker.start()
        took = time.perf_counter() - began
        assert await DB.value("SELECT count(*) FROM queueJobs WHERE healReason='orphaned'") == 20
        await product.worker.stop(1)
        return 1000 * took


async def asked(tasks: int) -> float:
    """Enqueues a second by so many tasks at once."""
    async with Product():
        began = time.perf_counter()
        each = ASKED // tasks

        async def ask() -> None:
            for n in range(each):
                await enqueue(Noop(n=n))

        await asyncio.gather(*(ask() for _ in range(tasks)))
        return each * tasks / (time.perf_counter() - began)


def fill(
    connection: apsw.Connection, state: str, count: int, kind: str = Noop.TYPE, **more: Any
) -> None:
    """Many rows at once, ended or waiting."""
    ended = "1000" if state == "succeeded" else "NULL"
    run_at, serial = more.get("run_at", 1000), more.get("serial", "NULL")
    connection.execute(
        f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{count})
        INSERT INTO queueJobs(id, type, state, runAt, serialKey, createdAt, updatedAt, finishedAt)
        SELECT printf('{kind}{state}{run_at}-%09d', i), '{kind}', '{state}', {run_at}, {serial},
          1000, 1000, {ended} FROM n"""
    ).fetchall()


def fill_at_rest(path: Path, count: int) -> None:
    """Finished rows without the change feed and the WAL that writing them at once would leave."""
    from db.connection import open_writer

    connection = open_writer(path)
    fill(connection, "succeeded", count)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


def raw_file() -> tuple[Path, apsw.Connection]:
    """Our tables and indexes, opened as our writer does."""
    from db.connection import open_writer

    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    migrate(folder / "bench.db", folder / "backups")
    return folder, open_writer(folder / "bench.db")


def raw() -> float:
    """Claim and complete in a bare loop, two commits a job at FULL."""
    folder, connection = raw_file()
    fill(connection, "queued", JOBS)
    types, began = f'["{Noop.TYPE}"]', time.perf_counter()
    for _ in range(JOBS):
        row = connection.execute(CLAIM, (WORKER, 2000, LEASE_MS, types, 0)).fetchall()[0]
        connection.execute(COMPLETE, (row[0], WORKER, 1, 2000, None)).fetchall()
    took = time.perf_counter() - began
    connection.close()
    shutil.rmtree(folder)
    return JOBS / took


def claim(case: str) -> float:
    """Median ms of the claim statement alone, without its commit."""
    folder, connection = raw_file()
    with connection:
        if case == "finished":
            fill(connection, "succeeded", BIG)
        if case == "saturated":
            fill(connection, "queued", 100_000, "bench.full")
        if case == "future":
            fill(connection, "queued", 100_000, run_at=10**15)
        if case == "serial":
            fill(connection, "queued", 1000, run_at=1, serial="'key'")
            connection.execute(
                "UPDATE queueJobs SET state='running', lockedBy='x', lockedAt=1 WHERE rowid=1"
            )
        fill(connection, "queued", CLAIMS)
    types, times = f'["{Noop.TYPE}"]', []
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(CLAIMS):
        began = time.perf_counter()
        rows = connection.execute(CLAIM, (WORKER, 2000, LEASE_MS, types, 0)).fetchall()
        times.append(time.perf_counter() - began)
        assert rows
    connection.execute("ROLLBACK")
    connection.close()
    shutil.rmtree(folder)
    return 1000 * statistics.median(times)


def fsync() -> float:
    """Median ms of one commit of one row at FULL: what any acknowledged write costs here."""
    folder, connection = raw_file()
    times = []
    for n in range(300):
        began = time.perf_counter()
        connection.execute("UPDATE queueSettings SET updatedAt=?", (n,)).fetchall()
        times.append(time.perf_counter() - began)
    connection.close()
    shutil.rmtree(folder)
    return 1000 * statistics.median(times)


def cases() -> dict[str, Callable[[], float]]:
    """Everything this contestant can be asked for."""
    hard = ("empty", "finished", "saturated", "future", "serial")
    return {
        "jobs": lambda: uvloop.run(throughput()),
        "jobs_full": lambda: uvloop.run(throughput(BIG)),
        "latency": lambda: uvloop.run(latency()),
        "enqueue_1": lambda: uvloop.run(asked(1)),
        "enqueue_50": lambda: uvloop.run(asked(50)),
        "rescue": lambda: uvloop.run(rescue()),
        "raw": raw,
        "fsync": fsync,
        **{f"claim_{case}": partial(claim, case) for case in hard},
    }


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if len(sys.argv) > 1:
        for _ in range(3):
            print(sys.argv[1], round(cases()[sys.argv[1]](), 4))  # noqa: T201
    else:
        serve(cases())
