"""Brings a database file up to this program, before anything opens it: numbered SQL, forward only.

Each file is one transaction together with its number in `PRAGMA user_version`, so that a crash
leaves the file before or after it, never between. A file that already holds something is copied
first.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from db.connection import fetch_value
from db.failpoints import failpoint

FOLDER = Path(__file__).parent / "migrations"
SPACE_FACTOR = 2.2  # the copy, and room for the largest table to be rebuilt
QUICK_CHECK_ABOVE_BYTES = 1024**3
BUSY_TIMEOUT_MS = 10_000
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(RuntimeError):
    """The file could not be brought up to date; the message names the way back."""


class NewerDatabase(MigrationError):
    """The file was written by a newer Holdfast. It was not touched."""


class BrokenNumbering(MigrationError):
    """The folder of migrations has a gap, a double or a stray file."""


@dataclass(frozen=True)
class Step:
    """One numbered SQL file."""

    number: int
    name: str
    sql: str


def steps(folder: Path = FOLDER) -> list[Step]:
    """Every migration in order, numbered 1, 2, 3 … without a gap. Raises BrokenNumbering."""
    found: list[Step] = []
    for number, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        match = _NAME.fullmatch(path.name)
        if match is None or int(match[1]) != number:
            raise BrokenNumbering(f"{path.name} stands where {number:04d}_<name>.sql must stand")
        found.append(Step(number, path.stem, path.read_text("utf-8")))
    if not found:
        raise BrokenNumbering(f"{folder} holds no migrations")
    return found


def plan(path: Path, folder: Path = FOLDER) -> list[Step]:
    """What `migrate` would apply; reads only. Raises NewerDatabase."""
    known = steps(folder)
    version = _stored_version(path)
    if version > len(known):
        raise NewerDatabase(
            f"{path} has schema {version}, this program knows {len(known)}: use a newer Holdfast"
        )
    return known[version:]


def migrate(path: Path, backups: Path, folder: Path = FOLDER) -> list[int]:
    """Apply what is missing and return the numbers applied; an up-to-date file stays as it is.

    A file with content is first copied to `backups/pre-migrate-<from>-<to>.db`. A migration that
    fails leaves the file as it was before that migration. Foreign keys are off while it runs, as
    rebuilding a table needs, and every one of them is checked before its commit.
    """
    with _alone(path.parent):
        pending = plan(path, folder)
        has_content = bool(pending) and pending[0].number > 1
        copy = _copy(path, backups, pending) if has_content else None
        with _connect(path) as connection:
            for step in pending:
                failpoint("migrate_start")
                _apply(connection, step, copy)
                failpoint("migrate_after_commit")
            if pending:
                _verify(connection, path, copy)
    return [step.number for step in pending]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One migration at a time: SQLite's own lock does not cover the switch to WAL or the copy."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _stored_version(path: Path) -> int:
    if not _has_content(path):
        return 0
    with _connect(path, read_only=True) as connection:
        connection.execute("BEGIN")  # both answers from one moment
        version = _version(connection)
        if version == 0 and _count_tables(connection):
            raise MigrationError(f"{path} is a database, but not one of Holdfast")
    return version


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _version(connection: apsw.Connection) -> int:
    version: int = fetch_value(connection, "PRAGMA user_version")
    return version


def _count_tables(connection: apsw.Connection) -> int:
    count: int = fetch_value(connection, "SELECT count(*) FROM sqlite_schema")
    return count


@contextmanager
def _connect(path: Path, *, read_only: bool = False) -> Iterator[apsw.Connection]:
    if not read_only:
        if not path.exists():  # SQLite would create it with the mode of the umask
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        path.chmod(0o600)
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        if not read_only:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", 2)
            connection.pragma("foreign_keys", False)
            connection.pragma("trusted_schema", False)
        yield connection
    finally:
        connection.close()


def _copy(path: Path, backups: Path, pending: list[Step]) -> Path:
    backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    need = int(path.stat().st_size * SPACE_FACTOR)
    free = shutil.disk_usage(backups).free
    if free < need:
        raise MigrationError(
            f"migrating needs {need // 2**20} MiB free in {backups}, there are {free // 2**20} MiB"
        )
    copy = backups / f"pre-migrate-{pending[0].number - 1}-{pending[-1].number}.db"
    part = copy.with_suffix(".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with _connect(path, read_only=True) as connection:
        connection.execute("VACUUM INTO ?", (str(part),)).fetchall()
    _sync(part)
    part.replace(copy)
    _sync(backups)
    failpoint("migrate_precopy")
    return copy


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _apply(connection: apsw.Connection, step: Step, copy: Path | None) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        run_script(connection, step.sql)
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise MigrationError(f"{len(broken)} rows point to nothing, first {broken[0]}")
        failpoint("migrate_before_version")
        connection.pragma("user_version", step.number)
        connection.execute("COMMIT")
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise MigrationError(
            f"migration {step.name} failed: {error}; "
            f"the file stands at {step.number - 1}{_back(copy)}"
        ) from error


def run_script(connection: apsw.Connection, sql: str) -> None:
    """Run every statement of `sql`, none of which may end the transaction around them."""

    def allow(action: int, *_names: object) -> int:
        return apsw.SQLITE_DENY if action == apsw.SQLITE_TRANSACTION else apsw.SQLITE_OK

    connection.authorizer = allow
    try:
        # Iterated to the end: `execute` alone stops at the first statement that yields a row.
        for _row in connection.execute(sql):
            pass
    finally:
        connection.authorizer = None


def _verify(connection: apsw.Connection, path: Path, copy: Path | None) -> None:
    check = "quick_check" if path.stat().st_size > QUICK_CHECK_ABOVE_BYTES else "integrity_check"
    answer = connection.execute(f"PRAGMA {check}(1)").fetchall()
    if answer != [("ok",)]:
        raise MigrationError(f"{path} is damaged: {answer[0][0]}{_back(copy)}")


def _back(copy: Path | None) -> str:
    return f"; the state before is in {copy}" if copy else ""
