"""The inbox: notices as rows, for the bell, the corner of the screen, and the list.

Whoever writes one does so in the transaction of what it is about; the change feed tells the pages.
Who carries notices further (mail and the like) is told in that same transaction: `carry`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from app.core.i18n import _
from db import clock
from db.engine import DB
from db.keys import uuid7

Level = Literal["info", "good", "warn", "error"]
LOOKS = {"info": "ready", "good": "success", "warn": "held", "error": "failed"}
UNREAD_LIMIT = 100

_INSERT = """
INSERT INTO notifications (id, user_id, kind, level, title, params, link, dedupe)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user_id, kind, dedupe) DO NOTHING
"""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an inbox, in the reader's language. `link` starts at our own root, or is ""."""

    id: str
    kind: str
    level: Level
    look: str
    text: str
    link: str
    at: str
    is_read: bool


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that has just come into an inbox, for who carries it further."""

    id: str
    user_id: str
    kind: str
    link: str
    dedupe: str | None


Carrier = Callable[[Told], Awaitable[None]]
_carriers: list[Carrier] = []


def carry(carrier: Carrier) -> Carrier:
    """Have `carrier` told of each new notice, in the transaction that writes it."""
    _carriers.append(carrier)
    return carrier


async def tell(
    user_id: str,
    kind: str,
    title: str,
    *,
    level: Level = "info",
    link: str = "",
    dedupe: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> bool:
    """One notice for one person, joins the open transaction; False if they have it already.

    `title` is a `mark()`ed message, `params` fill its places when it is shown.
    """
    told = Told(id=uuid7(), user_id=user_id, kind=kind, link=link, dedupe=dedupe)
    row = (told.id, user_id, kind, level, title, json.dumps(params or {}), link, dedupe)
    async with DB.tx():
        if not await DB.execute(_INSERT, row):
            return False
        for carrier in _carriers:
            await carrier(told)
    return True


async def get_notices(
    user_id: str, first: str, *, last: str = "", limit: int = 1000
) -> list[Notice]:
    """The notices from id `first` to `last` (empty: to the newest), oldest first."""
    rows = await DB.all(
        "SELECT * FROM notifications WHERE user_id = ?1 AND id >= ?2 AND (?3 = '' OR id <= ?3)"
        " ORDER BY id LIMIT ?4",
        (user_id, first, last, limit),
    )
    return [_notice(row) for row in rows]


async def list_notices(user_id: str, *, before: str = "", limit: int = 50) -> list[Notice]:
    """The inbox, newest first; `before`: the last id of the page above."""
    rows = await DB.all(
        "SELECT * FROM notifications WHERE user_id = ?1 AND (?2 = '' OR id < ?2)"
        " ORDER BY created_at DESC, id DESC LIMIT ?3",
        (user_id, before, limit),
    )
    return [_notice(row) for row in rows]


async def list_new(user_id: str, after: str, limit: int = 4) -> list[Notice]:
    """What came after the notice `after` and was not read yet, oldest first."""
    rows = await DB.all(
        "SELECT * FROM notifications WHERE user_id = ? AND read_at IS NULL AND id > ?"
        " ORDER BY id LIMIT ?",
        (user_id, after, limit),
    )
    return [_notice(row) for row in rows]


async def open_notice(user_id: str, notice_id: str) -> str | None:
    """Mark one notice as read and say where it leads; None if this person has no such notice."""
    await mark_read(user_id, notice_id)
    link = await DB.value(
        "SELECT link FROM notifications WHERE user_id = ? AND id = ?", (user_id, notice_id)
    )
    return None if link is None else str(link)


async def mark_read(user_id: str, notice_id: str = "") -> int:
    """Mark one notice, or without an id all of them; how many were unread before."""
    return await DB.execute(
        "UPDATE notifications SET read_at = ?1 WHERE user_id = ?2 AND read_at IS NULL"
        " AND (?3 = '' OR id = ?3)",
        (clock.text(), user_id, notice_id),
    )


def _notice(row: Mapping[str, Any]) -> Notice:
    link = str(row["link"])
    return Notice(
        id=row["id"],
        kind=row["kind"],
        level=row["level"],
        look=LOOKS[row["level"]],
        text=_worded(row["title"], json.loads(row["params"])),
        link=link if link.startswith("/") and not link.startswith(("//", "/\\")) else "",
        at=row["created_at"],
        is_read=row["read_at"] is not None,
    )


def _worded(title: str, params: dict[str, Any]) -> str:
    try:
        return _(title, **params)
    except (KeyError, TypeError, ValueError):
        # Written by an older version with other places: the bare sentence still says enough.
        return _(title)
