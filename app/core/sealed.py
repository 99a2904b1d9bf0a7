"""Where sealed values stand: found by looking at the database, so that no column is forgotten.

Every text column of a table with a key of one column may hold vault text; the key is the name the
value was sealed for.
"""

from typing import Any

import msgspec

from db.engine import DB

# Large tables that never hold a secret by rule: payloads and logs pass the redactor.
NEVER = ("queue", "job_", "audit_log", "sqlite_")
# The text of a person may look like vault text; it does not name one of our data keys.
_IS = "{0} GLOB 'hf1.*' AND substr({0}, 5, 36) IN (SELECT id FROM vault_keys)"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A column that holds vault text, and the key of its table."""

    table: str
    column: str
    key: str
    required: bool


class Row(msgspec.Struct, frozen=True):
    """One sealed value. `row_id` orders the rows for paging."""

    row_id: Any
    pk: Any
    text: str


async def places() -> list[Place]:
    """Every column that holds at least one sealed value now, in a fixed order."""
    columns = await DB.all(
        'SELECT m.name AS "table", c.name AS "column", c."notnull" AS required,'
        " (SELECT k.name FROM pragma_table_info(m.name) k WHERE k.pk = 1) AS key,"
        " (SELECT count(*) FROM pragma_table_info(m.name) k WHERE k.pk > 0) AS keys"
        " FROM sqlite_schema m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND upper(c.type) = 'TEXT' AND c.pk = 0 ORDER BY 1, 2"
    )
    found = []
    for row in columns:
        if row["keys"] != 1 or row["table"].startswith(NEVER):
            continue
        place = Place(
            table=row["table"],
            column=row["column"],
            key=row["key"],
            required=bool(row["required"]),
        )
        if await DB.value(
            f"SELECT 1 FROM {_q(place.table)} WHERE {_is(place)} LIMIT 1"  # noqa: S608 - names from the schema
        ):
            found.append(place)
    return found


async def count(place: Place) -> dict[str, int]:
    """How many values are under which data key."""
    rows = await DB.all(
        f"SELECT substr({_q(place.column)}, 5, 36) AS key, count(*) AS n"  # noqa: S608
        f" FROM {_q(place.table)} WHERE {_is(place)} GROUP BY 1"
    )
    return {row["key"]: row["n"] for row in rows}


async def behind(place: Place, active: str, after: Any, limit: int) -> list[Row]:
    """Values under another key than `active`, in the order of their keys, after that one."""
    column, key = _q(place.column), _q(place.key)
    rows = await DB.all(
        f"SELECT {key} AS pk, {column} AS text FROM {_q(place.table)}"  # noqa: S608
        f" WHERE {_is(place)} AND substr({column}, 5, 36) <> ?1"
        f" AND (?2 IS NULL OR {key} > ?2) ORDER BY {key} LIMIT ?3",
        (active, after, limit),
    )
    return [Row(row["pk"], row["pk"], row["text"]) for row in rows]


async def put(place: Place, row: Row, text: str) -> None:
    """Replace one value, if it is still the one that was read."""
    column = _q(place.column)
    await DB.execute(
        f"UPDATE {_q(place.table)} SET {column} = ? WHERE {_q(place.key)} = ? AND {column} = ?",  # noqa: S608
        (text, row.pk, row.text),
    )


async def unset(place: Place) -> int:
    """Empty the column wherever it is sealed; a row that cannot do without goes. How many."""
    table = _q(place.table)
    if place.required:
        return await DB.execute(f"DELETE FROM {table} WHERE {_is(place)}")  # noqa: S608
    return await DB.execute(
        f"UPDATE {table} SET {_q(place.column)} = NULL WHERE {_is(place)}"  # noqa: S608
    )


def _is(place: Place) -> str:
    return _IS.format(_q(place.column))


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
