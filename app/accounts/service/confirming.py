"""Showing once more who one is, before admin and security pages open."""

import msgspec

from app.accounts.service import passwords, sessions, throttle
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import audit
from app.core.errors import Invalid, NotFound
from app.core.i18n import _
from db.engine import DB


class Renewed(msgspec.Struct, frozen=True, kw_only=True):
    """The session's new token; the old one is worth nothing."""

    token: str
    remember: bool


async def check_own_password(
    user_id: str, password: str, caller: Caller, *, field: str = "password", hasher: Hasher
) -> str:
    """The stored hash, if the password is theirs. Wrong ones count as at the door.

    Raises Invalid(field=…), Throttled, Busy, NotFound.
    """
    row = await DB.one(
        "SELECT password_hash FROM users WHERE id = ? AND deleted_at IS NULL", (user_id,)
    )
    if row is None:
        raise NotFound
    here = ("login_ip", f"{user_id} {throttle.network(caller.ip)}")
    await throttle.take(here)
    try:
        right = await hasher.verify(row["password_hash"], password)
    except passwords.Busy:
        await throttle.give_back(here)
        raise
    if not right or row["password_hash"] is None:
        await audit.record(
            "user.password_refused",
            actor_id=user_id,
            ip=caller.ip,
            object_type="user",
            object_id=user_id,
        )
        raise Invalid(**{field: _("This is not your password.")})
    await throttle.clear(*here)
    return str(row["password_hash"])


async def confirm(
    user_id: str,
    session_id: str,
    password: str,
    caller: Caller,
    *,
    hasher: Hasher | None = None,
) -> Renewed:
    """For 15 minutes admin and security pages open; the session gets a new token.

    Raises Invalid, Throttled, Busy, NotFound.
    """
    hasher = hasher or await passwords.current_hasher()
    await check_own_password(user_id, password, caller, hasher=hasher)
    async with DB.tx():
        renewed = await renew(session_id)
        await audit.record(
            "session.confirmed",
            actor_id=user_id,
            ip=caller.ip,
            object_type="session",
            object_id=session_id,
        )
    return renewed


async def renew(session_id: str, *, auth_level: int = 0) -> Renewed:
    """A fresh token for a session whose person just proved who they are. Raises NotFound."""
    token, remember = await sessions.renew(session_id, auth_level=auth_level)
    return Renewed(token=token, remember=remember)
