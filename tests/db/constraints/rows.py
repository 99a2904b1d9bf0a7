"""Good rows to start from, and short ways to write, ask and be refused."""

from typing import Any

import apsw
import pytest

from db.keys import uuid7

HASH = "a" * 64
VERSION = "S911BXXU1/S911BOXM1/S911BXXU1/S911BXXU1"
OLD = "2020-01-01T00:00:00.000Z"


def insert(live: apsw.Connection, table: str, **values: Any) -> int:
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"
    live.execute(sql, tuple(values.values())).fetchall()
    return live.last_insert_rowid()


def ask(live: apsw.Connection, sql: str, *args: Any) -> list[tuple[Any, ...]]:
    return live.execute(sql, args).fetchall()


def a_user(live: apsw.Connection, login: str = "anna", **values: Any) -> str:
    key = uuid7()
    insert(live, "users", id=key, login=login, **values)
    return key


def a_job(live: apsw.Connection, **values: Any) -> str:
    key = uuid7()
    row = {"id": key, "type": "tickets.download", "runAt": 0, "createdAt": 0, "updatedAt": 0}
    insert(live, "queueJobs", **{**row, **values})
    return key


def a_firmware(live: apsw.Connection, **values: Any) -> int:
    row = {
        "version_code": VERSION,
        "filename": "f.zip.enc4",
        "path": "/neofus/910/",
        "size_bytes": 16,
        "logic_value_factory": "x",
        "latest_fw_version": VERSION,
    }
    return insert(live, "firmware", **{**row, **values})


def a_project(live: apsw.Connection, owner: str, **values: Any) -> str:
    key = uuid7()
    row = {
        "id": key,
        "ownerUserId": owner,
        "name": "Shop",
        "slug": "shop",
        "prompt": "a shop",
        "devPort": 20001,
        "opencodePort": 20002,
        "pathOnDisk": f"files/projects/{key}",
    }
    insert(live, "projects", **{**row, **values})
    return key


def refused(live: apsw.Connection, sql: str, *args: Any) -> str:
    with pytest.raises(apsw.ConstraintError) as caught:
        live.execute(sql, args).fetchall()
    return str(caught.value)
