"""The picture of the schema is fresh, finds every drift, and agrees with the tables in Python."""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from piccolo.table import Table

import db.tables
from db import clock
from db.engine import ApswEngine
from db.schema import DOCS, PICTURE, check, differences, docs, migrated, shipped, snapshot, text
from db.tables.accounts import Role, Session, User
from db.tables.queue import QueueJob

ROOT = Path(__file__).parents[2]
FRESH = snapshot(migrated())
NAMES = [name for _, name, _ in pkgutil.iter_modules(db.tables.__path__)]
TABLES: list[type[Table]] = [
    table for name in NAMES for table in importlib.import_module(f"db.tables.{name}").TABLES
]


def change(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql).fetchall()
    connection.close()


@pytest.mark.feature("X-50")
def test_the_shipped_picture_is_fresh() -> None:
    assert differences(FRESH, shipped()) == []
    assert PICTURE.read_text("utf-8") == text(FRESH), "run `make schema`"
    assert json.loads(text(FRESH)) == FRESH


@pytest.mark.feature("X-50")
def test_the_generated_page_is_fresh() -> None:
    assert DOCS.read_text("utf-8") == docs(FRESH), "run `make schema`"


@pytest.mark.feature("X-50")
def test_a_migrated_file_has_no_differences(database: Path) -> None:
    assert check(database) == []


@pytest.mark.feature("X-50")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("ALTER TABLE vehicles ADD COLUMN colour TEXT", "colour: expected nothing, found"),
        ("ALTER TABLE opt_outs DROP COLUMN reason", "tables.opt_outs.columns.reason"),
        ("DROP INDEX idx_campaigns_type", "tables.campaigns.indexes.idx_campaigns_type"),
        ("DROP TRIGGER trg_vehicles_updated_at", "tables.vehicles.triggers.trg_vehicles_updated"),
        ("DROP TABLE auth_throttle", "tables.auth_throttle: expected"),
        ("CREATE TABLE notes (id)", "tables.notes: expected nothing, found"),
        ("DROP VIEW jobs", "tables.jobs: expected"),
        ("PRAGMA user_version = 1", "version: expected"),
    ],
)
def test_drift_is_named(database: Path, sql: str, expected: str) -> None:
    change(database, sql)
    assert any(expected in line for line in check(database))


def test_what_others_keep_in_the_file_is_no_drift(database: Path) -> None:
    change(database, "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    change(database, "ANALYZE")
    assert check(database) == []


def test_comments_and_line_breaks_are_no_drift() -> None:
    connection = migrated()
    connection.execute("DROP INDEX qj_due")
    connection.execute(
        "CREATE INDEX qj_due ON queueJobs (runAt, type) -- when\n   WHERE state = 'queued'"
    )
    assert differences(FRESH, snapshot(connection)) == []
    connection.close()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "db.schema", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.feature("X-50")
def test_the_command_says_differences_and_ends_with_one(database: Path) -> None:
    assert (command("check", str(database)).returncode, command("check").returncode) == (0, 0)
    change(database, "DROP INDEX idx_campaigns_type")
    drifted = command("check", str(database))
    assert drifted.returncode == 1
    assert "idx_campaigns_type" in drifted.stdout
    assert command("paint").returncode == 2


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table._meta.tablename)
def test_a_table_in_python_reads_the_migrated_one(table: type[Table]) -> None:
    stored = FRESH["tables"][table._meta.tablename]["columns"]
    columns = table._meta.columns
    assert [column._meta.db_column_name for column in columns] == [row["name"] for row in stored]
    for column, row in zip(columns, stored, strict=True):
        assert column._meta.null is not bool(row["not_null"] or row["pk"]), row["name"]
        assert column._meta.name == column._meta.name.lower(), "attributes are snake_case"
        assert column._meta.primary_key is bool(row["pk"]), row["name"]
        kinds = {"TEXT": str, "INTEGER": int, "REAL": float}
        assert column.value_type is kinds[row["type"]], row["name"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table._meta.tablename)
def test_words_of_an_enumeration_are_those_of_its_check(table: type[Table]) -> None:
    sql = FRESH["tables"][table._meta.tablename]["sql"]
    for column in table._meta.columns:
        if column._meta.choices is not None:
            words = [str(choice.value) for choice in column._meta.choices]
            quoted = ",".join(f"'{word}'" for word in words)
            assert f"{column._meta.db_column_name}IN({quoted})" in sql.replace(" ", "").replace(
                '"', ""
            )


@pytest.mark.parametrize("name", FRESH["tables"])
def test_every_foreign_key_has_the_index_its_delete_needs(name: str) -> None:
    table = FRESH["tables"][name]
    keys = [column["name"] for column in table["columns"] if column["pk"] == 1]
    led = {index["columns"][0].split()[0] for index in table["indexes"]} | set(keys)
    assert {key["column"] for key in table["foreign_keys"]} <= led


@pytest.mark.parametrize("name", FRESH["tables"])
def test_every_time_of_a_domain_table_has_the_one_format(name: str) -> None:
    table = FRESH["tables"][name]
    for column in table["columns"]:
        clocked = "strftime" in (column["default"] or "")
        if column["type"] == "TEXT" and (clocked or column["name"].endswith(("_at", "At"))):
            free = ("released_at", "opened_at")  # days as the outside service writes them
            rule = f"CHECK ({column['name']} GLOB '????-??-??T??:??:??.???Z')"
            assert column["name"] in free or table["kind"] == "view" or rule in table["sql"]


@pytest.mark.anyio
async def test_a_row_goes_in_and_out_through_its_table(db: ApswEngine) -> None:
    user = User(login="anna", role=Role.ADMIN)
    await user.save()
    await Session(user_id=user.id, token_hash="a" * 64, expires_at=clock.text()).save()
    [row] = await Session.select(Session.id, Session.user_id, Session.auth_level)
    assert (row["userId"], row["authLevel"]) == (user.id, 0)  # rows carry the stored names
    await QueueJob.update({QueueJob.run_at: 2}).where(QueueJob.run_at == 1)
    [account] = await User.select(exclude_secrets=True).where(User.role == Role.ADMIN)
    assert "password_hash" not in account
    assert account["created_at"] == clock.text(clock.parse(account["created_at"]))
