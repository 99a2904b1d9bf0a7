"""Migrations: all or nothing, a copy first, never backwards."""

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from db import failpoints
from db.migrate import BrokenNumbering, MigrationError, NewerDatabase, migrate, plan, steps

LATEST = len(steps())
ROOT = Path(__file__).parents[2]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def run(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "holdfast.db"


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small migrations to add to."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text(
        "CREATE TABLE a (id INTEGER PRIMARY KEY);\nINSERT INTO a VALUES (1), (2);\n"
    )
    (folder / "0002_second.sql").write_text(
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a (id));\n"
    )
    return folder


def test_a_fresh_file_gets_everything(path: Path, backups: Path) -> None:
    assert migrate(path, backups) == list(range(1, LATEST + 1))
    assert ask(path, "PRAGMA user_version") == [(LATEST,)]
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not backups.exists()


def test_a_second_run_does_nothing(path: Path, backups: Path) -> None:
    migrate(path, backups)
    before = digest(path)
    assert migrate(path, backups) == []
    assert digest(path) == before
    assert not backups.exists()


def test_a_plan_only_reads(path: Path, backups: Path, folder: Path) -> None:
    assert [step.name for step in plan(path, folder)] == ["0001_first", "0002_second"]
    assert not path.exists()
    migrate(path, backups, folder)
    assert plan(path, folder) == []


@pytest.mark.feature("X-12")
def test_a_file_with_content_is_copied_first(path: Path, backups: Path, folder: Path) -> None:
    migrate(path, backups, folder)
    run(path, "INSERT INTO a VALUES (7)")
    (folder / "0003_third.sql").write_text("DELETE FROM a;\n")
    assert migrate(path, backups, folder) == [3]
    copy = backups / "pre-migrate-2-3.db"
    assert ask(copy, "SELECT id FROM a") == [(1,), (2,), (7,)]
    assert ask(copy, "PRAGMA user_version") == [(2,)]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(backups.stat().st_mode) == 0o700
    assert ask(path, "SELECT id FROM a") == []
    shutil.copy(copy, path)  # the way back
    assert migrate(path, backups, folder) == [3]


@pytest.mark.feature("X-12")
def test_without_room_for_the_copy_nothing_begins(path: Path, backups: Path, folder: Path) -> None:
    migrate(path, backups, folder)
    (folder / "0003_third.sql").write_text("DELETE FROM a;\n")
    free = shutil.disk_usage(path.parent).free
    os.truncate(path, free // 4096 * 4096)  # a hole: it takes no room itself
    with pytest.raises(MigrationError, match="MiB free"):
        migrate(path, backups, folder)
    assert ask(path, "PRAGMA user_version") == [(2,)]
    assert not list(backups.glob("*.db"))


FAILING = {
    "syntax": "INSERT INTO a VALUES (9);\nNONSENSE;\n",
    "constraint": "INSERT INTO a VALUES (9);\nINSERT INTO a VALUES (1);\n",
    "dangling": "INSERT INTO b VALUES (1, 404);\n",
    "own commit": "INSERT INTO a VALUES (9);\nCOMMIT;\nINSERT INTO a VALUES (10);\n",
}


@pytest.mark.feature("X-49")
@pytest.mark.parametrize("sql", FAILING.values(), ids=FAILING)
def test_a_failing_migration_leaves_every_byte(
    path: Path, backups: Path, folder: Path, sql: str
) -> None:
    migrate(path, backups, folder)
    before = digest(path)
    (folder / "0003_third.sql").write_text(sql)
    with pytest.raises(MigrationError, match=r"0003_third failed.*stands at 2.*pre-migrate-2-3"):
        migrate(path, backups, folder)
    assert digest(path) == before
    assert ask(path, "SELECT id FROM a") == [(1,), (2,)]
    assert (backups / "pre-migrate-2-3.db").exists()


def test_what_stands_before_a_failing_migration_stays(
    path: Path, backups: Path, folder: Path
) -> None:
    (folder / "0003_third.sql").write_text("NONSENSE;\n")
    with pytest.raises(MigrationError, match="stands at 2"):
        migrate(path, backups, folder)
    (folder / "0003_third.sql").write_text("INSERT INTO a VALUES (3);\n")
    assert migrate(path, backups, folder) == [3]


def test_statements_after_one_that_yields_rows_run_too(
    path: Path, backups: Path, folder: Path
) -> None:
    (folder / "0003_third.sql").write_text("SELECT id FROM a;\nINSERT INTO a VALUES (3);\n")
    migrate(path, backups, folder)
    assert ask(path, "SELECT count(*) FROM a") == [(3,)]


def test_a_table_can_be_rebuilt_under_its_children(path: Path, backups: Path, folder: Path) -> None:
    migrate(path, backups, folder)
    run(path, "INSERT INTO b VALUES (1, 2)")
    (folder / "0003_third.sql").write_text(
        "CREATE TABLE a_new (id INTEGER PRIMARY KEY, name TEXT);\n"
        "INSERT INTO a_new (id) SELECT id FROM a;\n"
        "DROP TABLE a;\nALTER TABLE a_new RENAME TO a;\n"
    )
    assert migrate(path, backups, folder) == [3]
    assert ask(path, "SELECT id, a_id FROM b") == [(1, 2)]


@pytest.mark.feature("X-49")
def test_a_newer_file_is_refused_untouched(path: Path, backups: Path) -> None:
    migrate(path, backups)
    run(path, f"PRAGMA user_version = {LATEST + 1}")
    before = digest(path), path.stat().st_mtime_ns
    with pytest.raises(NewerDatabase, match=f"schema {LATEST + 1}"):
        migrate(path, backups)
    assert (digest(path), path.stat().st_mtime_ns) == before
    assert not backups.exists()


def test_the_database_of_another_program_is_refused(path: Path, backups: Path) -> None:
    run(path, "CREATE TABLE theirs (id)")
    before = digest(path)
    with pytest.raises(MigrationError, match="not one of Holdfast"):
        migrate(path, backups)
    assert digest(path) == before


@pytest.mark.parametrize("name", ["0004_gap.sql", "0002_double.sql", "third.sql", "0003 third.sql"])
def test_a_broken_numbering_is_refused(path: Path, backups: Path, folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;\n")
    with pytest.raises(BrokenNumbering):
        migrate(path, backups, folder)
    assert not path.exists()


def test_no_migrations_at_all_is_a_broken_installation(path: Path, backups: Path) -> None:
    (path.parent / "empty").mkdir()
    with pytest.raises(BrokenNumbering):
        migrate(path, backups, path.parent / "empty")


def child(path: Path, backups: Path, failpoint: str, folder: Path | None = None) -> int:
    """Migrate in a process of its own; returns how it ended."""
    script = (
        "import sys; from pathlib import Path; from db.migrate import migrate;"
        "migrate(*(Path(word) for word in sys.argv[1:]))"
    )
    words = [str(path), str(backups), *([str(folder)] if folder else [])]
    environment = {**os.environ, "HOLDFAST_FAILPOINT": failpoint}
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=ROOT, env=environment, check=False
    )
    return done.returncode


@pytest.mark.parametrize(
    "point", ["migrate_start", "migrate_before_version", "migrate_after_commit"]
)
@pytest.mark.parametrize("passage", [1, 4, LATEST])
@pytest.mark.feature("X-49")
def test_a_kill_leaves_a_whole_file_and_the_next_start_goes_on(
    path: Path, backups: Path, point: str, passage: int
) -> None:
    assert child(path, backups, f"{point}:{passage}:kill") == -signal.SIGKILL
    stands = passage - (point != "migrate_after_commit")
    if stands:
        assert ask(path, "PRAGMA user_version") == [(stands,)]
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert migrate(path, backups) == list(range(stands + 1, LATEST + 1))
    names = ask(path, "SELECT count(*) FROM sqlite_schema")
    migrate(path.with_name("other.db"), backups)
    assert names == ask(path.with_name("other.db"), "SELECT count(*) FROM sqlite_schema")


def test_a_kill_after_the_copy_changes_nothing(path: Path, backups: Path, folder: Path) -> None:
    migrate(path, backups, folder)
    before = digest(path)
    (folder / "0003_third.sql").write_text("DELETE FROM a;\n")
    assert child(path, backups, "migrate_precopy:kill", folder) == -signal.SIGKILL
    assert digest(path) == before
    assert ask(backups / "pre-migrate-2-3.db", "SELECT count(*) FROM a") == [(2,)]
    assert migrate(path, backups, folder) == [3]


@pytest.mark.parametrize("number", range(1, LATEST + 1))
def test_each_shipped_migration_is_all_or_nothing(path: Path, backups: Path, number: int) -> None:
    failpoints.arm(f"migrate_before_version:{number}:raise")
    with pytest.raises(MigrationError):
        migrate(path, backups)
    failpoints.arm("")
    assert ask(path, "PRAGMA user_version") == [(number - 1,)]
    assert migrate(path, backups) == list(range(number, LATEST + 1))


def test_two_processes_at_once_migrate_once(path: Path, backups: Path, folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from db.migrate import migrate;"
        "sys.stdin.read(1); print(migrate(*(Path(word) for word in sys.argv[1:])))"
    )
    command = [sys.executable, "-c", script, str(path), str(backups), str(folder)]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    applied = [
        int(number)
        for answer in answers
        for number in answer.strip("[]\n, ").split(",")
        if number.strip()
    ]
    assert sorted(applied) == [1, 2]
    assert ask(path, "SELECT id FROM a") == [(1,), (2,)]
