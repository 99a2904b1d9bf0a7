"""The other contestants of `bench.queue`: Huey, litequeue, Procrastinate on PostgreSQL.

What each does not do stands in `MISSING`. Needs `pip install holdfast[bench]`, for Procrastinate
Debian's `postgresql`, of which a cluster of our own is made in a temporary folder.
"""

import asyncio
import atexit
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measure import serve

JOBS, SLOTS, LOOKS = 5000, 10, 100
MISSING = {
    "huey": "deletes the row when it takes it, so a killed consumer loses it; no fsync",
    "litequeue": "runs with synchronous=OFF; no retries, no worker, only pop and done",
    "procrastinate": "no rescue of its own after a crash; needs a server beside the program",
    "raw apsw": "no worker, no handler: the two statements alone",
}


def folder() -> Path:
    """A temporary folder that goes with the process."""
    path = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def huey() -> float:
    """Jobs a second of its consumer with ten threads, SqliteStorage as it comes."""
    from huey import SqliteHuey

    queue = SqliteHuey(filename=str(folder() / "huey.db"))
    left, done = [JOBS], threading.Event()
    lock = threading.Lock()

    @queue.task()  # type: ignore[untyped-decorator]
    def noop(n: int) -> None:  # noqa: ARG001
        with lock:
            left[0] -= 1
            if left[0] == 0:
                done.set()

    for n in range(JOBS):
        noop(n)
    consumer = queue.create_consumer(workers=SLOTS, periodic=False, check_worker_health=False)
    began = time.perf_counter()
    consumer.start()
    done.wait()
    took = time.perf_counter() - began
    consumer.stop(graceful=True)
    return JOBS / took


def litequeue() -> float:
    """Bare pop and done."""
    from litequeue import LiteQueue

    queue = LiteQueue(str(folder() / "lite.db"))
    for n in range(JOBS):
        queue.put(str(n))
    began = time.perf_counter()
    for _ in range(JOBS):
        queue.done(queue.pop().message_id)
    return JOBS / (time.perf_counter() - began)


class Cluster:
    """A PostgreSQL of our own on loopback, with the settings Debian's package gives."""

    def __init__(self) -> None:
        self.folder = folder()
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not binaries:
            sys.exit("Procrastinate needs PostgreSQL: apt-get install postgresql")
        self.binaries, self.port = binaries[-1], 54_000 + os.getpid() % 1000
        self.as_user: dict[str, Any] = {}
        if os.getuid() == 0:  # initdb refuses root
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid}
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run("initdb", "-D", data, "-A", "trust", "-U", "bench")
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        self._run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        atexit.register(self._run, "pg_ctl", "-D", data, "-m", "immediate", "stop")
        self.url = f"postgresql://bench@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *args: str) -> None:
        command = [str(self.binaries / program), *args]
        subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self.as_user
        )


def procrastinate_app(cluster: Cluster, ran: Callable[[int], None]) -> Any:
    """An app with one task that calls back."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=cluster.url, min_size=4, max_size=SLOTS + 4))

    @app.task(name="noop")  # type: ignore[untyped-decorator]
    async def noop(n: int) -> None:
        ran(n)

    return app, noop


async def procrastinate_jobs(cluster: Cluster) -> float:
    """Jobs a second of its worker with ten slots."""
    left, done = [JOBS], asyncio.Event()

    def ran(_n: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            done.set()

    app, noop = procrastinate_app(cluster, ran)
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        await noop.batch_defer_async(*({"n": n} for n in range(JOBS)))
        began = time.perf_counter()
        worker = asyncio.ensure_future(
            app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False)
        )
        await done.wait()
        took = time.perf_counter() - began
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return JOBS / took


async def procrastinate_latency(cluster: Cluster) -> float:
    """Median ms from the call of `defer` to the first line of the task, with LISTEN."""
    started: dict[int, float] = {}
    app, noop = procrastinate_app(cluster, lambda n: started.update({n: time.perf_counter()}))
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        worker = asyncio.ensure_future(
            app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False)
        )
        await asyncio.sleep(0.5)
        times = []
        for n in range(LOOKS):
            began = time.perf_counter()
            await noop.defer_async(n=n)
            await asyncio.sleep(0.05)
            if n in started:
                times.append(started[n] - began)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return 1000 * statistics.median(times)


def cases(peer: str) -> dict[str, Callable[[], float]]:
    """What a peer can be asked for."""
    if peer == "huey":
        return {"jobs": huey}
    if peer == "litequeue":
        return {"jobs": litequeue}
    cluster = Cluster()
    return {
        "jobs": lambda: asyncio.run(procrastinate_jobs(cluster)),
        "latency": lambda: asyncio.run(procrastinate_latency(cluster)),
    }


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(cases(sys.argv[1])[sys.argv[2]]())  # noqa: T201
    else:
        serve(cases(sys.argv[1]))
