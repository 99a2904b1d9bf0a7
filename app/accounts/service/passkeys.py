"""Passkeys as second factor: WebAuthn, one challenge for each try, bound to the asking session.

Without a password before it: `passwordless`.
"""

import json
import secrets
from collections import OrderedDict
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.accounts.service import factors, notices, recovery, security, totp
from app.accounts.service.factors import CodeRefused, Passed
from app.accounts.service.security import Secured
from app.accounts.service.sessions import Caller
from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _, mark
from db import clock
from db.engine import DB
from db.keys import uuid7

LIFE_S = 300.0
WAITING = 2000  # challenges kept at once; the oldest goes
MOST = 20  # of one person
NAME_MAX = 60
LONGEST = 16 * 1024


class Place(msgspec.Struct, frozen=True):
    """Whom a browser signs for: the origin people use, and its host."""

    origin: str

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""

    @property
    def works(self) -> bool:
        """Browsers know passkeys on https and on localhost, by name."""
        return self.origin.startswith("https://") or self.host == "localhost"


class PasskeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


_challenges: OrderedDict[str, tuple[bytes, float]] = OrderedDict()


async def list_passkeys(user_id: str) -> list[PasskeyRow]:
    """Oldest first."""
    rows = await DB.all(
        "SELECT id, name, created_at, last_used_at FROM passkeys WHERE user_id = ?"
        " ORDER BY created_at, id",
        (user_id,),
    )
    return msgspec.convert(rows, list[PasskeyRow])


async def offer(user_id: str, login: str, session_id: str, place: Place) -> dict[str, Any]:
    """What the browser needs to make a new passkey. Raises Conflict where there are too many."""
    known = await _credentials(user_id)
    if len(known) >= MOST:
        raise Conflict(_("At most %(n)s passkeys. Remove one first.", n=MOST))
    options = webauthn.generate_registration_options(
        rp_id=place.host,
        rp_name="Holdfast",
        user_id=user_id.encode(),
        user_name=login,
        challenge=_new_challenge(f"add:{session_id}"),
        exclude_credentials=known,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
    )
    return plain(options)


async def add(
    user_id: str, session_id: str, credential: str, name: str, place: Place, caller: Caller
) -> Secured:
    """Keep the passkey the browser made. All other sessions end. Raises Invalid."""
    name = name.strip() or _("Passkey")
    if len(name) > NAME_MAX or not name.isprintable():
        raise Invalid(name=_("At most %(n)s characters, on one line.", n=NAME_MAX))
    challenge = _take_challenge(f"add:{session_id}")
    try:
        made = webauthn.verify_registration_response(
            credential=parsed(credential),
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise Invalid(form=_("This passkey could not be checked. Please try again.")) from None
    async with DB.tx():
        if await DB.value(
            "SELECT 1 FROM passkeys WHERE credential_id = ?",
            (bytes_to_base64url(made.credential_id),),
        ):
            raise Invalid(form=_("This passkey is set up already."))
        await DB.execute(
            "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, transports,"
            " backup_eligible, backed_up, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                uuid7(),
                user_id,
                bytes_to_base64url(made.credential_id),
                bytes_to_base64url(made.credential_public_key),
                made.sign_count,
                json.dumps(_transports(credential)),
                int(made.credential_device_type.value == "multi_device"),
                int(made.credential_backed_up),
                name,
            ),
        )
        codes = [] if await recovery.count_left(user_id) else await recovery.renew(user_id)
        await totp.note(
            "factor.passkey_added", user_id, actor_id=user_id, kind="user", ip=caller.ip
        )
        renewed = await security.ended_elsewhere(user_id, session_id, caller, auth_level=2)
        await notices.tell(user_id, "security", mark("A passkey was set up."), level="info")
    return Secured(renewed=renewed, codes=codes)


async def remove(
    user_id: str, role: str, session_id: str, passkey_id: str, caller: Caller
) -> Secured:
    """Forget a passkey. All other sessions end.

    Raises NotFound for one that is not theirs, Conflict for the last factor where one is required.
    """
    async with DB.tx():
        if not await DB.execute(
            "DELETE FROM passkeys WHERE id = ? AND user_id = ?", (passkey_id, user_id)
        ):
            raise NotFound
        if await factors.is_required(role) and not (await factors.get_factors(user_id)).any:
            raise Conflict(_("This house asks for a second factor. Add another one first."))
        await security.tidy_codes(user_id)
        await totp.note(
            "factor.passkey_removed", user_id, actor_id=user_id, kind="user", ip=caller.ip
        )
        renewed = await security.ended_elsewhere(user_id, session_id, caller)
        await notices.tell(user_id, "security", mark("A passkey was removed."))
    return Secured(renewed=renewed)


async def ask(user_id: str, session_id: str, place: Place) -> dict[str, Any]:
    """What the browser needs to show a passkey at the door."""
    options = webauthn.generate_authentication_options(
        rp_id=place.host,
        challenge=_new_challenge(f"show:{session_id}"),
        allow_credentials=await _credentials(user_id),
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return plain(options)


async def pass_key(
    session_id: str,
    user_id: str,
    credential: str,
    place: Place,
    caller: Caller,
    *,
    known: tuple[str, ...] = (),
) -> Passed:
    """From the pre-session into the house by a passkey. Raises CodeRefused, StepOver, NotFound."""
    await factors.count_try(session_id, user_id, caller, known=known)
    refusal = CodeRefused(_("This passkey was not accepted. Please try again."))
    try:
        challenge = _take_challenge(f"show:{session_id}")
        shown = parsed(credential)
        row = await DB.one(
            "SELECT id, public_key, sign_count FROM passkeys"
            " WHERE credential_id = ? AND user_id = ?",
            (str(shown.get("id", "")), user_id),
        )
        if row is None:
            raise Invalid(form="unknown")
        checked = webauthn.verify_authentication_response(
            credential=shown,
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            credential_public_key=base64url_to_bytes(row["public_key"]),
            credential_current_sign_count=0,  # looked at below, so that a copy is told of
        )
    except (Invalid, WebAuthnException, ValueError, KeyError, TypeError):
        await totp.note("factor.refused", user_id, actor_id=None, kind="user", ip=caller.ip)
        raise refusal from None
    async with DB.tx():
        if await count_on(row["id"], user_id, checked.new_sign_count, caller):
            return await factors.enter(session_id, user_id, caller, "passkey")
    raise refusal


async def count_on(passkey_id: str, user_id: str, sign_count: int, caller: Caller) -> bool:
    """Note one more use of a passkey; whether its counter grew. Joins the open transaction.

    One that does not grow is the sign of a copied key: audited and told, and not let in.
    """
    grown = await DB.execute(
        "UPDATE passkeys SET sign_count = ?1, last_used_at = ?2"
        " WHERE id = ?3 AND (?1 > sign_count OR (?1 = 0 AND sign_count = 0))",
        (sign_count, clock.text(), passkey_id),
    )
    if not grown:
        await totp.note("factor.count_back", user_id, actor_id=None, kind="user", ip=caller.ip)
        title = mark("One of your passkeys may have been copied. Remove it and make a new one.")
        await notices.tell(user_id, "security", title, level="error", dedupe=passkey_id)
    return bool(grown)


def _new_challenge(key: str) -> bytes:
    challenge = secrets.token_bytes(32)
    _challenges[key] = (challenge, clock.monotonic() + LIFE_S)
    _challenges.move_to_end(key)
    while len(_challenges) > WAITING:
        _challenges.popitem(last=False)
    return challenge


def _take_challenge(key: str) -> bytes:
    """Each is good for one answer. Raises Invalid."""
    challenge, until = _challenges.pop(key, (b"", 0.0))
    if not challenge or clock.monotonic() > until:
        raise Invalid(form=_("That took too long. Please try again."))
    return challenge


async def _credentials(user_id: str) -> list[PublicKeyCredentialDescriptor]:
    rows = await DB.all("SELECT credential_id FROM passkeys WHERE user_id = ?", (user_id,))
    return [
        PublicKeyCredentialDescriptor(id=base64url_to_bytes(row["credential_id"])) for row in rows
    ]


def parsed(credential: str) -> dict[str, Any]:
    """What the browser sent, as an object. Raises ValueError, TypeError."""
    if len(credential) > LONGEST:
        raise ValueError("too long")
    value = json.loads(credential)
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _transports(credential: str) -> list[str]:
    """How the key is reached, as the browser says; a hint and nothing more."""
    found = json.loads(credential).get("response", {}).get("transports", [])
    known = ("usb", "nfc", "ble", "internal", "hybrid", "smart-card")
    return [one for one in found if one in known] if isinstance(found, list) else []


def plain(options: Any) -> dict[str, Any]:
    """What the browser is asked, as JSON knows it."""
    plain: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return plain
