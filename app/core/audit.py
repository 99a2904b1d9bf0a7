"""Who did what: rows that are added, cut from the old end by rule, and otherwise missed when gone.

Each row carries an HMAC over itself and the row before it. The key comes from the vault, so whoever
can only write to the database cannot mend the chain after changing it.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import apsw

from app.core import logs, vault
from db import clock
from db.engine import DB

COLUMNS: Final = (
    "id, at, actor_id, actor_kind, ip, action, object_type, object_id, detail, request_id,"
    " prev_hash, hash"
)
CUT: Final = "audit.cut"
START: Final = "audit-start"


async def record(
    action: str,
    *,
    actor_id: str | None,
    actor_kind: str = "user",
    ip: str = "",
    object_type: str = "",
    object_id: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add one row, in the caller's transaction if one is open: what is rolled back was not done.

    `detail` passes the redactor; ids are better there than texts.
    """
    key = vault.derive("audit")
    body = json.dumps(
        logs.clean(detail or {}), ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    row = (
        clock.text(),
        actor_id,
        actor_kind,
        ip,
        action,
        object_type,
        object_id,
        body,
        logs.request_id.get(),
    )
    await DB.write(lambda connection: _append(connection, key, row))


async def begin_anew() -> None:
    """After the vault's keys were lost: the chain hangs on the last row there is, sealed.

    Rows before it can no longer be checked. Joins the open transaction.
    """
    last = await DB.one("SELECT id, hash FROM audit_log ORDER BY id DESC LIMIT 1")
    if last is None:
        return
    start = vault.seal("vault_meta", "value", START, f"{last['id']} {last['hash']}")
    await DB.execute("INSERT INTO vault_meta (key, value) VALUES (?, ?)", (START, start))


async def verify() -> int | None:
    """Walk the chain: the first id that was changed, added, moved or is missing.

    None if all is whole.
    """
    key = vault.derive("audit")
    row = await DB.one("SELECT value FROM vault_meta WHERE key = ?", (START,))
    start = (0, "")
    if row is not None:
        words = vault.open("vault_meta", "value", START, row["value"]).reveal().split(" ")
        start = (int(words[0]), words[1])
    return await DB.read(lambda connection: _first_bad(connection, key, start))


async def cut(before: datetime) -> int:
    """Remove all rows older than `before` and say so in a row that the chain then hangs on.

    Returns how many.
    Whole months are the caller's rule. Safe to repeat: with nothing to remove nothing is written.
    """
    async with DB.tx():
        last = await DB.one(
            "SELECT id, hash FROM audit_log"
            " WHERE id < (SELECT min(id) FROM audit_log WHERE at >= ?) ORDER BY id DESC LIMIT 1",
            (clock.text(before),),
        )
        if last is None:
            return 0
        await record(
            CUT,
            actor_id=None,
            actor_kind="system",
            detail={"last_id": last["id"], "last_hash": last["hash"]},
        )
        return await DB.execute("DELETE FROM audit_log WHERE id <= ?", (last["id"],))


def _append(connection: apsw.Connection, key: bytes, row: tuple[Any, ...]) -> None:
    last = connection.execute("SELECT id, hash FROM audit_log ORDER BY id DESC LIMIT 1").fetchone()
    new_id = max(_sequence(connection), last[0] if last else 0) + 1
    prev_hash = last[1] if last else ""
    full = (new_id, *row)
    connection.execute(
        f"INSERT INTO audit_log ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
        (*full, prev_hash, _hash(key, prev_hash, full)),
    ).fetchall()


def _first_bad(
    connection: apsw.Connection, key: bytes, start: tuple[int, str] = (0, "")
) -> int | None:
    # Asked before the rows: a row added meanwhile is one too many, never one missing.
    highest = _sequence(connection)
    anchors = {(start[0] + 1, start[1])} | _anchors(connection)
    expected, prev_hash = None, ""
    for row in _rows(connection, start[0]):
        *body, row_prev, row_hash = row
        if expected is None:
            expected = row[0]
            if (row[0], row_prev) not in anchors:
                return max((first for first, _ in anchors if first <= row[0]), default=1)
            prev_hash = row_prev
        if row[0] != expected:
            return int(expected)
        if row_prev != prev_hash or row_hash != _hash(key, prev_hash, tuple(body)):
            return int(row[0])
        expected, prev_hash = row[0] + 1, row_hash
    following = expected or start[0] + 1
    return following if highest >= following else None


def _anchors(connection: apsw.Connection) -> set[tuple[int, str]]:
    """Where the chain may begin: the rows after each cut.

    They are part of the chain, so a forged one is found.
    """
    found = connection.execute(
        "SELECT detail ->> 'last_id', detail ->> 'last_hash' FROM audit_log WHERE action = ?",
        (CUT,),
    ).fetchall()
    return {(last + 1, str(digest)) for last, digest in found if isinstance(last, int)}


def _rows(connection: apsw.Connection, after: int) -> Iterator[tuple[Any, ...]]:
    sql = f"SELECT {COLUMNS} FROM audit_log WHERE id > ? ORDER BY id"  # noqa: S608 - a constant
    return connection.execute(sql, (after,))


def _sequence(connection: apsw.Connection) -> int:
    """The highest id ever given out, also if its row is gone."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit_log'").fetchone()
    return int(row[0]) if row else 0


def _hash(key: bytes, prev_hash: str, row: tuple[Any, ...]) -> str:
    # A column that was turned into bytes by hand must spoil the hash, not the walk: `repr` writes
    # anything.
    canonical = json.dumps(row, ensure_ascii=True, separators=(",", ":"), default=repr)
    return hmac.new(key, f"{prev_hash}{canonical}".encode(), hashlib.sha256).hexdigest()
