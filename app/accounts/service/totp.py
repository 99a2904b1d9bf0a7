"""One-time codes of an authenticator app: RFC 6238, SHA-1, six digits, 30 seconds.

The secret lies in the vault. Each code opens once: the step of the last one used only grows.
"""

import hmac
from base64 import b32encode
from hashlib import sha256

import msgspec
import pyotp

from app.core import audit, vault
from app.core.errors import Conflict, Invalid
from app.core.i18n import _
from app.core.vault import VaultError
from db import clock
from db.engine import DB

STEP_S = 30
AROUND = 1  # steps before and after, for clocks that differ
SECRET_BYTES = 20
ISSUER = "Holdfast"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What an app scans (`uri`) or a person types (`secret`). Shown until it is confirmed."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Offer(…)"


async def offer(user_id: str, login: str, session_id: str, host: str = "") -> Offer:
    """The secret to set an app up with: of this session and nobody else's, stored by `confirm`.

    Whoever else gets as far as this page, knowing the password, is shown another one. Raises
    Conflict where an app is set up already.
    """
    if await is_set_up(user_id):
        raise Conflict(_("An authenticator app is set up already."))
    secret = await _offered(user_id, session_id)
    # Cut, so that a picture holds it.
    issuer = f"{ISSUER} {host[:100]}".strip()
    uri = pyotp.TOTP(secret).provisioning_uri(name=login[:64], issuer_name=issuer)
    return Offer(secret=secret, uri=uri)


async def confirm(user_id: str, session_id: str, code: str) -> None:
    """From now on codes of the offered app count. Joins the open transaction.

    Raises Invalid(code=…) for a wrong one, Conflict where an app is set up already.
    """
    secret = await _offered(user_id, session_id)
    step = matching_step(secret, code)
    if step is None:
        raise Invalid(code=_("This code is not right. Is the clock of your phone?"))
    now = clock.text()
    changed = await DB.execute(
        "INSERT INTO totp_secrets (user_id, secret, confirmed_at, last_used_step)"
        " VALUES (?, ?, ?, ?) ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret,"
        " confirmed_at = excluded.confirmed_at, last_used_step = excluded.last_used_step"
        " WHERE totp_secrets.confirmed_at IS NULL",
        (user_id, vault.seal("totp_secrets", "secret", user_id, secret), now, step),
    )
    if not changed:
        raise Conflict(_("An authenticator app is set up already."))


async def accept(user_id: str, code: str) -> bool:
    """Whether `code` is right now and was not used before; it is used by this."""
    row = await DB.one(
        "SELECT secret FROM totp_secrets WHERE user_id = ? AND confirmed_at IS NOT NULL", (user_id,)
    )
    secret = _opened(user_id, row["secret"]) if row else None
    step = matching_step(secret, code) if secret else None
    if step is None:
        return False
    used = await DB.execute(
        "UPDATE totp_secrets SET last_used_step = ?1"
        " WHERE user_id = ?2 AND confirmed_at IS NOT NULL AND coalesce(last_used_step, -1) < ?1",
        (step, user_id),
    )
    return used == 1


async def is_set_up(user_id: str) -> bool:
    """Whether codes are asked for."""
    return bool(
        await DB.value(
            "SELECT 1 FROM totp_secrets WHERE user_id = ? AND confirmed_at IS NOT NULL", (user_id,)
        )
    )


async def remove(user_id: str) -> bool:
    """Forget the app; True if there was one that counted. Joins the open transaction."""
    counted = await is_set_up(user_id)
    await DB.execute("DELETE FROM totp_secrets WHERE user_id = ?", (user_id,))
    return counted


def matching_step(secret: str, code: str) -> int | None:
    """The 30-second step whose code this is: now, just before or just after."""
    digits = "".join(code.split())
    if not (digits.isascii() and digits.isdigit() and len(digits) == 6):
        return None
    app, now = pyotp.TOTP(secret), int(clock.now().timestamp()) // STEP_S
    found = None
    for step in range(now - AROUND, now + AROUND + 1):  # all of them, whichever fits
        if hmac.compare_digest(app.generate_otp(step), digits):
            found = step
    return found


async def note(action: str, user_id: str, *, actor_id: str | None, kind: str, ip: str) -> None:
    """One audit row about a second factor."""
    await audit.record(
        action,
        actor_id=actor_id,
        actor_kind=kind,
        ip=ip,
        object_type="user",
        object_id=user_id,
    )


async def _offered(user_id: str, session_id: str) -> str:
    """Made of the session and a key of the vault; another one after each removal."""
    removed = await DB.value(
        "SELECT max(id) FROM audit_log WHERE object_type = 'user' AND object_id = ?"
        " AND action IN ('factor.totp_removed', 'factor.all_removed')",
        (user_id,),
    )
    text = f"{user_id}|{session_id}|{removed or 0}".encode()
    digest = hmac.new(vault.derive("totp-offer"), text, sha256).digest()
    return b32encode(digest[:SECRET_BYTES]).decode()


def _opened(user_id: str, sealed: str) -> str | None:
    """None where the key is lost: the app is then worth nothing, recovery codes still are."""
    try:
        return vault.open("totp_secrets", "secret", user_id, sealed).reveal()
    except VaultError:
        return None
