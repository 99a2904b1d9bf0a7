"""Contestants of `bench.ground`: our engine, Piccolo's own SQLite engine, and a bare apsw loop.

Each runs alone in its process on a file of its own in WAL mode. Piccolo's engine opens a connection
per query; SQLite's default then syncs at FULL, as we do.
"""

import asyncio
import atexit
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.measure import serve

READS, WRITES, TASKS, LONG_READS, ROWS = 1500, 1000, 50, 40, 1000
CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER NOT NULL)"
FILL = "INSERT INTO item (name, size) VALUES (?, ?)"


def new_file() -> Path:
    """A file with 1,000 rows, in WAL mode."""
    import apsw

    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "bench.db"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute(CREATE)
    with connection:
        connection.executemany(FILL, ((f"name {n}", n) for n in range(ROWS)))
    connection.close()
    return path


def rate(count: int, work: Callable[[], Any]) -> float:
    """How many a second, when `work` does `count`."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def piccolo_cases(engine: Any, loop: asyncio.AbstractEventLoop) -> dict[str, Callable[[], float]]:
    """The three cases through Piccolo's query builder, on whichever engine."""
    from piccolo.columns import Integer, Serial, Text
    from piccolo.table import Table

    class Item(Table, tablename="item", db=engine):
        id: Serial
        name = Text()
        size = Integer()

    async def read_single() -> None:
        for n in range(READS):
            await Item.select().where(Item.id == n % ROWS + 1).first()

    async def write_many() -> None:
        async def one(count: int) -> None:
            for n in range(count):
                await Item.insert(Item(name="new", size=n))

        await asyncio.gather(*(one(WRITES // TASKS) for _ in range(TASKS)))

    async def read_long() -> None:
        for _ in range(LONG_READS):
            await Item.select().where(Item.id <= ROWS)

    def run(work: Callable[[], Awaitable[None]]) -> Any:
        return loop.run_until_complete(work())

    return {
        "read": lambda: rate(READS, lambda: run(read_single)),
        "write": lambda: rate(WRITES, lambda: run(write_many)),
        "read_1000": lambda: rate(LONG_READS, lambda: run(read_long)),
    }


def holdfast(path: Path) -> dict[str, Callable[[], float]]:
    """Our engine."""
    from db.engine import ApswEngine

    loop = asyncio.new_event_loop()
    engine = ApswEngine()
    loop.run_until_complete(engine.open(path))
    return piccolo_cases(engine, loop)


def stock(path: Path) -> dict[str, Callable[[], float]]:
    """Piccolo's SQLiteEngine over aiosqlite."""
    from piccolo.engine.sqlite import SQLiteEngine

    return piccolo_cases(SQLiteEngine(path=str(path), timeout=60), asyncio.new_event_loop())


def raw(path: Path) -> dict[str, Callable[[], float]]:
    """Bare apsw on one thread with warm statements: what the driver itself costs."""
    from db.connection import open_writer

    connection = open_writer(path)

    def read_single() -> None:
        for n in range(READS):
            connection.execute(
                "SELECT id, name, size FROM item WHERE id = ?", (n % ROWS + 1,)
            ).fetchall()

    def write_many() -> None:
        for n in range(WRITES):
            connection.execute(FILL, ("new", n)).fetchall()

    def read_long() -> None:
        for _ in range(LONG_READS):
            connection.execute("SELECT id, name, size FROM item WHERE id <= ?", (ROWS,)).fetchall()

    return {
        "read": lambda: rate(READS, read_single),
        "write": lambda: rate(WRITES, write_many),
        "read_1000": lambda: rate(LONG_READS, read_long),
    }


if __name__ == "__main__":
    serve({"holdfast": holdfast, "stock": stock, "raw": raw}[sys.argv[1]](new_file()))
