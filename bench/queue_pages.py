"""How late jobs start while the web pages are under load: `python -m bench.queue_pages`.

The whole program; its pages are asked for by eight readers in a process of their own.
"""

import asyncio
import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import uvloop

from app.asgi import create_app
from app.core.settings import load
from app.server import Server, _listen, _serve, http_config
from bench.ground import fill, free_port
from bench.queue_ours import Noop
from jobs.enqueue import enqueue
from jobs.registry import REGISTRY
from jobs.worker import Context

READERS, STARTS, APART_S = 8, 300, 0.03


async def read(url: str, token: str) -> None:
    """Ask for one page again and again, from `READERS` sides, until killed."""
    async with httpx.AsyncClient(cookies={"holdfast": token}) as client:

        async def ask() -> None:
            while True:
                (await client.get(url)).raise_for_status()

        await asyncio.gather(*(ask() for _ in range(READERS)))


async def start_p99() -> float:
    """The 99th percentile, in ms, from the call of `enqueue` to the handler's first line."""
    folder, port = Path(tempfile.mkdtemp(prefix="holdfast-bench-")), free_port()
    token = await fill(folder)
    started: dict[int, float] = {}

    @REGISTRY.handles(Noop, lane="io")
    async def noop(job: Noop, ctx: Context) -> None:  # noqa: ARG001
        started[job.n] = time.perf_counter()

    given = {"data_dir": str(folder), "port": str(port), "log_level": "warning"}
    settings = load(given, {})
    app = create_app(settings)
    server = Server(http_config(app), app)
    serving = asyncio.ensure_future(_serve(app, server, _listen(settings)))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    page = f"http://127.0.0.1:{port}/jobs"
    command = (sys.executable, "-m", "bench.queue_pages", page, token)
    readers = await asyncio.create_subprocess_exec(*command)
    await asyncio.sleep(2)
    waits = []
    for n in range(STARTS):
        began = time.perf_counter()
        await enqueue(Noop(n=n))
        await asyncio.sleep(APART_S)
        while n not in started:  # noqa: ASYNC110
            await asyncio.sleep(APART_S)
        waits.append(started[n] - began)
    if readers.returncode is not None:
        raise RuntimeError("the pages were not under load")
    readers.kill()
    await readers.wait()
    server.should_exit = True
    with contextlib.suppress(Exception):
        await asyncio.wait_for(serving, 30)
    shutil.rmtree(folder, ignore_errors=True)
    return 1000 * statistics.quantiles(waits, n=100)[98]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvloop.run(read(*sys.argv[1:]))
    else:
        print(round(uvloop.run(start_p99()), 2))  # noqa: T201
