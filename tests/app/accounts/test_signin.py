"""Signing in: counted before hashing, the same for known and unknown names."""

import asyncio
import threading
from typing import Literal

import pytest
from argon2 import PasswordHasher

from app.accounts.service import passwords, sessions, signin, throttle, users
from app.accounts.service.passwords import Busy, Hasher
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignInFailed
from app.accounts.service.throttle import Throttled
from app.core.errors import AppError
from db.clock import FakeClock
from db.engine import DB
from tests.app.accounts.conftest import GOOD, CountingArgon2
from tests.app.accounts.people import PASSWORD, invited

pytestmark = pytest.mark.anyio


async def guess(
    login: str, hasher: Hasher, *, ip: str = "192.0.2.7", password: str = "wrong", **more: object
) -> signin.SignedIn:
    known = more.get("known", ())
    assert isinstance(known, tuple)
    return await signin.sign_in(login, password, Caller(ip=ip), known=known, hasher=hasher)


@pytest.mark.parametrize("name", ["ada", " ADA ", "ada@example.org", "Ada@Example.ORG"])
async def test_name_and_address_both_sign_in(admin: str, hasher: Hasher, name: str) -> None:
    entered = await guess(name, hasher, password=GOOD)
    visit = await sessions.read_session(entered.token)
    assert visit is not None
    assert (visit.id, visit.login, visit.role, visit.auth_level) == (admin, "ada", "admin", 1)


@pytest.mark.feature("X-25")
async def test_an_unknown_name_costs_and_says_the_same_as_a_wrong_password(
    admin: str, hasher: Hasher, argon2: CountingArgon2
) -> None:
    person = await invited(admin, "bea", hasher)
    await users.set_active(admin, person.user_id, False)
    said: list[tuple[type[AppError], str, int]] = []
    for login in ("ada", "nobody", "bea"):
        with pytest.raises(SignInFailed) as refusal:
            await guess(login, hasher)
        said.append((type(refusal.value), refusal.value.message, refusal.value.status))
    assert len(set(said)) == 1
    assert len(argon2.verified) == 3, "each of them was verified once"
    assert len(set(argon2.verified)) == 1, "with the same parameters"


async def test_nobody_knows_the_password_of_the_hash_for_unknown_names(hasher: Hasher) -> None:
    assert not await hasher.verify(None, "")
    for preset in passwords.PRESETS.values():
        assert preset.check_needs_rehash(Hasher(preset)._nobody) is False


@pytest.mark.feature("X-14")
async def test_of_fifty_parallel_guesses_five_reach_argon2(
    admin: str, hasher: Hasher, argon2: CountingArgon2, clock: FakeClock
) -> None:
    results = await asyncio.gather(
        *(guess("ada", hasher) for _ in range(50)), return_exceptions=True
    )
    assert len(argon2.verified) == 5
    assert sum(isinstance(result, SignInFailed) for result in results) == 5
    refused = [result for result in results if isinstance(result, Throttled)]
    assert len(refused) == 45
    assert {refusal.retry_after_s for refusal in refused} <= set(range(1, 32))
    with pytest.raises(Throttled):
        await guess("ADA@example.org", hasher, password=GOOD)
    assert len(argon2.verified) == 5, "the address is the same account as the name"


async def test_the_wait_doubles_up_to_a_quarter_of_an_hour(
    admin: str, hasher: Hasher, clock: FakeClock
) -> None:
    for _ in range(5):
        with pytest.raises(SignInFailed):
            await guess("ada", hasher)
    for wait_s in (30, 60, 120, 240, 480, 900, 900):
        with pytest.raises(Throttled) as refusal:
            await guess("ada", hasher)
        assert refusal.value.retry_after_s == wait_s + 1
        clock.advance(wait_s)
        with pytest.raises(SignInFailed):
            await guess("ada", hasher)
    clock.advance(1801)
    for _ in range(5):
        with pytest.raises(SignInFailed):
            await guess("ada", hasher)


async def test_refused_tries_do_not_make_the_wait_longer(
    admin: str, hasher: Hasher, clock: FakeClock
) -> None:
    for _ in range(50):
        with pytest.raises(AppError):
            await guess("ada", hasher)
    clock.advance(31)
    assert (await guess("ada", hasher, password=GOOD)).after_failures == 5


async def test_thirty_guesses_from_one_address_stop_there_whatever_the_names(
    admin: str, hasher: Hasher, argon2: CountingArgon2, clock: FakeClock
) -> None:
    results = await asyncio.gather(
        *(guess(f"name{n}", hasher, ip=f"2001:db8::{n:x}") for n in range(50)),
        return_exceptions=True,
    )
    assert len(argon2.verified) == 30
    assert sum(isinstance(result, Throttled) for result in results) == 20


async def test_strangers_cannot_lock_the_owner_out_of_a_known_device(
    admin: str, hasher: Hasher, argon2: CountingArgon2, clock: FakeClock
) -> None:
    results = await asyncio.gather(
        *(guess("ada", hasher, ip=f"198.51.100.{n}") for n in range(50)), return_exceptions=True
    )
    assert len(argon2.verified) == 30
    assert sum(isinstance(result, Throttled) for result in results) == 20
    with pytest.raises(Throttled):
        await guess("ada", hasher, password=GOOD, ip="203.0.113.1")
    assert await guess("ada", hasher, password=GOOD, ip="203.0.113.1", known=(admin,))


async def test_an_own_account_does_not_buy_an_attacker_more_guesses(
    admin: str, hasher: Hasher, argon2: CountingArgon2, clock: FakeClock
) -> None:
    await invited(admin, "eve", hasher)
    wrong = 0
    for n in range(60):
        try:
            await guess("eve", hasher, password=PASSWORD)
            await guess(f"name{n}", hasher)
        except SignInFailed:
            wrong += 1
        except Throttled:
            break
    assert wrong <= 30


async def test_good_sign_ins_are_never_throttled(
    admin: str, hasher: Hasher, clock: FakeClock
) -> None:
    for _ in range(40):
        await guess("ada", hasher, password=GOOD)
    assert await DB.value("SELECT coalesce(sum(failures), 0) FROM auth_throttle") == 0


async def test_a_clock_that_was_a_year_ahead_locks_nobody_out(
    admin: str, hasher: Hasher, clock: FakeClock
) -> None:
    clock.step(365 * 86400)
    for _ in range(6):
        with pytest.raises(AppError):
            await guess("ada", hasher)
    clock.step(-365 * 86400)
    assert await guess("ada", hasher, password=GOOD)


async def test_what_was_typed_as_a_name_is_stored_nowhere(admin: str, hasher: Hasher) -> None:
    with pytest.raises(SignInFailed):
        await guess("my-password-in-the-wrong-field", hasher)
    assert DB.path is not None
    for file in DB.path.parent.rglob("*"):
        if file.is_file():
            assert b"my-password-in-the-wrong-field" not in file.read_bytes(), file


@pytest.mark.feature("X-24")
async def test_a_hash_with_older_parameters_is_renewed_at_the_next_sign_in(
    admin: str, hasher: Hasher
) -> None:
    dearer = Hasher(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    old = await DB.value("SELECT password_hash FROM users WHERE id = ?", (admin,))
    with pytest.raises(SignInFailed):
        await guess("ada", dearer)
    assert await DB.value("SELECT password_hash FROM users WHERE id = ?", (admin,)) == old
    await guess("ada", dearer, password=GOOD)
    new = await DB.value("SELECT password_hash FROM users WHERE id = ?", (admin,))
    assert new.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    await guess("ada", dearer, password=GOOD)


async def test_a_full_queue_refuses_instead_of_growing_and_counts_no_try(
    admin: str, argon2: CountingArgon2
) -> None:
    pool, gate = passwords.Pool(threads=1, waiting=2), threading.Event()
    small = Hasher(argon2, pool)
    async with asyncio.TaskGroup() as crowd:
        for _ in range(3):
            crowd.create_task(pool.run(gate.wait))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await guess("ada", small, password=GOOD)
        assert argon2.verified == []
        assert await DB.value("SELECT max(failures) FROM auth_throttle") == 0
        gate.set()
    assert await guess("ada", small, password=GOOD)


async def test_a_password_changed_while_the_old_one_is_checked_ends_the_old_ones_worth(
    admin: str, hasher: Hasher
) -> None:
    class Meanwhile(CountingArgon2):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            right = super().verify(hash, password)
            change = DB.execute("UPDATE users SET password_hash = 'other' WHERE login = 'ada'")
            asyncio.run_coroutine_threadsafe(change, loop).result()
            return right

    loop = asyncio.get_running_loop()
    with pytest.raises(SignInFailed):
        await guess("ada", Hasher(Meanwhile()), password=GOOD)
    assert await DB.value("SELECT count(*) FROM sessions") == 0


async def test_old_counts_are_swept(admin: str, hasher: Hasher, clock: FakeClock) -> None:
    with pytest.raises(SignInFailed):
        await guess("ada", hasher)
    assert await throttle.sweep() == 0
    clock.advance(3 * 3600)
    assert await throttle.sweep() == 3
