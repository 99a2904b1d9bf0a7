"""The schema as a picture: what the migrations make (schema.json), what a file has, and docs/db.md.

The picture is normalised `sqlite_master` text plus PRAGMA output, so that two files of one version
give the same text. Tables that SQLite or Litestream keep for themselves are left out.
"""

import json
import re
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

import apsw

from db.migrate import run_script, steps

PICTURE = Path(__file__).with_name("schema.json")
DOCS = Path(__file__).resolve().parents[1] / "docs" / "db.md"

Snapshot = dict[str, Any]
_TIME_SHAPE = "GLOB '????-??-??T??:??:??.???Z'"  # said once for all in the docs

_TABLES = """
SELECT name, type, wr FROM pragma_table_list
WHERE schema = 'main' AND type <> 'shadow' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
  AND name NOT LIKE '~_litestream~_%' ESCAPE '~' ORDER BY name"""
_COLUMNS = """
SELECT name, type, "notnull" AS not_null, dflt_value AS "default", pk, hidden
FROM pragma_table_xinfo(?) ORDER BY cid"""
_FOREIGN_KEYS = """
SELECT "from" AS "column", "table", "to", on_update, on_delete
FROM pragma_foreign_key_list(?) ORDER BY "from", id, seq"""
_INDEXES = 'SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY name'
_INDEX_COLUMNS = """
SELECT coalesce(name, '(expression)') || iif("desc", ' DESC', '')
    || iif(coll = 'BINARY', '', ' ' || coll)
FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno"""
_SQL = "SELECT sql FROM sqlite_schema WHERE name = ?"
_TRIGGERS = (
    "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? ORDER BY name"
)


def migrated() -> apsw.Connection:
    """A database in memory with every migration applied."""
    connection = apsw.Connection(":memory:")
    for step in steps():
        run_script(connection, step.sql)
        connection.pragma("user_version", step.number)
    return connection


def snapshot(connection: apsw.Connection) -> Snapshot:
    """Everything that makes up the schema of an open file, in one fixed order."""
    tables = {}
    for name, kind, without_rowid in _rows(connection, _TABLES):
        tables[name] = {
            "kind": kind,
            "without_rowid": bool(without_rowid),
            "sql": plain(_rows(connection, _SQL, name)[0][0]),
            "columns": _dicts(connection, _COLUMNS, name),
            "foreign_keys": _dicts(connection, _FOREIGN_KEYS, name),
            "indexes": [_index(connection, row) for row in _dicts(connection, _INDEXES, name)],
            "triggers": {n: plain(sql) for n, sql in _rows(connection, _TRIGGERS, name)},
        }
    return {"version": connection.pragma("user_version"), "tables": tables}


def _index(connection: apsw.Connection, index: dict[str, Any]) -> dict[str, Any]:
    rows = _rows(connection, _SQL, index["name"])  # none for the key of a WITHOUT ROWID table
    columns = [row[0] for row in _rows(connection, _INDEX_COLUMNS, index["name"])]
    return {**index, "columns": columns, "sql": plain(rows[0][0]) if rows and rows[0][0] else None}


def _rows(connection: apsw.Connection, sql: str, *args: str) -> list[Any]:
    return connection.execute(sql, args).fetchall()


def _dicts(connection: apsw.Connection, sql: str, *args: str) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, args)
    try:
        names = [column[0] for column in cursor.get_description()]
    except apsw.ExecutionCompleteError:  # no rows
        return []
    return [dict(zip(names, row, strict=True)) for row in cursor]


def plain(sql: str) -> str:
    """SQL without its comments and line breaks, so that only what SQLite reads is compared."""
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", sql)).strip()


def text(picture: Snapshot) -> str:
    """The picture as JSON with a line for each column, key, index and trigger, for diffs."""
    tables = []
    for name, table in picture["tables"].items():
        parts = [f"   {json.dumps(key)}: {_lines(value)}" for key, value in table.items()]
        tables.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(parts) + "\n  }")
    head = f'{{\n "version": {picture["version"]},\n "tables": {{\n'
    return head + ",\n".join(tables) + "\n }\n}\n"


def _lines(value: Any) -> str:
    if not value or not isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n   ]"
    items = (f"    {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    return "{\n" + ",\n".join(items) + "\n   }"


def shipped() -> Snapshot:
    """The picture that ships with this program."""
    picture: Snapshot = json.loads(PICTURE.read_text("utf-8"))
    return picture


def check(path: Path) -> list[str]:
    """How the file at `path` differs from the shipped picture, one line each; reads only."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return differences(shipped(), snapshot(connection))
    finally:
        connection.close()


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Every place where two pictures differ, as `place: expected …, found …`."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = [*expected, *(key for key in found if key not in expected)]
        pairs = [(key, expected.get(key), found.get(key)) for key in keys]
    elif isinstance(expected, list) and isinstance(found, list):
        pairs = [
            (_name(want, have, number), want, have)
            for number, (want, have) in enumerate(zip_longest(expected, found))
        ]
    elif expected == found:
        return []
    else:
        return [f"{where}: expected {_short(expected)}, found {_short(found)}"]
    lines = []
    for key, want, have in pairs:
        lines += differences(want, have, f"{where}.{key}" if where else str(key))
    return lines


def _name(want: Any, have: Any, number: int) -> Any:
    for item in (want, have):
        if isinstance(item, dict) and "name" in item:
            return item["name"]
    return number


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def checks(sql: str) -> list[str]:
    """The expressions of every CHECK in a CREATE TABLE, columns' and table's, in order."""
    found = []
    for match in re.finditer(r"\bCHECK \(", sql):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        found.append(sql[match.end() : end - 1].strip())
    return found


def docs(picture: Snapshot) -> str:
    """The whole of docs/db.md for a picture; prose comes from the comments above each table."""
    lines = [
        "# Database schema",
        "",
        "Generated by `make schema` from the migrations; do not edit. `holdfast schema check`",
        "compares a live file with it. Times are UTC text `YYYY-MM-DDTHH:MM:SS.sssZ`, and hold a",
        "CHECK that says so; the queue's are INTEGER milliseconds.",
        "",
        f"Schema version {picture['version']}, {len(picture['tables'])} tables and views.",
    ]
    for step in steps():
        about, tables = _prose(step.sql)
        names = [name for name in tables if name in picture["tables"]]
        lines += ["", f"## {step.name[5:].replace('_', ' ').capitalize()}", "", about, ""]
        lines += _diagram({name: picture["tables"][name] for name in names})
        for name in names:
            lines += ["", f"### {name}", "", *_table(picture["tables"][name], tables[name])]
    return "\n".join(lines) + "\n"


def _prose(sql: str) -> tuple[str, dict[str, str]]:
    """What a migration says of itself, and of each table it makes."""
    about = _uncomment(re.match(r"(?:-- .*\n)*", sql))
    tables = {}
    create = r"^((?:-- .*\n)*)CREATE (?:VIRTUAL )?(?:TABLE|VIEW) (\w+)"
    for match in re.finditer(create, sql, re.MULTILINE):
        tables[match[2]] = re.sub(r"^-- ?", "", match[1], flags=re.MULTILINE).replace("\n", " ")
    return about, {name: text.strip() for name, text in tables.items()}


def _uncomment(match: re.Match[str] | None) -> str:
    return re.sub(r"^-- ?", "", match[0] if match else "", flags=re.MULTILINE).strip()


def _diagram(tables: dict[str, Any]) -> list[str]:
    links = [
        f"    {key['table']} ||--o{{ {name} : {key['column']}"
        for name, table in tables.items()
        for key in table["foreign_keys"]
    ]
    return ["```mermaid", "erDiagram", *links, "```"] if links else []


def _table(table: dict[str, Any], about: str) -> list[str]:
    lines = [about, ""] if about else []
    lines += ["| Column | Type | Null | Default | Key |", "|---|---|---|---|---|"]
    foreign = {key["column"]: key for key in table["foreign_keys"]}
    unique = {
        index["columns"][0].split()[0]
        for index in table["indexes"]
        if index["unique"] and not index["partial"] and len(index["columns"]) == 1
    }
    for column in table["columns"]:
        if column["hidden"]:  # a virtual table's own
            continue
        keys = ["PK"] if column["pk"] else ["UNIQUE"] if column["name"] in unique else []
        if key := foreign.get(column["name"]):
            keys.append(f"{key['table']}({key['to']}) ON DELETE {key['on_delete']}")
        null = "no" if column["not_null"] or column["pk"] else "yes"
        default = f"`{column['default']}`" if column["default"] is not None else ""
        cells = (column["name"], column["type"], null, default, ", ".join(keys))
        lines.append("| " + " | ".join(cells) + " |")
    rules = [text for text in checks(table["sql"]) if _TIME_SHAPE not in text]
    lines += _list("Checks", [f"`{text}`" for text in rules])
    lines += _list("Indexes", [_index_line(index) for index in table["indexes"] if index["sql"]])
    return lines + _list("Triggers", [f"`{name}`" for name in table["triggers"]])


def _index_line(index: dict[str, Any]) -> str:
    return f"`{index['name']}`: `{index['sql'].split(' ON ', 1)[1]}`" + (
        " (unique)" if index["unique"] else ""
    )


def _list(title: str, items: list[str]) -> list[str]:
    return ["", f"{title}:", "", *(f"- {item}" for item in items)] if items else []


def write_snapshot() -> None:
    """Write schema.json anew from the migrations."""
    PICTURE.write_text(text(snapshot(migrated())), "utf-8")


def write_docs() -> None:
    """Write docs/db.md anew from the migrations."""
    DOCS.parent.mkdir(exist_ok=True)
    DOCS.write_text(docs(snapshot(migrated())), "utf-8")


def main(words: list[str]) -> int:
    """`snapshot`, `docs`, or `check [file]`; without a file the migrations are checked."""
    match words:
        case ["snapshot"]:
            write_snapshot()
        case ["docs"]:
            write_docs()
        case ["check", *files] if len(files) < 2:
            fresh = differences(shipped(), snapshot(migrated()))
            lines = check(Path(files[0])) if files else fresh
            sys.stdout.writelines(f"{line}\n" for line in lines)
            return 1 if lines else 0
        case _:
            sys.stderr.write("usage: python -m db.schema snapshot | docs | check [file]\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
