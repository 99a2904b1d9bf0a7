"""The database engine: Piccolo's `Engine` over apsw, one writer thread, a pool of readers.

`DB` is the one engine of the process. Outside a transaction reads go to the pool and writes
share the writer's next commit; inside `async with DB.tx()` all of the task runs on the transaction.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import apsw
from piccolo.engine.base import BaseBatch, Engine
from piccolo.querystring import QueryString

from db.changes import FEED, Feed
from db.connection import Args, Row, execute, fetch, fetch_value
from db.place import refuse_network
from db.readers import Readers
from db.transaction import Atomic, Savepoint, Tx
from db.writer import BODY_LIMIT_S, Writer

T = TypeVar("T")

READERS = 4
FOREIGN_CHECK_S = 0.5
_READING = ("SELECT", "WITH", "VALUES", "PRAGMA", "EXPLAIN")


class NotOpen(RuntimeError):
    """The engine was used before `open` or after `close`."""


class ApswEngine(Engine[Tx]):
    """One file, one driver. Lives on the event loop that opened it."""

    def __init__(self, feed: Feed = FEED) -> None:
        self.feed = feed
        self.path: Path | None = None
        self.current_transaction: ContextVar[Tx | None] = ContextVar("transaction", default=None)
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._watch: asyncio.Task[None] | None = None
        super().__init__(engine_type="sqlite", min_version_number=3.45)

    async def open(
        self, path: Path, *, readers: int = READERS, body_limit_s: float = BODY_LIMIT_S
    ) -> None:
        """Open the migrated file at `path` for this event loop.

        A transaction that holds the write lock for over `body_limit_s` is rolled back.
        """
        if self._writer is not None:
            raise RuntimeError(f"the engine already has {self.path} open")
        refuse_network(path)
        self.path = path
        self._writer = Writer(path, self.feed, body_limit_s)
        self._readers = Readers(path, readers)
        self._watch = asyncio.get_running_loop().create_task(self._watch_foreign(self._writer))

    async def close(self) -> None:
        """Finish what was asked before, checkpoint, close. A closed engine may be opened again."""
        writer, readers, watch = self._writer, self._readers, self._watch
        self._writer = self._readers = self._watch = None
        if watch:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        if readers:
            await readers.close()
        if writer:
            await writer.close()

    # ---- what the house uses ----

    def tx(self) -> Tx | Savepoint:
        """`BEGIN IMMEDIATE` … `COMMIT`, a savepoint inside a transaction of this task.

        Holds the only write lock: no network, subprocess or sleep inside; over 5 s is rolled back.
        """
        outer = self._open_tx()
        return Savepoint(outer) if outer else Tx(self.writer, self.current_transaction)

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """`work(connection)` on the writer's thread, in a savepoint of its own.

        Shares its commit with other writes of the moment. Returns once it is on the disk; inside a
        transaction, once it ran.
        """
        if self._open_tx() is None:
            return await self.writer.submit(work)  # type: ignore[no-any-return]
        async with self.tx() as tx:
            return await tx.run(work)  # type: ignore[no-any-return]

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """`work(connection)` on a read-only connection, or on the open transaction."""
        tx = self._open_tx()
        return await (tx.run(work) if tx else self.readers.submit(work))  # type: ignore[no-any-return]

    async def all(self, sql: str, args: Args = ()) -> list[Row]:
        """Every row of one statement."""
        return await self._run(sql, lambda connection: fetch(connection, sql, args))

    async def one(self, sql: str, args: Args = ()) -> Row | None:
        """The first row of one statement, None where there is none."""
        rows = await self.all(sql, args)
        return rows[0] if rows else None

    async def value(self, sql: str, args: Args = ()) -> Any:
        """The first column of the first row, None where there is no row."""
        return await self._run(sql, lambda connection: fetch_value(connection, sql, args))

    async def execute(self, sql: str, args: Args = ()) -> int:
        """Run one writing statement; returns how many rows it changed, triggers not counted."""
        return await self._run(sql, lambda connection: execute(connection, sql, args))

    @property
    def writer(self) -> Writer:
        """The writer's thread; raises NotOpen."""
        if self._writer is None:
            raise NotOpen("the database is not open")
        return self._writer

    @property
    def readers(self) -> Readers:
        """The reading threads; raises NotOpen."""
        if self._readers is None:
            raise NotOpen("the database is not open")
        return self._readers

    def _open_tx(self) -> Tx | None:
        """The task's transaction. A task that was started inside one and outlived it has none."""
        tx = self.current_transaction.get()
        return tx if tx is not None and tx.is_open else None

    async def _run(self, sql: str, work: Callable[[apsw.Connection], T]) -> T:
        tx = self._open_tx()
        if tx:
            return await tx.run(work)  # type: ignore[no-any-return]
        if sql.lstrip().upper().startswith(_READING):
            with contextlib.suppress(apsw.ReadOnlyError):  # WITH … UPDATE reads like a read
                return await self.readers.submit(work)  # type: ignore[no-any-return]
        return await self.writer.submit(work)  # type: ignore[no-any-return]

    async def _watch_foreign(self, writer: Writer) -> None:
        """Tell the feed when another process committed to the file."""
        seen = await writer.look(_data_version)
        while True:
            await asyncio.sleep(FOREIGN_CHECK_S)
            with contextlib.suppress(apsw.Error):  # trouble with the disk: look again
                version = await writer.look(_data_version)
                if version != seen:
                    seen = version
                    self.feed.deliver_foreign()

    # ---- what Piccolo asks for ----

    async def get_version(self) -> float:
        """SQLite's version as Piccolo counts it."""
        return self.get_version_sync()

    def get_version_sync(self) -> float:
        """SQLite's version as Piccolo counts it."""
        major, minor, *_ = apsw.sqlite_lib_version().split(".")
        return float(f"{major}.{minor}")

    async def prep_database(self) -> None:
        """Nothing: the migrations made the file."""

    async def run_querystring(
        self,
        querystring: QueryString,
        in_pool: bool = True,  # noqa: ARG002 - reads always use the pool
    ) -> list[Row]:
        """Run a Piccolo query; inside a transaction of this task on it."""
        sql, args = querystring.compile_string(engine_type=self.engine_type)
        return await self.all(sql, args)

    async def run_ddl(self, ddl: str, in_pool: bool = True) -> list[Row]:  # noqa: ARG002
        """Run a Piccolo schema statement. Ours live in `db/migrations`."""
        return await self.all(ddl)

    def transaction(self, *_args: Any, **_kwargs: Any) -> Any:
        """Piccolo's word for `tx`."""
        return self.tx()

    def atomic(self) -> Any:
        """Piccolo's list of queries that run in one transaction."""
        return Atomic(self.tx)

    async def batch(
        self,
        query: Any,
        batch_size: int = 100,
        node: str | None = None,  # noqa: ARG002 - one file, one node
    ) -> "Batch":
        """Piccolo's slices of a long answer."""
        return Batch(query, batch_size)


class Batch(BaseBatch):
    """A query's rows in slices, from one read: a cursor kept open would hold the WAL."""

    def __init__(self, query: Any, size: int) -> None:
        self._query = query
        self._size = size
        self._rows: list[Row] = []

    async def __aenter__(self, *args: Any, **kwargs: Any) -> "Batch":
        self._rows = list(await self._query.run())
        return self

    async def __aexit__(self, *args: Any, **kwargs: Any) -> None:
        self._rows = []

    def __aiter__(self) -> "Batch":
        return self

    async def __anext__(self) -> list[Row]:
        if not self._rows:
            raise StopAsyncIteration
        piece, self._rows = self._rows[: self._size], self._rows[self._size :]
        return piece


def _data_version(connection: apsw.Connection) -> int:
    """Changes when any other connection committed; only other processes have one that writes."""
    return int(fetch_value(connection, "PRAGMA data_version"))


DB = ApswEngine()

__all__ = ["DB", "ApswEngine", "NotOpen", "Tx"]
