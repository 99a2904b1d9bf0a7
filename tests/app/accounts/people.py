"""Making people for the tests of accounts."""

import pyotp

from app.accounts.service import invites, redeem, totp
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn
from db import clock

PASSWORD = "seven green bottles hanging"


async def with_app(user_id: str) -> str:
    """Set an authenticator app up for somebody; its secret."""
    offer = await totp.offer(user_id, "somebody", "s")
    await totp.confirm(user_id, "s", pyotp.TOTP(offer.secret).at(clock.now()))
    return offer.secret


async def invited(admin_id: str, login: str, hasher: Hasher, *, role: str = "user") -> SignedIn:
    """Somebody who came by an invite, and their first session."""
    invite = await invites.create_invite(admin_id, role=role)
    return await redeem.redeem(
        invite.secret, login, "", PASSWORD, Caller(ip="192.0.2.8"), hasher=hasher
    )
