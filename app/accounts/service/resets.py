"""A new password for who lost theirs: by a link an admin made, or by whoever runs the server."""

import secrets
from datetime import datetime, timedelta

import msgspec

from app.accounts.service import notices, passwords, sessions, throttle, tokens, users
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import audit
from app.core.errors import AppError, NotFound
from app.core.i18n import _, mark
from db import clock
from db.engine import DB
from db.failpoints import afailpoint

LIFE = timedelta(hours=1)
UNKNOWN = mark("This reset link is not known. Ask an admin for a new one.")
OVER = mark("This reset link was used before, or its hour is over. Ask an admin for a new one.")

_OPEN = """
SELECT r.user_id, u.login, coalesce(u.email, '') AS email, r.used_at, r.expires_at
FROM reset_links r JOIN users u ON u.id = r.user_id
WHERE r.token_hash = ? AND u.is_active = 1 AND u.deleted_at IS NULL
"""


class ResetOver(AppError):
    """A link that was good once."""

    status = 410


class ResetLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link just made. `secret` is shown once and stored nowhere."""

    secret: str
    expires_at: datetime


async def make_link(admin_id: str, user_id: str, *, ip: str = "") -> ResetLink:
    """A link that sets a new password once, within an hour; older ones of theirs are void.

    The second factor stays as it is. Raises NotFound.
    """
    secret, expires_at = secrets.token_urlsafe(32), clock.now() + LIFE
    async with DB.tx():
        if not await DB.value(
            "SELECT 1 FROM users WHERE id = ? AND is_active = 1 AND deleted_at IS NULL", (user_id,)
        ):
            raise NotFound
        await DB.execute(
            "DELETE FROM reset_links WHERE user_id = ? AND used_at IS NULL", (user_id,)
        )
        await DB.execute(
            "INSERT INTO reset_links (token_hash, user_id, created_by, expires_at)"
            " VALUES (?, ?, ?, ?)",
            (sessions.hash_token(secret), user_id, admin_id, clock.text(expires_at)),
        )
        await audit.record(
            "reset.link_made", actor_id=admin_id, ip=ip, object_type="user", object_id=user_id
        )
    return ResetLink(secret=secret, expires_at=expires_at)


async def look_at(secret: str, ip: str = "") -> str:
    """The login the link is for, unchanged by looking. Raises NotFound, ResetOver, Throttled."""
    return str((await _open_link(secret, ip))["login"])


async def redeem(
    secret: str, password: str, caller: Caller, *, hasher: Hasher | None = None
) -> str:
    """Set the new password; every session ends. Returns the account's id.

    Raises Invalid, NotFound, ResetOver, Throttled, Busy. Of two at once one wins.
    """
    row = await _open_link(secret, caller.ip)
    await passwords.check_password(password, row["login"], row["email"])
    hasher = hasher or await passwords.current_hasher()
    hashed = await hasher.hash(password)
    async with DB.tx():
        used = await DB.execute(
            "UPDATE reset_links SET used_at = :now"
            " WHERE token_hash = :hash AND used_at IS NULL AND expires_at > :now",
            {"now": clock.text(), "hash": sessions.hash_token(secret)},
        )
        if not used:
            raise ResetOver(_(OVER))
        await afailpoint("reset_after_mark")
        await _set(row["user_id"], hashed, actor_id=row["user_id"], kind="user", ip=caller.ip)
        await afailpoint("reset_before_commit")
    return str(row["user_id"])


async def set_password(login: str, password: str, *, hasher: Hasher | None = None) -> str:
    """For whoever runs the server: a new password for `login`; every session ends.

    Raises NotFound, Invalid.
    """
    found = await users.find_by_login(login)
    if found is None:
        raise NotFound(_("There is no active account of that name."))
    await passwords.check_password(password, found.login)
    hasher = hasher or await passwords.current_hasher()
    hashed = await hasher.hash(password)
    async with DB.tx():
        await _set(found.id, hashed, actor_id=None, kind="cli", ip="")
    return found.id


async def sweep() -> int:
    """Delete links that are over for a day; returns how many."""
    old = clock.text(clock.now() - timedelta(days=1))
    return await DB.execute("DELETE FROM reset_links WHERE expires_at < ?", (old,))


async def _open_link(secret: str, ip: str) -> dict[str, str]:
    here = ("code", throttle.network(ip))
    await throttle.refuse_if_blocked(*here)
    row = await DB.one(_OPEN, (sessions.hash_token(secret),))
    if row is None:
        await throttle.take(here)
        raise NotFound(_(UNKNOWN))
    if row["used_at"] or row["expires_at"] <= clock.text():
        raise ResetOver(_(OVER))
    return row


async def _set(user_id: str, hashed: str, *, actor_id: str | None, kind: str, ip: str) -> None:
    await DB.execute("UPDATE users SET password_hash = ? WHERE id = ?", (hashed, user_id))
    await DB.execute("DELETE FROM reset_links WHERE user_id = ? AND used_at IS NULL", (user_id,))
    await sessions.end_sessions(user_id, actor_id=actor_id, kind=kind, ip=ip)
    # Whoever knew the old password may have made some: what they opened is over, too.
    await tokens.revoke_all(user_id, actor_id=actor_id, kind=kind, ip=ip)
    await audit.record(
        "user.password_reset",
        actor_id=actor_id,
        actor_kind=kind,
        ip=ip,
        object_type="user",
        object_id=user_id,
    )
    await notices.tell(user_id, "security", mark("Your password was reset."))
