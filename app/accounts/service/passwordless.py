"""In without a name and a password: a passkey that knows whose it is, and checks who holds it.

The challenge lives with the browser, signed, so that strangers who ask for thousands push nobody
else's out; one that let somebody in is remembered until it is over.
"""

from typing import Any

import webauthn
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import UserVerificationRequirement

from app.accounts.service import sessions, throttle
from app.accounts.service.passkeys import LIFE_S, Place, count_on, parsed, plain
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn, SignInFailed
from app.core import audit
from app.core.i18n import _
from db import clock
from db.engine import DB

_KEY = """
SELECT p.id, p.public_key, u.id AS user_id
FROM passkeys p JOIN users u ON u.id = p.user_id
WHERE p.credential_id = ? AND u.is_active = 1 AND u.deleted_at IS NULL
"""

_spent: dict[bytes, float] = {}


def ask(place: Place) -> tuple[dict[str, Any], str]:
    """What the browser needs to show any passkey of this place, and the challenge, to be kept."""
    options = plain(
        webauthn.generate_authentication_options(
            rp_id=place.host, user_verification=UserVerificationRequirement.REQUIRED
        )
    )
    return options, str(options["challenge"])


async def anybody_has_one() -> bool:
    """Whether the door needs to offer it."""
    return await DB.value("SELECT 1 FROM passkeys LIMIT 1") is not None


async def enter(
    credential: str, challenge: str | None, place: Place, caller: Caller, *, remember: bool = False
) -> SignedIn:
    """A session with both factors done: something one has, unlocked by what one knows or is.

    `challenge`: what `ask` gave this browser within the last five minutes. Wrong ones count as
    wrong passwords do. Raises SignInFailed, Throttled.
    """
    here = ("ip", throttle.network(caller.ip))
    await throttle.take(here)
    refusal = SignInFailed(_("This passkey was not accepted. Please try again."))
    try:
        wanted = base64url_to_bytes(challenge or "")
        if not wanted or wanted in _spent:
            raise ValueError("no such challenge")
        shown = parsed(credential)
        row = await DB.one(_KEY, (str(shown.get("id", "")),))
        if row is None:
            raise ValueError("unknown")
        checked = webauthn.verify_authentication_response(
            credential=shown,
            expected_challenge=wanted,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            credential_public_key=base64url_to_bytes(row["public_key"]),
            credential_current_sign_count=0,  # looked at below, so that a copy is told of
            require_user_verification=True,
        )
        handle = shown["response"].get("userHandle")
        if handle and base64url_to_bytes(handle) != row["user_id"].encode():
            raise ValueError("somebody else's")
        _spend(wanted)
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError):
        await _note("session.refused", "", caller)
        raise refusal from None
    user_id = str(row["user_id"])
    async with DB.tx():
        grown = await count_on(row["id"], user_id, checked.new_sign_count, caller)
        if grown:
            await DB.execute(
                "UPDATE users SET last_login_at = ? WHERE id = ?", (clock.text(), user_id)
            )
            await throttle.give_back(here)
            token = await sessions.start_session(user_id, caller, remember=remember, auth_level=2)
            await _note("session.started", user_id, caller)
    if not grown:
        raise refusal
    return SignedIn(user_id=user_id, token=token)


def _spend(challenge: bytes) -> None:
    """Each lets in once. Raises ValueError for one that another request was quicker with."""
    now = clock.monotonic()
    for old in [key for key, until in _spent.items() if until < now]:
        del _spent[old]
    if challenge in _spent:
        raise ValueError("used before")
    _spent[challenge] = now + LIFE_S + 1


async def _note(action: str, user_id: str, caller: Caller) -> None:
    await audit.record(
        action,
        actor_id=user_id or None,
        ip=caller.ip,
        object_type="user",
        object_id=user_id,
        detail={"by": "passkey"},
    )
