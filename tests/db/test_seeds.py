"""The live schema against the five documents it unites: nothing of them is lost by accident.

`tests/seeds/*.json` was typed in from the documents, each entry with the line it stands on.
"""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import apsw
import pytest

from db.schema import checks, migrated, snapshot

SEEDS = Path(__file__).parents[1] / "seeds"

RENAMED_TABLES = {
    "000 download_history": "ticket_download_history",
    "001 Users": "users",
    "001 Audible_Cache": "audible_cache",
    "001 Audiobooks": "audiobooks",
    "001 Requests": "requests",
    "001 Download_History": "audiobook_download_history",
    "001 Configuration": "configuration",
    "001 Jobs": "queueJobs",
    "001 Job_Events": "job_events",
}
RENAMED_COLUMNS = {
    "001 Users.plex_username": "login",
    "001 Users.plex_email": "email",
    "002 users.username": "login",
    "002 users.passwordHash": "password_hash",
    "002 users.createdAt": "created_at",
    "001 Jobs.request_id": "subjectId",
    "001 Jobs.status": "state",
    "001 Jobs.max_attempts": "maxAttempts",
    "001 Jobs.payload": "payloadJson",
    "001 Jobs.result": "resultJson",
    "001 Jobs.error_message": "lastError",
    "001 Jobs.stack_trace": "stackTrace",
    "001 Jobs.started_at": "startedAt",
    "001 Jobs.completed_at": "finishedAt",
    "001 Jobs.created_at": "createdAt",
    "001 Jobs.updated_at": "updatedAt",
}
DIFFERENT = {
    "001 Jobs.bull_job_id": "there is no second queue to point into; the view `jobs` shows NULL",
    "001 Jobs.status accepts pending": "the five states of 002; the view shows 001's words",
    "001 Jobs.status accepts active": "as above",
    "001 Jobs.status accepts completed": "as above",
    "001 Jobs.status accepts delayed": "derived from runAt",
    "001 Jobs.status accepts stuck": "derived from the lease",
    "001 Jobs foreign key request_id": "subjectType and subjectId serve every domain",
    "001 Jobs index request_id": "the index leads with subjectType",
    "001 Jobs index created_at DESC": "ids are UUIDv7, so the primary key is the time order",
    "003 campaigns.updated_at default": "the document itself calls its fixed time an accident",
    "003 contacts index idx_contacts_phone": "repeats the unique index on the same column",
    "003 opt_outs index idx_opt_outs_phone": "repeats the unique index on the same column",
    "003 messages index idx_messages_message_sid": "repeats the unique index on the same column",
}
# One time format for all domains: text order is time order.
TIMES = {"now", "datetime('now')"}
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

Found = dict[str, Any]


def seeds() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(SEEDS.glob("*.json")):
        for table in json.loads(path.read_text("utf-8"))["tables"]:
            yield f"{path.stem} {table['name']}", table


def column_name(place: str, name: str) -> str:
    return RENAMED_COLUMNS.get(f"{place}.{name}", name)


def table_name(place: str) -> str:
    return RENAMED_TABLES.get(place, place.split()[1])


def compare(connection: apsw.Connection) -> set[str]:
    """What the documents say and this schema does not."""
    live = snapshot(connection)["tables"]
    sequence = connection.execute(
        "SELECT name FROM pragma_table_info('sqlite_sequence')"
    ).fetchall()
    live["sqlite_sequence"] = {
        "columns": [{"name": n, "type": "", "not_null": 0} for (n,) in sequence]
    }
    missing: set[str] = set()
    for place, seed in seeds():
        found = live.get(table_name(place))
        if found is None or not found["columns"]:
            missing.add(place)
            continue
        for column in seed["columns"]:
            missing |= _column(connection, place, column, found)
        missing |= _keys(place, seed, found)
        if "rows" in seed:
            count = connection.execute(f"SELECT count(*) FROM {table_name(place)}").fetchall()[0][0]
            missing |= {f"{place} rows"} if count != seed["rows"] else set()
    return missing


def _column(
    connection: apsw.Connection, place: str, seed: dict[str, Any], found: Found
) -> set[str]:
    here = f"{place}.{seed['name']}"
    name = column_name(place, seed["name"])
    columns = [column for column in found["columns"] if fnmatchcase(column["name"], name)]
    if not columns:
        return {here}
    missing = set()
    for column in columns:
        if column["type"] != seed.get("type", column["type"]):
            missing.add(f"{here} type")
        if "null" in seed and bool(column["not_null"]) is seed["null"]:
            missing.add(f"{here} null")
        if "default" in seed and column["default"] != _default(seed["default"]):
            missing.add(f"{here} default")
        if seed.get("pk") and column["pk"] != 1:
            missing.add(f"{here} key")
        if seed.get("unique") and not _is_unique(found, [name]):
            missing.add(f"{here} unique")
    return missing | _values(connection, here, name, seed, found)


def _default(stated: str | None) -> str | None:
    return NOW if stated in TIMES else stated


def _values(
    connection: apsw.Connection, here: str, name: str, seed: dict[str, Any], found: Found
) -> set[str]:
    accepts, refuses = seed.get("accepts", []), seed.get("refuses", [])
    if longest := seed.get("max_length"):
        accepts, refuses = ["x" * longest], ["x" * (longest + 1)]
    return {
        f"{here} {verb} {str(value)[:20]}"
        for verb, values, wanted in (("accepts", accepts, True), ("refuses", refuses, False))
        for value in values
        if _accepts(connection, found["sql"], name, value) is not wanted
    }


def _accepts(connection: apsw.Connection, sql: str, column: str, value: Any) -> bool:
    """Whether every CHECK about this column alone lets the value pass."""
    for rule in checks(sql):
        try:
            answer = connection.execute(f'SELECT {rule} FROM (SELECT ? AS "{column}")', (value,))
        except apsw.SQLError:  # the rule is about other columns
            continue
        if answer.fetchall() == [(0,)]:
            return False
    return True


def _keys(place: str, seed: dict[str, Any], found: Found) -> set[str]:
    missing = set()
    for unique in seed.get("unique", []):
        if not _is_unique(found, unique["columns"]):
            missing.add(f"{place} unique {' '.join(unique['columns'])}")
    for index in seed.get("indexes", []):
        if not _has_index(place, index, found):
            missing.add(f"{place} index {index.get('name', ' '.join(index['columns']))}")
    for trigger in seed.get("triggers", []):
        sql = found["triggers"].get(trigger["name"], "")
        if "AFTER UPDATE" not in sql or f"SET {trigger['column']} = {NOW}" not in sql:
            missing.add(f"{place} trigger {trigger['name']}")
    for key in seed.get("foreign_keys", []):
        if not _has_foreign_key(place, key, found):
            missing.add(f"{place} foreign key {key['column']}")
    return missing


def _bare(columns: list[str]) -> list[str]:
    return [column.removesuffix(" NOCASE") for column in columns]


def _is_unique(found: Found, columns: list[str]) -> bool:
    return any(
        index["unique"] and not index["partial"] and _bare(index["columns"]) == columns
        for index in found["indexes"]
    )


def _has_index(place: str, seed: dict[str, Any], found: Found) -> bool:
    """A named index must be exactly that one; an unnamed one any that begins with the columns."""
    table, words = place, [column.split(" ", 1) for column in seed["columns"]]
    columns = [" ".join([column_name(table, word[0]), *word[1:]]) for word in words]
    for index in found["indexes"]:
        if "name" not in seed and _bare(index["columns"])[: len(columns)] == columns:
            return True
        if index["name"] == seed.get("name"):
            same = bool(index["unique"]) is seed.get("unique", False)
            return same and _bare(index["columns"]) == columns
    return False


def _has_foreign_key(place: str, seed: dict[str, Any], found: Found) -> bool:
    document = place.split(maxsplit=1)[0]
    for key in found["foreign_keys"]:
        if (
            key["column"] == column_name(place, seed["column"])
            and key["table"] == table_name(f"{document} {seed['table']}")
            and key["to"] == seed.get("to", "id")
        ):
            return all(
                key[rule] == seed.get(rule, key[rule]) for rule in ("on_delete", "on_update")
            )
    return False


@pytest.fixture(scope="module")
def schema() -> Iterator[apsw.Connection]:
    connection = migrated()
    yield connection
    connection.close()


@pytest.fixture
def changed(schema: apsw.Connection) -> Iterator[apsw.Connection]:
    """The schema to damage; afterwards it is whole again."""
    schema.execute("SAVEPOINT damage")
    yield schema
    schema.execute("ROLLBACK TO damage")
    schema.execute("RELEASE damage")


def test_nothing_of_the_seeds_is_lost(schema: apsw.Connection) -> None:
    assert compare(schema) - set(DIFFERENT) == set()


def test_every_difference_on_purpose_is_still_one(schema: apsw.Connection) -> None:
    assert set(DIFFERENT) - compare(schema) == set()


def test_every_entry_says_its_line() -> None:
    for place, table in seeds():
        lists = [value for value in table.values() if isinstance(value, list)]
        assert all(entry["line"] > 0 for entries in lists for entry in entries), place
    assert len(list(seeds())) == 8 + 8 + 6 + 7 + 2


def test_the_view_of_the_former_job_table_has_its_columns(schema: apsw.Connection) -> None:
    view = [name for (name,) in schema.execute("SELECT name FROM pragma_table_info('jobs')")]
    seed = dict(seeds())["001 Jobs"]
    assert sorted(view) == sorted(column["name"] for column in seed["columns"])


INDEXES = [
    (place, index["name"])
    for place, table in seeds()
    for index in table.get("indexes", [])
    if "name" in index and not index["name"].startswith("sqlite_")
    if f"{place} index {index['name']}" not in DIFFERENT
]
TRIGGERS = [
    (place, trigger["name"]) for place, table in seeds() for trigger in table.get("triggers", [])
]
COLUMNS = [
    (place, name)
    for place, table in seeds()
    for name in [table["columns"][-1]["name"]]
    if "*" not in name and not place.endswith("sqlite_sequence")
]


@pytest.mark.parametrize(("place", "name"), INDEXES)
def test_a_dropped_index_is_found(changed: apsw.Connection, place: str, name: str) -> None:
    changed.execute(f"DROP INDEX {name}")
    assert f"{place} index {name}" in compare(changed)


@pytest.mark.parametrize(("place", "name"), TRIGGERS)
def test_a_dropped_trigger_is_found(changed: apsw.Connection, place: str, name: str) -> None:
    changed.execute(f"DROP TRIGGER {name}")
    assert f"{place} trigger {name}" in compare(changed)


@pytest.mark.parametrize(("place", "name"), COLUMNS)
def test_a_lost_column_is_found(changed: apsw.Connection, place: str, name: str) -> None:
    stored = column_name(place, name)
    changed.execute(f"ALTER TABLE {table_name(place)} RENAME COLUMN {stored} TO gone_now")
    assert f"{place}.{name}" in compare(changed)


DAMAGE = [
    ("firmware", " CHECK (downloaded IN (0, 1))", "", "004 firmware.downloaded refuses 2"),
    ("imei_log", " CHECK (length(csc) BETWEEN 3 AND 5)", "", "004 imei_log.csc refuses EUX/FTM"),
    ("imei_log", "'throttled', ", "", "004 imei_log.status_fus accepts throttled"),
    ("requests", "'awaiting_import', ", "", "001 Requests.status accepts awaiting_import"),
    ("tickets", "UNIQUE (user_id, ticket_version)", "UNIQUE (user_id, content_hash)",
     "000 tickets unique user_id ticket_version"),
    ("contacts", "DEFAULT 'active'", "DEFAULT 'invalid'", "003 contacts.status default"),
    ("vehicles", "ON DELETE CASCADE", "ON DELETE SET NULL", "003 vehicles foreign key contact_id"),
    ("job_events", " ON DELETE CASCADE", "", "001 Job_Events foreign key job_id"),
    ("messages", "phone             TEXT NOT NULL", "phone TEXT", "003 messages.phone null"),
    ("vehicles", "price        REAL", "price TEXT", "003 vehicles.price type"),
    ("queueSettings", "DEFAULT 2", "DEFAULT 3", "002 queueSettings.concurrency default"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "old", "new", "expected"), DAMAGE)
def test_a_lost_rule_is_found(table: str, old: str, new: str, expected: str) -> None:
    connection = migrated()
    connection.pragma("writable_schema", True)
    connection.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ?", (old, new, table)
    )
    assert connection.changes() == 1
    connection.execute("PRAGMA writable_schema = RESET")
    assert expected in compare(connection)
    connection.close()
