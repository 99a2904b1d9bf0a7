"""The security page of one's own account: the app, recovery codes, what changing them ends."""

import msgspec

from app.accounts.service import confirming, factors, notices, recovery, sessions, totp
from app.accounts.service.confirming import Renewed
from app.accounts.service.sessions import Caller
from app.core.errors import Conflict
from app.core.i18n import _, mark
from db.engine import DB


class Secured(msgspec.Struct, frozen=True, kw_only=True):
    """The session's new token, and fresh recovery codes if some were made."""

    renewed: Renewed
    codes: list[str] = []


async def add_app(user_id: str, session_id: str, code: str, caller: Caller) -> Secured:
    """Confirm the app by its first code. All other sessions end. Raises Invalid, Conflict."""
    async with DB.tx():
        await totp.confirm(user_id, session_id, code)
        left = await recovery.count_left(user_id)
        codes = [] if left else await recovery.renew(user_id)
        await totp.note("factor.totp_added", user_id, actor_id=user_id, kind="user", ip=caller.ip)
        renewed = await ended_elsewhere(user_id, session_id, caller, auth_level=2)
        await notices.tell(
            user_id, "security", mark("An authenticator app was set up."), level="info"
        )
    return Secured(renewed=renewed, codes=codes)


async def remove_app(user_id: str, role: str, session_id: str, caller: Caller) -> Secured:
    """Sign in without the app from now on. All other sessions end.

    Conflict where it is the last factor and the house asks for one.
    """
    async with DB.tx():
        await _keep_one(user_id, role)
        if await totp.remove(user_id):
            await totp.note(
                "factor.totp_removed", user_id, actor_id=user_id, kind="user", ip=caller.ip
            )
        await tidy_codes(user_id)
        renewed = await ended_elsewhere(user_id, session_id, caller)
        await notices.tell(user_id, "security", mark("The authenticator app was removed."))
    return Secured(renewed=renewed)


async def renew_codes(user_id: str, session_id: str, caller: Caller) -> Secured:
    """Ten fresh recovery codes; the old ones are void. Conflict without a second factor."""
    async with DB.tx():
        if not (await factors.get_factors(user_id)).any:
            raise Conflict(_("Recovery codes go with a second factor. Set one up first."))
        codes = await recovery.renew(user_id)
        await totp.note("factor.codes_made", user_id, actor_id=user_id, kind="user", ip=caller.ip)
        renewed = await confirming.renew(session_id)
    return Secured(renewed=renewed, codes=codes)


async def ended_elsewhere(
    user_id: str, session_id: str, caller: Caller, *, auth_level: int = 0
) -> Renewed:
    """What each change of factors does: other sessions end, this one gets a new token."""
    await sessions.end_sessions(user_id, but=session_id, ip=caller.ip)
    return await confirming.renew(session_id, auth_level=auth_level)


async def tidy_codes(user_id: str) -> None:
    """Recovery codes without a factor to recover from would be nothing but a second password."""
    if not (await factors.get_factors(user_id)).any:
        await recovery.remove(user_id)


async def _keep_one(user_id: str, role: str) -> None:
    have = await factors.get_factors(user_id)
    if await factors.is_required(role) and have.totp and not have.passkeys:
        raise Conflict(_("This house asks for a second factor. Add another one first."))
