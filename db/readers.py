"""The pool of read-only connections, each on its own thread; none ever waits for the writer."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import apsw

from db.connection import open_reader

Work = Callable[[apsw.Connection], Any]
_Job = tuple[Work, asyncio.Future[Any]]


class Readers:
    """Made, used and closed from the event loop's thread."""

    def __init__(self, path: Path, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._run, args=(open_reader(path),), name=f"db-reader-{n}", daemon=True
            )
            for n in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Run `work` on the next free connection, in a snapshot no older than this call."""
        future = self._loop.create_future()
        self._queue.put((work, future))
        return future

    async def close(self) -> None:
        """Answer what was asked before, then close every connection."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, connection: apsw.Connection) -> None:
        with contextlib.closing(connection):
            while (job := self._queue.get()) is not None:
                work, future = job
                try:
                    answer, error = work(connection), None
                except BaseException as failure:
                    answer, error = None, failure
                with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                    self._loop.call_soon_threadsafe(_tell, future, answer, error)


def _tell(future: asyncio.Future[Any], answer: Any, error: BaseException | None) -> None:
    if future.done():  # its task was cancelled meanwhile
        return
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)
