"""Redeeming an invite: one link, one account, whoever asks how often at once.

The password is hashed before the write lock is taken. Inside it the account is inserted first and
the invite marked by one conditional UPDATE: unless exactly one row changed, nothing happened, and
the person is told why.
"""

import asyncio
import re
from datetime import datetime

import msgspec

from app.accounts.service import passwords, sessions, signin, throttle, users
from app.accounts.service.invites import CREATOR_MAY, STATE, hash_secret
from app.accounts.service.passwords import Busy, Hasher
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn
from app.core import audit
from app.core.errors import AppError, Invalid, NotFound
from app.core.i18n import _, mark
from db import clock
from db.engine import DB
from db.failpoints import afailpoint

REASONS = {
    "used": mark("This invite was already used. Each one works once; ask for a new one."),
    "revoked": mark("This invite was withdrawn. Ask who sent it for a new one."),
    "expired": mark("This invite has expired. Ask who sent it for a new one."),
    "void": mark(
        "Who made this invite may no longer invite people. Ask another admin for a new one."
    ),
}
BUSY_S, BUSY_TRIES = 0.25, 20
UNKNOWN = mark("This invite is not known. Check that the link is complete.")

_MARK = f"""
UPDATE invite_tokens SET used_by = :user, used_at = :now
WHERE token = :token AND used_by IS NULL AND revoked_at IS NULL AND expires_at > :now
      AND (email IS NULL OR email = :email) AND {CREATOR_MAY}
"""  # noqa: S608 - constants


class Gone(AppError):
    """An invite that was good once. `reason`: used, revoked, expired, void."""

    status = 410

    def __init__(self, reason: str) -> None:
        super().__init__(_(REASONS[reason]))
        self.reason = reason


class OpenInvite(msgspec.Struct, frozen=True, kw_only=True):
    """What the person may know of the invite they hold."""

    email: str
    label: str
    creator: str
    expires_at: datetime


def tidy_secret(text: str) -> str:
    """The secret of a pasted code or of a whole pasted link."""
    text = text.strip()
    found = re.search(r"/join/([A-Za-z0-9_-]+)/?(?:[?#].*)?$", text)
    return found.group(1) if found else text


async def look_at(secret: str, ip: str = "") -> OpenInvite:
    """The invite behind a secret, unchanged by looking.

    Raises NotFound for an unknown one, Gone, Throttled.

    An unknown code counts against the caller's address; a known one never does.
    """
    here = ("code", throttle.network(ip))
    await throttle.refuse_if_blocked(*here)
    row = await DB.one(
        f"SELECT {STATE} AS state, coalesce(email, '') AS email,"  # noqa: S608 - constants
        " coalesce(label, '') AS label, expires_at,"
        " (SELECT login FROM users u WHERE u.id = created_by) AS creator"
        " FROM invite_tokens WHERE token = :token",
        {"token": hash_secret(secret), "now": clock.text()},
    )
    if row is None:
        await throttle.take(here)
        await audit.record("invite.unknown", actor_id=None, actor_kind="user", ip=ip)
        raise NotFound(_(UNKNOWN))
    if row["state"] != "open":
        raise Gone(row["state"])
    return msgspec.convert(row, OpenInvite)


async def redeem(
    secret: str,
    login: str,
    email: str,
    password: str,
    caller: Caller,
    *,
    auto_download: bool = False,
    hasher: Hasher | None = None,
) -> SignedIn:
    """Make the account the invite allows and sign it in.

    Raises Invalid, AlreadyRegistered (the invite stays open), Gone, NotFound, Throttled, Busy.

    Sending the same form twice is no error: who just used this very invite is signed in.
    """
    user = users.tidy(login, email, password)
    hasher = hasher or await passwords.current_hasher()
    try:
        invite = await look_at(secret, caller.ip)
        _check_email(invite.email, user.email)
        await passwords.check_password(password, user.login, user.email or "")
        await afailpoint("invite_after_token_check")
        hashed = await _hash(hasher, password, secret, caller.ip)
        return await _make_account(secret, user, hashed, caller, auto_download=auto_download)
    except (Gone, users.AlreadyRegistered) as refusal:
        if not await _is_theirs(secret, user.login):
            raise
        try:
            return await signin.sign_in(user.login, password, caller, hasher=hasher)
        except signin.SignInFailed:
            raise refusal from None


async def look_over(
    secret: str, login: str, email: str, password: str, ip: str = ""
) -> dict[str, str]:
    """What is wrong with a form so far, by field, for whoever holds an open invite.

    Whether a name is taken is said when the invite is spent, not before: it would be a list of
    names for the asking. Raises as `look_at`.
    """
    invite = await look_at(secret, ip)
    errors: dict[str, str] = {}
    try:
        _check_email(invite.email, users.tidy(login, email, password).email)
    except Invalid as error:
        errors |= error.fields
    if password:
        try:
            await passwords.check_password(password, login, email)
        except Invalid as error:
            errors |= error.fields
    return errors


async def _hash(hasher: Hasher, password: str, secret: str, ip: str) -> str:
    """The hash, with some patience where the queue for it is full.

    A crowd with one invite fills the queue by itself; whoever is not in it is better told that the
    invite is used, as it soon will be, than to try again. Raises Busy in the end, and as `look_at`.
    """
    for _again in range(BUSY_TRIES):
        try:
            return await hasher.hash(password)
        except Busy:
            await asyncio.sleep(BUSY_S)
            await look_at(secret, ip)
    return await hasher.hash(password)


async def _make_account(
    secret: str, user: users.NewUser, hashed: str, caller: Caller, *, auto_download: bool
) -> SignedIn:
    token = hash_secret(secret)
    async with DB.tx():
        invite = await DB.one(
            "SELECT created_by, role, CASE WHEN domains IS NULL THEN '{}'"
            " ELSE json_object('domains', json(domains)) END AS flags"
            " FROM invite_tokens WHERE token = ?",
            (token,),
        )
        if invite is None:
            raise NotFound(_(UNKNOWN))
        user_id = await users.insert_user(
            user,
            hashed,
            role=invite["role"],
            flags=invite["flags"],
            invited_by=invite["created_by"],
            invite_token=token,
            auto_download_enabled=int(auto_download),
        )
        await afailpoint("invite_after_user_insert")
        now = clock.text()
        marked = await DB.execute(
            _MARK, {"user": user_id, "now": now, "token": token, "email": user.email}
        )
        if marked != 1:
            raise await _refusal(token, user.email)
        await afailpoint("invite_after_token_mark")
        session = await sessions.start_session(user_id, caller)
        await audit.record(
            "invite.redeemed",
            actor_id=user_id,
            ip=caller.ip,
            object_type="invite",
            object_id=token[:8],
        )
        await afailpoint("invite_before_commit")
    await afailpoint("invite_after_commit")
    return SignedIn(user_id=user_id, token=session)


async def _refusal(token: str, email: str | None) -> AppError:
    """Why the conditional UPDATE met no row."""
    row = await DB.one(
        f"SELECT {STATE} AS state, coalesce(email, '') AS email"  # noqa: S608 - constants
        " FROM invite_tokens WHERE token = :token",
        {"token": token, "now": clock.text()},
    )
    if row is None:
        return NotFound(_(UNKNOWN))
    if row["state"] != "open":
        return Gone(row["state"])
    _check_email(row["email"], email)
    raise RuntimeError("an open invite for this address was not marked")


def _check_email(bound: str, given: str | None) -> None:
    if bound and (given or "").lower() != bound.lower():
        raise Invalid(email=_("This invite is for another e-mail address."))


async def _is_theirs(secret: str, login: str) -> bool:
    return bool(
        await DB.value(
            "SELECT 1 FROM invite_tokens i JOIN users u ON u.id = i.used_by"
            " WHERE i.token = ? AND u.login = ?",
            (hash_secret(secret), login),
        )
    )
