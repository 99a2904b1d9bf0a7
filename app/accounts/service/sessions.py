"""Sessions: one row per signed-in browser, found by the hash of its token.

`expiresAt` is the moment a session ends if nobody comes back; each noted visit moves it, never past
the absolute end.
"""

import json
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

from app.core import audit, settings
from app.core.errors import NotFound
from db import clock
from db.engine import DB
from db.failpoints import afailpoint
from db.keys import uuid7

NOTE_EVERY = timedelta(minutes=5)
ROTATE_EVERY = timedelta(hours=24)
GRACE = timedelta(seconds=60)
MOST = 20
HALF_WAY = timedelta(minutes=10)  # for the second factor

# Which index is said: statistics of a young house (one session, one person) make SQLite read whole
# tables instead, and they are renewed once a day only.
_COLUMNS = """
SELECT s.id, s.userId, s.tokenHash, s.expiresAt, s.createdAt, s.lastSeenAt, s.rotatedAt,
       s.authLevel, s.reauthAt, s.remember, u.login, u.role, u.flags, u.locale, u.is_active,
       u.deleted_at, p.theme, p.timeZone,
       (SELECT value FROM configuration WHERE key = 'domains.enabled') AS enabled
"""
_PERSON = """
CROSS JOIN users u INDEXED BY sqlite_autoindex_users_1 ON u.id = s.userId
LEFT JOIN userSettings p INDEXED BY sqlite_autoindex_userSettings_1 ON p.userId = s.userId
"""
_OWNER = """
SELECT '' AS id, u.id AS userId, 1 AS authLevel, NULL AS reauthAt, 0 AS remember, u.login, u.role,
       u.flags, u.locale, u.is_active, u.deleted_at, p.theme, p.timeZone,
       (SELECT value FROM configuration WHERE key = 'domains.enabled') AS enabled
FROM users u LEFT JOIN userSettings p ON p.userId = u.id
"""
_READ = f"""
{_COLUMNS}
FROM (SELECT * FROM sessions INDEXED BY sqlite_autoindex_sessions_2 WHERE tokenHash = :hash
      UNION ALL SELECT * FROM sessions INDEXED BY sessions_prev
      WHERE prevTokenHash = :hash AND prevValidUntil > :now) s
{_PERSON}
"""  # noqa: S608 - constants
_READ_BY_ID = f"{_COLUMNS} FROM sessions s {_PERSON} WHERE s.id = :id"


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Who came, and the token to hand out in place of the one that was shown, if it was due."""

    id: str
    login: str
    role: str
    domains: tuple[str, ...]
    locale: str
    theme: str
    time_zone: str
    session_id: str
    auth_level: int
    reauth_at: str | None
    remember: bool
    new_token: str | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list "where you are signed in"."""

    id: str
    ip: str
    user_agent: str
    created_at: datetime
    last_seen_at: datetime
    remember: bool
    is_current: bool


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """From where somebody signs in.

    `token`: the session cookie they came with; it is worth nothing afterwards.
    """

    ip: str = ""
    user_agent: str = ""
    token: str | None = None


async def start_session(
    user_id: str, caller: Caller, *, remember: bool = False, auth_level: int = 1
) -> str:
    """Sign `user_id` in; returns the new token, which is stored nowhere.

    Joins the open transaction.
    """
    token, now = secrets.token_urlsafe(32), clock.now()
    async with DB.tx():
        ends = clock.text(now + HALF_WAY)
        if auth_level > 0:
            ends = await _end(now, now, remember=remember)
        if caller.token:
            await DB.execute(
                "DELETE FROM sessions WHERE tokenHash = ?", (hash_token(caller.token),)
            )
        await DB.execute(
            "INSERT INTO sessions (id, userId, tokenHash, expiresAt, createdAt, lastSeenAt,"
            " rotatedAt, authLevel, reauthAt, ip, userAgent, remember) VALUES (:id, :user, :hash,"
            " :ends, :now, :now, :now, :level, :now, :ip, :agent, :remember)",
            {
                "id": uuid7(),
                "user": user_id,
                "hash": hash_token(token),
                "ends": ends,
                "now": clock.text(now),
                "level": auth_level,
                "ip": caller.ip,
                "agent": caller.user_agent[:400],
                "remember": int(remember),
            },
        )
        await DB.execute(
            "DELETE FROM sessions WHERE userId = ?1 AND id NOT IN"
            " (SELECT id FROM sessions WHERE userId = ?1"
            " ORDER BY authLevel > 0 DESC, lastSeenAt DESC, id DESC LIMIT ?2)",
            (user_id, MOST),
        )
    return token


async def read_session(token: str) -> Visit | None:
    """Who holds `token`, by one read.

    Now and then the visit is noted or the token renewed; a dead session goes.
    """
    now = clock.now()
    hashed = hash_token(token)
    row = await DB.one(_READ, {"hash": hashed, "now": clock.text(now)})
    if row is None:
        return None
    if row["expiresAt"] <= clock.text(now) or not row["is_active"] or row["deleted_at"]:
        await DB.execute("DELETE FROM sessions WHERE id = ?", (row["id"],))
        return None
    new_token = None
    if row["authLevel"] == 0:
        return _visit(row, None)
    if hashed == row["tokenHash"] and _is_over(
        row["rotatedAt"] or row["createdAt"], ROTATE_EVERY, now
    ):
        new_token = await _rotate(row, now)
    elif _is_over(row["lastSeenAt"], NOTE_EVERY, now):
        await _note(row, now)
    return _visit(row, new_token)


async def read_by_id(session_id: str) -> Visit | None:
    """What `read_session` would find now, for a stream that was opened by it; changes nothing."""
    now = clock.text()
    row = await DB.one(_READ_BY_ID, {"id": session_id})
    if row is None or row["expiresAt"] <= now or not row["is_active"] or row["deleted_at"]:
        return None
    return _visit(row, None)


async def renew(session_id: str, *, auth_level: int = 0) -> tuple[str, bool]:
    """A new token for a session whose person just proved who they are; and whether it stays.

    The old token dies at once. `auth_level` is never lowered. Raises NotFound for one that is over.
    """
    token, now = secrets.token_urlsafe(32), clock.text()
    row = await DB.one(
        "UPDATE sessions SET tokenHash = :hash, prevTokenHash = NULL, prevValidUntil = NULL,"
        " rotatedAt = :now, reauthAt = :now, authLevel = max(authLevel, :level)"
        " WHERE id = :id AND authLevel > 0 AND expiresAt > :now RETURNING remember",
        {"hash": hash_token(token), "now": now, "level": auth_level, "id": session_id},
    )
    if row is None:
        raise NotFound
    return token, bool(row["remember"])


async def end_pending(session_id: str) -> None:
    """End a session that still waits for its second factor."""
    await DB.execute("DELETE FROM sessions WHERE id = ? AND authLevel = 0", (session_id,))


async def read_owner(user_id: str) -> Visit | None:
    """A person as a session of theirs would find them, for a token that acts in their name."""
    row = await DB.one(f"{_OWNER} WHERE u.id = ?", (user_id,))
    if row is None or not row["is_active"] or row["deleted_at"]:
        return None
    return _visit(row, None)


async def end_session(session_id: str, *, ip: str = "") -> None:
    """Sign out. Ending what has ended already is fine."""
    async with DB.tx():
        row = await DB.one("DELETE FROM sessions WHERE id = ? RETURNING userId", (session_id,))
        if row is not None:
            await audit.record(
                "session.ended",
                actor_id=row["userId"],
                ip=ip,
                object_type="session",
                object_id=session_id,
            )


async def end_sessions(
    user_id: str,
    *,
    but: str = "",
    actor_id: str | None = None,
    kind: str = "user",
    ip: str = "",
) -> int:
    """Sign `user_id` out everywhere, or everywhere `but` in one session; returns how many ended."""
    async with DB.tx():
        ended = await DB.execute(
            "DELETE FROM sessions WHERE userId = ? AND id <> ?", (user_id, but)
        )
        await afailpoint("session_during_sign_out_everywhere")
        if ended:
            await audit.record(
                "session.all_ended",
                actor_id=actor_id or (user_id if kind == "user" else None),
                actor_kind=kind,
                ip=ip,
                object_type="user",
                object_id=user_id,
                detail={"count": ended},
            )
    return ended


async def list_devices(user_id: str, current_id: str = "") -> list[Device]:
    """Where `user_id` is signed in, last seen first."""
    rows = await DB.all(
        "SELECT id, coalesce(ip, '') AS ip, coalesce(userAgent, '') AS user_agent,"
        " createdAt AS created_at, lastSeenAt AS last_seen_at, remember = 1 AS remember,"
        " id = ?2 AS is_current"
        " FROM sessions WHERE userId = ?1 AND expiresAt > ?3 AND authLevel > 0"
        " ORDER BY lastSeenAt DESC, id DESC",
        (user_id, current_id, clock.text()),
    )
    return msgspec.convert(rows, list[Device], strict=False)


async def end_device(user_id: str, session_id: str, *, ip: str = "") -> None:
    """Sign `user_id` out on one device. Raises NotFound for a session that is not theirs."""
    if not await DB.value(
        "SELECT 1 FROM sessions WHERE id = ? AND userId = ?", (session_id, user_id)
    ):
        raise NotFound
    await end_session(session_id, ip=ip)


async def sweep() -> int:
    """Delete sessions that are over; returns how many."""
    return await DB.execute("DELETE FROM sessions WHERE expiresAt <= ?", (clock.text(),))


def hash_token(token: str) -> str:
    """What the database knows of a token.

    With 256 random bits, plain SHA-256 cannot be turned around.
    """
    return sha256(token.encode()).hexdigest()


async def _rotate(row: dict[str, Any], now: datetime) -> str | None:
    """A new token; the old one holds for the grace time.

    None where a parallel request was first.
    """
    token = secrets.token_urlsafe(32)
    changed = await DB.execute(
        "UPDATE sessions SET tokenHash = :new, prevTokenHash = :old, prevValidUntil = :grace,"
        " rotatedAt = :now, lastSeenAt = :now, expiresAt = :ends"
        " WHERE id = :id AND tokenHash = :old",
        {
            "new": hash_token(token),
            "old": row["tokenHash"],
            "grace": clock.text(now + GRACE),
            "now": clock.text(now),
            "ends": await _end(clock.parse(row["createdAt"]), now, remember=bool(row["remember"])),
            "id": row["id"],
        },
    )
    await afailpoint("session_after_rotate")
    return token if changed else None


async def _note(row: dict[str, Any], now: datetime) -> None:
    ends = await _end(clock.parse(row["createdAt"]), now, remember=bool(row["remember"]))
    await DB.execute(
        "UPDATE sessions SET lastSeenAt = ?, expiresAt = ? WHERE id = ? AND lastSeenAt = ?",
        (clock.text(now), ends, row["id"], row["lastSeenAt"]),
    )


async def _end(created: datetime, seen: datetime, *, remember: bool) -> str:
    if remember:
        idle = timedelta(days=await settings.get("accounts.remember_idle_days"))
        absolute = timedelta(days=await settings.get("accounts.remember_absolute_days"))
    else:
        idle = timedelta(hours=await settings.get("accounts.idle_hours"))
        absolute = timedelta(days=await settings.get("accounts.absolute_days"))
    return clock.text(min(created + absolute, seen + idle))


def _is_over(since: str, span: timedelta, now: datetime) -> bool:
    return now - clock.parse(since) >= span


def _visit(row: dict[str, Any], new_token: str | None) -> Visit:
    return Visit(
        id=row["userId"],
        login=row["login"],
        role=row["role"],
        domains=_domains(row),
        locale=row["locale"],
        theme=row["theme"] or "auto",
        time_zone=row["timeZone"] or "",
        session_id=row["id"],
        auth_level=row["authLevel"],
        reauth_at=row["reauthAt"],
        remember=bool(row["remember"]),
        new_token=new_token,
    )


def _domains(row: dict[str, Any]) -> tuple[str, ...]:
    """What is switched on, less what this person may not use; an admin may use all of it."""
    given = settings.outside("domains.enabled")
    enabled: tuple[str, ...] = settings.DOMAINS if given is None else given
    if given is None and row["enabled"] is not None:
        with suppress(ValueError):  # edited by hand: counts as unset, as in the settings themselves
            enabled = settings.parse(settings.registry()["domains.enabled"], row["enabled"])
    allowed = json.loads(row["flags"]).get("domains")
    if row["role"] == "admin" or not isinstance(allowed, list):
        return tuple(enabled)
    return tuple(name for name in enabled if name in allowed)
