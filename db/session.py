"""What the writer's thread is asked for: single ops, and interactive transactions step by step."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from db.changes import Listener

TOO_LONG = "the transaction took too long and was rolled back"

Work = Callable[[apsw.Connection], Any]
Then = Callable[[Any], None]


class TransactionLost(RuntimeError):
    """The interactive transaction is gone: over its time, or rolled back by SQLite (disk full)."""


class Op:
    """One thing to do on the writer's thread, and where its answer goes.

    `bare`: outside any transaction, for what only looks and must not wait for the write lock.
    `listener`: who need not hear of the commit, because this op is the last in it and saw it all.
    `then`: gets the answer on the event loop at once, turns of a busy loop before who awaits it.
    """

    __slots__ = ("asked_s", "bare", "future", "listener", "tables", "then", "work")

    def __init__(
        self,
        work: Work,
        future: asyncio.Future[Any],
        *,
        bare: bool = False,
        listener: Listener | None = None,
        tables: frozenset[str] = frozenset(),
        then: Then | None = None,
    ) -> None:
        self.work = work
        self.future = future
        self.bare = bare
        self.listener = listener
        self.tables = tables
        self.then = then
        self.asked_s = time.monotonic()


class End:
    """The last step of an interactive transaction."""

    __slots__ = ("commit", "future")

    def __init__(self, future: asyncio.Future[Any], *, commit: bool) -> None:
        self.future = future
        self.commit = commit


class Session:
    """An interactive transaction: a queue of steps, closed to new ones once it is lost."""

    def __init__(self, begun: asyncio.Future[Any]) -> None:
        self.begun = begun
        self.steps: SimpleQueue[Op | End] = SimpleQueue()
        self._open = True
        self._lock = threading.Lock()

    def put(self, step: Op | End) -> None:
        """Queue a step; a lost session answers it at once."""
        with self._lock:
            if self._open:
                self.steps.put(step)
                return
        step.future.set_exception(TransactionLost(TOO_LONG))

    def lose(self) -> list[Op | End]:
        """Take no more steps; returns those nobody did."""
        with self._lock:
            self._open = False
        left: list[Op | End] = []
        with contextlib.suppress(Empty):
            while True:
                left.append(self.steps.get_nowait())
        return left
