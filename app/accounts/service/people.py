"""Everybody with an account, for admins: searching, one person's card, who let whom in."""

import json
from datetime import datetime
from typing import Any

import msgspec

from app.core.errors import NotFound
from app.core.ordering import Came, order_by
from db.engine import DB

STATES = {
    "": "u.deleted_at IS NULL",
    "admin": "u.deleted_at IS NULL AND u.role = 'admin'",
    "disabled": "u.deleted_at IS NULL AND u.is_active = 0",
    "closed": "u.deleted_at IS NOT NULL",
}

ORDERS = {
    "name": ("u.login COLLATE NOCASE", "u.id"),
    "made": ("u.created_at", "u.id"),
    "inviter": ("i.login COLLATE NOCASE", "u.login COLLATE NOCASE"),
    "seen": ("u.last_login_at", "u.login COLLATE NOCASE"),
}
USUAL = "name"

_COLUMNS = """
SELECT u.id, u.login, coalesce(u.email, '') AS email, u.role, u.flags, u.is_active = 1 AS active,
  u.is_setup_admin = 1 AS first, u.created_at, u.last_login_at, u.deleted_at,
  coalesce(i.login, '') AS invited_by, u.invited_by AS inviter_id,
  (SELECT count(*) FROM sessions s WHERE s.userId = u.id AND s.authLevel > 0) AS sessions,
  EXISTS (SELECT 1 FROM totp_secrets t WHERE t.user_id = u.id AND t.confirmed_at IS NOT NULL)
    OR EXISTS (SELECT 1 FROM passkeys p WHERE p.user_id = u.id) AS second_factor
FROM users u LEFT JOIN users i ON i.id = u.invited_by
"""
_FOUND = (
    "(:q = '' OR instr(lower(u.login || ' ' || coalesce(u.email, '')), lower(:q)) > 0 OR u.id = :q)"
)


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One account as an admin sees it. `domains` None: all that are switched on."""

    id: str
    login: str
    email: str
    role: str
    domains: tuple[str, ...] | None
    active: bool
    first: bool
    created_at: datetime
    last_login_at: datetime | None
    deleted_at: datetime | None
    invited_by: str
    inviter_id: str | None
    sessions: int
    second_factor: bool


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody this person let in."""

    id: str
    login: str
    created_at: datetime


class PersonList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list, and how many the same search finds in each state."""

    rows: list[Person]
    counts: dict[str, int]
    total: int
    came: Came


async def list_people(
    *,
    state: str = "",
    q: str = "",
    sort: str = USUAL,
    upto: str = "",
    limit: int = 50,
    offset: int = 0,
) -> PersonList:
    """Sorted by one of `ORDERS`. `q` is looked for in login and e-mail; an id finds its person.

    `upto`: only who was there when the list was opened; the rest is counted.
    """
    state = state if state in STATES else ""
    args = {"q": q.strip(), "limit": limit, "offset": offset, "upto": upto}
    where = f"{STATES[state]} AND {_FOUND}"
    rows = await DB.all(
        f"{_COLUMNS} WHERE {where} AND (:upto = '' OR u.created_at <= :upto)"
        f" ORDER BY {order_by(sort, ORDERS, USUAL)} LIMIT :limit OFFSET :offset",
        args,
    )
    came = await DB.one(
        "SELECT coalesce(max(u.created_at), '') AS newest,"  # noqa: S608 - constants
        " count(*) FILTER (WHERE :upto <> '' AND u.created_at > :upto) AS newer"
        f" FROM users u WHERE {where}",
        args,
    )
    counts = {
        name: int(
            await DB.value(
                f"SELECT count(*) FROM users u WHERE {where} AND {_FOUND}",  # noqa: S608 - constants
                {"q": q.strip()},
            )
        )
        for name, where in STATES.items()
    }
    return PersonList(
        rows=[_person(row) for row in rows],
        counts=counts,
        total=counts[state],
        came=msgspec.convert(came, Came),
    )


async def get_person(user_id: str) -> Person:
    """One of them, closed ones too. Raises NotFound."""
    row = await DB.one(f"{_COLUMNS} WHERE u.id = ?", (user_id,))
    if row is None:
        raise NotFound
    return _person(row)


async def list_guests(user_id: str) -> list[Guest]:
    """Whom this person let in, newest first."""
    rows = await DB.all(
        "SELECT id, login, created_at FROM users WHERE invited_by = ?"
        " ORDER BY created_at DESC, id LIMIT 200",
        (user_id,),
    )
    return msgspec.convert(rows, list[Guest])


def _person(row: dict[str, Any]) -> Person:
    chosen = json.loads(row["flags"]).get("domains")
    domains = tuple(chosen) if isinstance(chosen, list) else None
    return msgspec.convert(row | {"domains": domains}, Person, strict=False)
