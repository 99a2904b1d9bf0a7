"""Signing in with a password.

Counted before anything is hashed, and the same to look at whoever was named.
"""

import msgspec

from app.accounts.service import factors, notices, passwords, sessions, throttle, users
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import audit
from app.core.errors import AppError
from app.core.i18n import _, mark
from db import clock
from db.engine import DB


class SignInFailed(AppError):
    """Wrong, unknown, disabled: one sentence for all of them."""

    status = 422


TOLD_AFTER = 3


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """The new session's token, and whose it is. `after_failures`: wrong tries that came before.

    `pending`: the password was right, and a second factor is still to come.
    """

    user_id: str
    token: str
    after_failures: int = 0
    pending: bool = False


async def sign_in(
    login: str,
    password: str,
    caller: Caller,
    *,
    remember: bool = False,
    known: tuple[str, ...] = (),
    hasher: Hasher | None = None,
) -> SignedIn:
    """A new session.

    `known`: ids of accounts that signed in on this device before; they are not held up by
    strangers.

    Raises SignInFailed, Throttled, Busy.
    """
    hasher = hasher or await passwords.current_hasher()
    found = await users.find_by_login(login)
    whom = found.id if found else users.plain_login(login).casefold()
    here = throttle.network(caller.ip)
    is_known = found is not None and found.id in known
    mine = ("login_ip", f"{whom} {here}")
    # Devices that were known count apart, so that nobody else holds them up.
    tries = [mine, ("ip", here), ("login", throttle.of_known(whom) if is_known else whom)]
    try:
        await throttle.take(*tries)
    except throttle.Throttled:
        await _note("session.throttled", found, caller)
        raise

    # Who has no account, or no password, costs the same time as who has.
    stored = found.password_hash if found else None
    try:
        right = await hasher.verify(stored, password) and stored is not None
    except passwords.Busy:
        await throttle.give_back(*tries)
        raise
    if found is None or stored is None or not right:
        await _note("session.refused", found, caller)
        raise SignInFailed(_("Name or password is not right."))

    renewed = await hasher.hash(password) if hasher.is_stale(stored) else None
    async with DB.tx():
        # The account may have changed while the password was checked.
        changed = await DB.execute(
            "UPDATE users SET last_login_at = ?, password_hash = coalesce(?, password_hash)"
            " WHERE id = ? AND password_hash = ? AND is_active = 1 AND deleted_at IS NULL",
            (clock.text(), renewed, found.id, stored),
        )
        if not changed:
            raise SignInFailed(_("Name or password is not right."))
        failures = await throttle.clear(*mine) - 1
        await throttle.give_back(*tries[1:])
        pending = await factors.standing(found.id, found.role) != "none"
        token = await sessions.start_session(
            found.id, caller, remember=remember, auth_level=0 if pending else 1
        )
        action = "session.second_asked" if pending else "session.started"
        await _note(action, found, caller, {"after_failures": failures} if failures else None)
        if failures >= TOLD_AFTER:
            title = mark("You signed in after %(n)s wrong passwords. Was that you?")
            await notices.tell(found.id, "security", title, params={"n": failures})
    return SignedIn(user_id=found.id, token=token, after_failures=failures, pending=pending)


async def _note(
    action: str, found: users.Found | None, caller: Caller, detail: dict[str, int] | None = None
) -> None:
    """An unknown name is not written down: now and then it is a password in the wrong field."""
    await audit.record(
        action,
        actor_id=found.id if found and action == "session.started" else None,
        ip=caller.ip,
        object_type="user",
        object_id=found.id if found else "",
        detail=detail,
    )
