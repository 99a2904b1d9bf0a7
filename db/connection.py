"""Opens apsw connections the one way we open them, and turns their rows into dicts.

Python's own `sqlite3` must never open the same file in this process: it is a second copy of SQLite,
and closing its file descriptor drops our locks. `refuse_sqlite3` holds that.
"""

import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import apsw.bestpractice

from db import clock

BUSY_TIMEOUT_MS = 10_000
WAL_LIMIT_BYTES = 64 * 1024 * 1024
STATEMENT_CACHE = 256

Args = Sequence[Any] | dict[str, Any]
Row = dict[str, Any]


def open_writer(path: Path) -> apsw.Connection:
    """The connection that writes. Every commit reaches the disk before it is acknowledged."""
    connection = _open(path, apsw.SQLITE_OPEN_READWRITE)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", 2)  # FULL; NORMAL lost acknowledged commits at power loss
    connection.pragma("journal_size_limit", WAL_LIMIT_BYTES)
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """A connection that cannot write and never waits for the one that does."""
    return _open(path, apsw.SQLITE_OPEN_READONLY)


def _open(path: Path, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=STATEMENT_CACHE)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("foreign_keys", True)
    connection.pragma("trusted_schema", False)
    connection.pragma("temp_store", 2)
    connection.pragma("cache_size", -8000)
    apsw.bestpractice.connection_dqs(connection)
    connection.convert_binding = _bind
    return connection


def _bind(_cursor: apsw.Cursor, _number: int, value: Any) -> Any:
    """What SQLite does not know, in the form our tables hold it."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return clock.text(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case Decimal():
            return float(value)
    raise TypeError(f"SQLite cannot hold a {type(value).__name__}")


_CONVERT: dict[str | None, Callable[[Any], Any]] = {
    "BOOLEAN": bool,
    "DATE": date.fromisoformat,
    "TIME": time.fromisoformat,
    "TIMESTAMP": clock.parse,
    "TIMESTAMPTZ": clock.parse,
    "INTERVAL": lambda seconds: timedelta(seconds=seconds),
    "UUID": UUID,
    "NUMERIC": lambda number: Decimal(str(number)),
}  # by declared type; our own tables declare TEXT, INTEGER, REAL and BLOB and pay nothing for it


def fetch(connection: apsw.Connection, sql: str, args: Args = ()) -> list[Row]:
    """Every row of one statement as a dict, its cursor drained."""
    cursor = connection.execute(sql, args)
    try:
        columns = cursor.get_description()
    except apsw.ExecutionCompleteError:  # no row came, so there is nothing to describe
        return []
    names = [column[0] for column in columns]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    for name, declared, *_ in columns:
        if declared in _CONVERT:
            convert = _CONVERT[declared]
            for row in rows:
                if row[name] is not None:
                    row[name] = convert(row[name])
    return rows


def fetch_value(connection: apsw.Connection, sql: str, args: Args = ()) -> Any:
    """The first column of the first row, None where there is no row."""
    rows = connection.execute(sql, args).fetchall()
    return rows[0][0] if rows else None


def execute(connection: apsw.Connection, sql: str, args: Args = ()) -> int:
    """Run one writing statement to its end; returns how many rows it changed itself."""
    before = connection.total_changes()
    connection.execute(sql, args).fetchall()
    return connection.changes() if connection.total_changes() != before else 0


def refuse_sqlite3(folder: Path) -> None:
    """From now on nobody in this process opens a file under `folder` with Python's own SQLite."""
    root = str(folder.resolve())

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect" and str(Path(str(args[0])).resolve()).startswith(root):
            raise RuntimeError("two SQLite libraries on one file corrupt it: use db.engine")

    sys.addaudithook(refuse)
