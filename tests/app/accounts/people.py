"""Making people for the tests of accounts."""

from app.accounts.service import invites, redeem
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn

PASSWORD = "seven green bottles hanging"


async def invited(admin_id: str, login: str, hasher: Hasher, *, role: str = "user") -> SignedIn:
    """Somebody who came by an invite, and their first session."""
    invite = await invites.create_invite(admin_id, role=role)
    return await redeem.redeem(
        invite.secret, login, "", PASSWORD, Caller(ip="192.0.2.8"), hasher=hasher
    )
