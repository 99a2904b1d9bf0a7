"""What `async with DB.tx()` gives: a transaction of the task; one inside it is a savepoint."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, Self

import apsw
from piccolo.engine.base import BaseTransaction

from db.connection import execute
from db.writer import Writer

log = logging.getLogger(__name__)

Work = Callable[[apsw.Connection], Any]


class Tx(BaseTransaction):
    """One open transaction: the statements of its task run in it, by `DB` and by Piccolo."""

    __slots__ = ("_callbacks", "_current", "_session", "_writer", "is_open")

    def __init__(self, writer: Writer, current: "ContextVar[Tx | None]") -> None:
        self._writer = writer
        self._current = current
        self._callbacks: list[Callable[[], None]] = []
        self.is_open = False

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop once the commit is on the disk; never after a rollback.

        For effects outside the database only: the change feed tells the rest.
        """
        self._callbacks.append(callback)

    async def run(self, work: Work) -> Any:
        """`work(connection)` on the writer's thread, inside this transaction."""
        return await self._writer.step(self._session, work)

    def mark(self) -> tuple[int, int]:
        """Where the changes and callbacks stand; on the writer's thread."""
        return self._writer.mark(), len(self._callbacks)

    def rewind(self, mark: tuple[int, int]) -> None:
        """Back to `mark`; on the writer's thread."""
        self._writer.rewind(mark[0])
        del self._callbacks[mark[1] :]

    async def __aenter__(self) -> Self:
        self._session = self._writer.begin()
        try:
            await self._session.begun
        except BaseException:
            self._writer.finish(self._session, commit=False)
            raise
        self.is_open = True
        self._current.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        self.is_open = False
        self._current.set(None)
        ended = self._writer.finish(self._session, commit=error is None)
        if error is None:
            ended.add_done_callback(self._committed)
            await asyncio.shield(ended)
        else:
            with contextlib.suppress(Exception):  # what the body raised is what the caller must see
                await asyncio.shield(ended)
        return False

    def _committed(self, ended: asyncio.Future[Any]) -> None:
        if ended.cancelled() or ended.exception() is not None:
            return
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                log.exception("an effect after a commit failed")


class Savepoint:
    """A transaction inside a transaction: its rollback leaves the outer one as it was."""

    def __init__(self, outer: Tx) -> None:
        self._outer = outer
        self._mark = (0, 0)

    async def __aenter__(self) -> Tx:
        await self._outer.run(self._begin)
        return self._outer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        await asyncio.shield(self._outer.run(self._release if error is None else self._back))
        return False

    def _begin(self, connection: apsw.Connection) -> None:
        self._mark = self._outer.mark()
        execute(connection, "SAVEPOINT nested")

    def _release(self, connection: apsw.Connection) -> None:
        execute(connection, "RELEASE nested")

    def _back(self, connection: apsw.Connection) -> None:
        execute(connection, "ROLLBACK TO nested")
        execute(connection, "RELEASE nested")
        self._outer.rewind(self._mark)


class Atomic:
    """Piccolo's `atomic()`: a list of queries that run in one transaction."""

    def __init__(self, begin: Callable[[], "Tx | Savepoint"]) -> None:
        self._begin = begin
        self._queries: list[Any] = []

    def add(self, *query: Any) -> None:
        """Queue queries for `run`."""
        self._queries.extend(query)

    async def run(self) -> None:
        """Run them all, or none."""
        queries, self._queries = self._queries, []
        async with self._begin():
            for query in queries:
                await query.run()
