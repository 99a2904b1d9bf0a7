"""What somebody who knows a password, holds a token, or picks odd names can make of it."""

import pyotp
import pytest

from app.accounts.pages.qr import draw
from app.accounts.service import factors, passwords, sessions, signin, throttle, tokens, totp
from app.accounts.service.factors import CodeRefused, StepOver
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core.errors import Invalid
from db import clock as time
from db.clock import FakeClock
from db.engine import DB
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import with_app

pytestmark = pytest.mark.anyio

SIGNS = "4@8({[<3691!|1|7$5+7%2x" * 4


async def test_guessing_codes_ends_on_a_device_that_was_known_before_there_were_codes(
    admin: str, hasher: Hasher, caller: Caller, clock: FakeClock
) -> None:
    # Whoever stole the password once is "known" for 180 days: also after its owner set up an app.
    await with_app(admin)
    clock.advance(90)
    tries = 0
    for _again in range(20):
        entered = await signin.sign_in("ada", GOOD, caller, known=(admin,), hasher=hasher)
        pending = await sessions.read_session(entered.token)
        assert pending
        try:
            for _try in range(throttle.LIMITS["second"].tries - 1):
                with pytest.raises(CodeRefused):
                    await factors.pass_code(
                        pending.session_id, admin, "000000", caller, known=(admin,)
                    )
                tries += 1
        except StepOver:
            break
    assert tries <= throttle.LIMITS["second_user"].tries


async def test_strangers_guessing_do_not_hold_up_the_owners_device(
    admin: str, hasher: Hasher, caller: Caller, clock: FakeClock
) -> None:
    secret = await with_app(admin)
    clock.advance(90)
    for _try in range(throttle.LIMITS["second_user"].tries):
        await throttle.take(("second_user", admin))
    entered = await signin.sign_in("ada", GOOD, caller, known=(admin,), hasher=hasher)
    pending = await sessions.read_session(entered.token)
    assert pending
    code = pyotp.TOTP(secret).at(time.now())
    assert await factors.pass_code(pending.session_id, admin, code, caller, known=(admin,))


async def test_a_password_is_not_guessed_for_ever_from_many_networks_by_one_known_device(
    admin: str, hasher: Hasher
) -> None:
    refused = []
    for n in range(throttle.LIMITS["login"].tries + 1):
        here = Caller(ip=f"198.51.100.{n}")
        try:
            await signin.sign_in("ada", "wrong", here, known=(admin,), hasher=hasher)
        except (signin.SignInFailed, throttle.Throttled) as refusal:
            refused.append(type(refusal))
    assert refused[0] is signin.SignInFailed
    assert refused[-1] is throttle.Throttled


async def test_a_token_from_the_wrong_place_fills_no_disk(admin: str) -> None:
    made = await tokens.create_token(
        admin, name="t", scopes=["jobs:read"], possible=["jobs:read"], addresses="192.0.2.0/24"
    )
    for _request in range(50):
        assert await tokens.read_token(made.text, "203.0.113.9") is None
    rows = await DB.value("SELECT count(*) FROM audit_log WHERE action = 'token.refused'")
    assert 1 <= rows <= tokens.REFUSALS_NOTED


async def test_a_password_of_signs_is_judged_by_its_ends(
    house: object,
) -> None:
    # Each sign may stand for several letters: all of them in 72 signs took six seconds.
    del house
    assert max(map(len, passwords.judged(SIGNS))) == passwords.JUDGED_ENDS
    assert passwords.judged(GOOD) == (GOOD,)
    await passwords.check_password(SIGNS)
    await passwords.check_password(f"password-password {SIGNS}")
    with pytest.raises(Invalid):
        await passwords.check_password("12345678901234567890")


async def test_the_longest_name_still_gets_its_picture(house: object) -> None:
    del house
    login = "\N{GRINNING FACE}" * 254
    offer = await totp.offer("nobody", login, "session", "h" * 2000)
    assert draw(offer.uri).side > 0
