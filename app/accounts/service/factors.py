"""The second factor: who needs one, passing it at the door, setting it up and taking it away."""

from typing import Literal

import msgspec

from app.accounts.service import notices, recovery, sessions, throttle, totp
from app.accounts.service.sessions import Caller
from app.core import audit, settings
from app.core.errors import AppError, Conflict, NotFound
from app.core.i18n import _, mark
from db import clock
from db.engine import DB

# step: a code is asked for. enrol: the house asks for a factor, and there is none yet.
Standing = Literal["none", "step", "enrol"]

TOLD_AFTER = 3


class CodeRefused(AppError):
    """Not the code of this moment, used before, or of somebody else."""

    status = 422


class StepOver(AppError):
    """Too many wrong codes: back to the password."""

    status = 429


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has set up."""

    totp: bool
    passkeys: int
    codes_left: int

    @property
    def any(self) -> bool:
        return self.totp or self.passkeys > 0


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A session with its second factor done. `codes`: fresh recovery codes, to be shown once."""

    user_id: str
    token: str
    remember: bool
    codes: list[str] = []


async def get_factors(user_id: str) -> Factors:
    """What counts for them now."""
    row = await DB.one(
        "SELECT EXISTS (SELECT 1 FROM totp_secrets WHERE user_id = ?1 AND confirmed_at IS NOT NULL)"
        " AS totp, (SELECT count(*) FROM passkeys WHERE user_id = ?1) AS passkeys,"
        " (SELECT count(*) FROM recovery_codes WHERE user_id = ?1 AND used_at IS NULL)"
        " AS codes_left",
        (user_id,),
    )
    return msgspec.convert(row, Factors, strict=False)


async def standing(user_id: str, role: str) -> Standing:
    """What is still between a right password and the house."""
    if (await get_factors(user_id)).any:
        return "step"
    return "enrol" if await is_required(role) else "none"


async def is_required(role: str) -> bool:
    """Whether the settings ask this role for a second factor."""
    rule = await settings.get("accounts.second_factor")
    return rule == "all" or (rule == "admins" and role == "admin")


async def pass_code(
    session_id: str, user_id: str, code: str, caller: Caller, *, known: tuple[str, ...] = ()
) -> Passed:
    """From the pre-session into the house, by a code of the app or a recovery code.

    Counted before the code is looked at. Raises CodeRefused, StepOver (the pre-session is then
    gone), NotFound where it was gone before.
    """
    await count_try(session_id, user_id, caller, known=known)
    if recovery.looks_like_one(code):
        return await _pass_recovery(session_id, user_id, code, caller)
    async with DB.tx():
        if await totp.accept(user_id, code):
            return await enter(session_id, user_id, caller, "totp")
    await _refused(user_id, caller)
    raise CodeRefused(_("This code is not right, or was used before. Wait for the next one."))


async def enrol(session_id: str, user_id: str, code: str, caller: Caller) -> Passed:
    """The same for who had no factor yet: the app is confirmed by its first code.

    Raises Invalid, Conflict, StepOver.
    """
    if (await get_factors(user_id)).any:
        raise Conflict(_("An authenticator app is set up already."))
    await count_try(session_id, user_id, caller)
    async with DB.tx():
        await totp.confirm(user_id, session_id, code)
        codes = await recovery.renew(user_id)
        await totp.note("factor.totp_added", user_id, actor_id=user_id, kind="user", ip=caller.ip)
        passed = await enter(session_id, user_id, caller, "totp")
    return msgspec.structs.replace(passed, codes=codes)


async def enter(session_id: str, user_id: str, caller: Caller, by: str) -> Passed:
    """End the pre-session, begin the real one. Joins the open transaction. Raises NotFound."""
    row = await DB.one(
        "DELETE FROM sessions WHERE id = ? AND userId = ? AND authLevel = 0 AND expiresAt > ?"
        " RETURNING remember",
        (session_id, user_id, clock.text()),
    )
    if row is None:
        raise NotFound
    remember = bool(row["remember"])
    token = await sessions.start_session(user_id, caller, remember=remember, auth_level=2)
    await throttle.clear("second", session_id)
    await throttle.clear("second_user", user_id)
    await throttle.clear("second_user", throttle.of_known(user_id))
    await audit.record(
        "session.started",
        actor_id=user_id,
        ip=caller.ip,
        object_type="user",
        object_id=user_id,
        detail={"second": by},
    )
    return Passed(user_id=user_id, token=token, remember=remember)


async def count_try(
    session_id: str, user_id: str, caller: Caller, *, known: tuple[str, ...] = ()
) -> None:
    """One more try at the second factor. Raises StepOver, which also ends the pre-session."""
    # Devices that were known count apart: strangers do not hold them up, but being known, perhaps
    # since before there was a second factor, is no leave to guess for ever.
    whom = throttle.of_known(user_id) if user_id in known else user_id
    try:
        await throttle.take(("second", session_id), ("second_user", whom))
    except throttle.Throttled as refusal:
        await sessions.end_pending(session_id)
        await _tell_of_guessing(user_id, caller)
        over = StepOver(_("Too many wrong codes. Please sign in again."))
        over.retry_after_s = refusal.retry_after_s  # type: ignore[attr-defined]
        raise over from None


async def remove_all(
    user_id: str, *, actor_id: str | None, kind: str = "user", ip: str = ""
) -> None:
    """Take every second factor away, for who has lost theirs; ends all sessions."""
    async with DB.tx():
        await totp.remove(user_id)
        await recovery.remove(user_id)
        await DB.execute("DELETE FROM passkeys WHERE user_id = ?", (user_id,))
        await sessions.end_sessions(user_id, actor_id=actor_id, kind=kind, ip=ip)
        await totp.note("factor.all_removed", user_id, actor_id=actor_id, kind=kind, ip=ip)
        await notices.tell(
            user_id, "security", mark("Your second factor was taken away by an admin.")
        )


async def _pass_recovery(session_id: str, user_id: str, code: str, caller: Caller) -> Passed:
    here = ("code", throttle.network(caller.ip))
    await throttle.refuse_if_blocked(*here)
    async with DB.tx():
        if await recovery.accept(user_id, code):
            passed = await enter(session_id, user_id, caller, "recovery")
            left = await recovery.count_left(user_id)
            await notices.tell(
                user_id,
                "security",
                mark("A recovery code was used to sign in. Codes left: %(n)s."),
                params={"n": left},
            )
            return passed
    await throttle.take(here)
    await _refused(user_id, caller)
    raise CodeRefused(_("This recovery code is not right, or was used before."))


async def _refused(user_id: str, caller: Caller) -> None:
    await totp.note("factor.refused", user_id, actor_id=None, kind="user", ip=caller.ip)


async def _tell_of_guessing(user_id: str, caller: Caller) -> None:
    """Whoever gets this far knows the password: the third time within an hour its owner hears."""
    await totp.note("factor.throttled", user_id, actor_id=None, kind="user", ip=caller.ip)
    try:
        ended = await throttle.count("second_ended", user_id)
    except throttle.Throttled:
        ended = TOLD_AFTER
    if ended >= TOLD_AFTER:
        await notices.tell(
            user_id,
            "security",
            mark("Somebody who knows your password is guessing codes. Change the password."),
            level="error",
            dedupe=clock.text()[:13],
        )
