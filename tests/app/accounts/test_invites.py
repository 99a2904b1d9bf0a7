"""Invites: one link, one account; every refusal names its reason and leaves nothing behind."""

import asyncio

import pytest

from app.accounts.service import invites, passwords, redeem, users
from app.accounts.service.invites import NewInvite
from app.accounts.service.passwords import Hasher
from app.accounts.service.redeem import Gone
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn
from app.accounts.service.throttle import Throttled
from app.core.errors import Conflict, Invalid, NotFound
from db import failpoints
from db.clock import FakeClock
from db.engine import DB
from tests.app.accounts.conftest import CountingArgon2
from tests.app.accounts.people import PASSWORD, invited

pytestmark = pytest.mark.anyio


async def take(
    invite: NewInvite, login: str, hasher: Hasher, *, email: str = "", password: str = PASSWORD
) -> SignedIn:
    caller = Caller(ip="192.0.2.9")
    return await redeem.redeem(invite.secret, login, email, password, caller, hasher=hasher)


async def count(table: str) -> int:
    return int(await DB.value(f"SELECT count(*) FROM {table}"))


@pytest.mark.feature("T-02", "X-28")
async def test_of_fifty_who_use_one_link_at_once_exactly_one_gets_an_account(
    admin: str, argon2: CountingArgon2
) -> None:
    invite = await invites.create_invite(admin)
    # Room for all of them: fifty hash first, and then meet at the lock.
    crowd = Hasher(argon2, passwords.Pool(threads=4, waiting=50))
    before = await count("sessions")
    results = await asyncio.gather(
        *(take(invite, f"guest{n}", crowd) for n in range(50)), return_exceptions=True
    )
    winners = [result for result in results if isinstance(result, SignedIn)]
    reasons = [result.reason for result in results if isinstance(result, Gone)]
    assert argon2.hashed > 1, "the password is hashed before the lock is taken"
    assert len(winners) == 1
    assert reasons == ["used"] * 49
    assert await count("users") == 2
    assert await count("sessions") == before + 1
    assert await DB.value("SELECT used_by FROM invite_tokens") == winners[0].user_id


async def test_fifty_who_also_want_the_same_name_get_one_account_too(
    admin: str, hasher: Hasher
) -> None:
    links = [await invites.create_invite(admin) for _ in range(10)]
    results = await asyncio.gather(
        *(take(link, "guest", hasher, password=f"{PASSWORD} {n}") for n, link in enumerate(links)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, SignedIn) for result in results) == 1
    assert sum(isinstance(result, users.AlreadyRegistered) for result in results) == 9
    listed = await invites.list_invites()
    assert listed.counts["open"] == 9, "who lost to a name keeps the invite"


@pytest.mark.feature("T-03")
async def test_each_refusal_names_its_reason(admin: str, hasher: Hasher, clock: FakeClock) -> None:
    other = await invited(admin, "bea", hasher, role="admin")
    used = await invites.create_invite(admin)
    await take(used, "cem", hasher)
    revoked = await invites.create_invite(admin)
    await invites.revoke_invite(admin, revoked.short)
    void = await invites.create_invite(other.user_id)
    await users.set_role(admin, other.user_id, "user")
    expired = await invites.create_invite(admin, hours=1)
    clock.advance(3600)
    for invite, reason in (
        (used, "used"),
        (revoked, "revoked"),
        (void, "void"),
        (expired, "expired"),
    ):
        with pytest.raises(Gone) as refusal:
            await take(invite, "dora", hasher)
        assert refusal.value.reason == reason
    with pytest.raises(NotFound):
        await redeem.redeem("x" * 43, "dora", "", PASSWORD, Caller(), hasher=hasher)
    assert await DB.value("SELECT count(*) FROM users WHERE login = 'dora'") == 0
    states = {row.short: row.state for row in (await invites.list_invites()).rows}
    assert states[void.short] == "void"
    assert states[expired.short] == "expired"


async def test_an_invite_is_open_until_the_very_moment_it_ends(
    admin: str, hasher: Hasher, clock: FakeClock
) -> None:
    early, late = [await invites.create_invite(admin, hours=1) for _ in range(2)]
    clock.advance(3599.999)
    await take(early, "early", hasher)
    clock.advance(0.001)
    with pytest.raises(Gone):
        await take(late, "late", hasher)


async def test_an_invite_that_ends_while_the_password_is_hashed_is_refused_at_the_commit(
    admin: str, clock: FakeClock
) -> None:
    class Slow(CountingArgon2):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            clock.advance(3600)
            return super().hash(password, salt=salt)

    invite = await invites.create_invite(admin, hours=1)
    with pytest.raises(Gone) as refusal:
        await take(invite, "late", Hasher(Slow()))
    assert refusal.value.reason == "expired"
    assert await count("users") == 1


async def test_an_invite_whose_maker_is_demoted_meanwhile_is_void_at_the_commit(
    admin: str, hasher: Hasher
) -> None:
    class Meanwhile(CountingArgon2):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            demotion = users.set_role(admin, maker.user_id, "user")
            asyncio.run_coroutine_threadsafe(demotion, loop).result()
            return super().hash(password, salt=salt)

    loop = asyncio.get_running_loop()
    maker = await invited(admin, "bea", hasher, role="admin")
    invite = await invites.create_invite(maker.user_id)
    with pytest.raises(Gone) as refusal:
        await take(invite, "late", Hasher(Meanwhile()))
    assert refusal.value.reason == "void"
    assert await count("users") == 2


async def test_role_domains_and_origin_come_from_the_invite(admin: str, hasher: Hasher) -> None:
    invite = await invites.create_invite(admin, role="admin", domains=["tickets"])
    person = await take(invite, "bea", hasher)
    row = await DB.one("SELECT * FROM users WHERE id = ?", (person.user_id,))
    assert row is not None
    assert (row["role"], row["flags"]) == ("admin", '{"domains":["tickets"]}')
    assert row["invited_by"] == admin
    assert row["invite_token"] == invites.hash_secret(invite.secret)


async def test_a_name_that_is_taken_leaves_the_invite_open(admin: str, hasher: Hasher) -> None:
    invite = await invites.create_invite(admin)
    for login, email in (("ADA", ""), ("bea", "Ada@example.org"), ("ada@example.org", "")):
        with pytest.raises(users.AlreadyRegistered):
            await take(invite, login, hasher, email=email)
    await take(invite, "bea", hasher, email="bea@example.org")


async def test_a_bound_invite_takes_only_its_address(admin: str, hasher: Hasher) -> None:
    invite = await invites.create_invite(admin, email="bea@example.org")
    for wrong in ("", "eve@example.org"):
        with pytest.raises(Invalid) as refusal:
            await take(invite, "eve", hasher, email=wrong)
        assert list(refusal.value.fields) == ["email"]
    await take(invite, "bea", hasher, email="Bea@Example.org")


async def test_sending_the_form_twice_signs_in_and_nobody_else(admin: str, hasher: Hasher) -> None:
    invite = await invites.create_invite(admin)
    first, second = await asyncio.gather(take(invite, "bea", hasher), take(invite, "bea", hasher))
    assert first.user_id == second.user_id
    assert first.token != second.token
    with pytest.raises(Gone):
        await take(invite, "bea", hasher, password="seven brown bottles hanging")
    with pytest.raises(Gone):
        await take(invite, "eve", hasher)


async def test_revoking_and_redeeming_whoever_is_first_wins(admin: str, hasher: Hasher) -> None:
    for n in range(10):
        invite = await invites.create_invite(admin)
        redeemed, revoked = await asyncio.gather(
            take(invite, f"guest{n}", hasher),
            invites.revoke_invite(admin, invite.short),
            return_exceptions=True,
        )
        row = await DB.one(
            "SELECT used_by, revoked_at FROM invite_tokens WHERE substr(token, 1, 8) = ?",
            (invite.short,),
        )
        assert row is not None
        assert (row["used_by"] is None) != (row["revoked_at"] is None)
        assert isinstance(redeemed, Gone) == (row["used_by"] is None)
        assert isinstance(revoked, Conflict) == (row["used_by"] is not None)


async def test_revoking_a_used_one_says_by_whom(admin: str, hasher: Hasher) -> None:
    invite = await invites.create_invite(admin)
    await take(invite, "bea", hasher)
    with pytest.raises(Conflict, match="bea"):
        await invites.revoke_invite(admin, invite.short)
    with pytest.raises(NotFound):
        await invites.revoke_invite(admin, "00000000")


@pytest.mark.parametrize("hours", ["0", "-5", "721", "24h", "1.5", "٣", "1e2", "99999"])
async def test_hours_are_whole_and_between_1_and_720(admin: str, hours: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await invites.create_invite(admin, hours=hours)
    assert list(refusal.value.fields) == ["hours"]
    assert await count("invite_tokens") == 0


async def test_the_usual_life_is_72_hours(admin: str, clock: FakeClock) -> None:
    invite = await invites.create_invite(admin)
    assert (invite.expires_at.timestamp() - clock.wall()) == 72 * 3600


async def test_many_invites_are_made_at_once_or_not_at_all(admin: str) -> None:
    made = await invites.create_invites(admin, "a@example.org, Ana\n\n b@example.org\n", hours=5)
    assert [(one.email, one.label) for one in made] == [
        ("a@example.org", "Ana"),
        ("b@example.org", ""),
    ]
    with pytest.raises(Invalid, match="Line 2"):
        await invites.create_invites(admin, "c@example.org\nnobody\n")
    with pytest.raises(Invalid):
        await invites.create_invites(admin, "d@example.org\n" * 201)
    assert await count("invite_tokens") == 2


async def test_the_secret_is_stored_nowhere(admin: str) -> None:
    invite = await invites.create_invite(admin, label="Tom")
    assert DB.path is not None
    for file in DB.path.parent.rglob("*"):
        if file.is_file():
            assert invite.secret.encode() not in file.read_bytes(), file
    (row,) = (await invites.list_invites(q="tom")).rows
    assert row.short == invites.hash_secret(invite.secret)[:8]
    assert (await invites.list_invites(q="nobody")).total == 0


async def test_ten_wrong_codes_from_one_address_close_the_door_for_an_hour(
    admin: str, clock: FakeClock
) -> None:
    good = await invites.create_invite(admin)
    for n in range(10):
        with pytest.raises(NotFound):
            await redeem.look_at(f"wrong{n}", "2001:db8::1")
    with pytest.raises(Throttled):
        await redeem.look_at("wrong", "2001:db8::ffff")
    assert await redeem.look_at(good.secret, "192.0.2.1")
    clock.advance(3601)
    assert await redeem.look_at(good.secret, "2001:db8::1")


async def test_looking_at_a_good_link_counts_for_nothing(admin: str, clock: FakeClock) -> None:
    good = await invites.create_invite(admin)
    for _ in range(50):
        assert (await redeem.look_at(good.secret, "192.0.2.1")).creator == "ada"
    assert await count("auth_throttle") == 0


@pytest.mark.parametrize(
    "point", ["invite_after_user_insert", "invite_after_token_mark", "invite_before_commit"]
)
async def test_a_fault_inside_the_transaction_leaves_nothing(
    admin: str, hasher: Hasher, point: str
) -> None:
    invite = await invites.create_invite(admin)
    failpoints.arm(f"{point}:raise")
    with pytest.raises(failpoints.FailpointHit):
        await take(invite, "bea", hasher)
    assert (await count("users"), await count("sessions")) == (1, 0)
    assert (await invites.list_invites(state="open")).total == 1
    await take(invite, "bea", hasher)


async def test_a_fault_after_the_commit_lets_the_person_in_at_the_second_try(
    admin: str, hasher: Hasher
) -> None:
    invite = await invites.create_invite(admin)
    failpoints.arm("invite_after_commit:raise")
    with pytest.raises(failpoints.FailpointHit):
        await take(invite, "bea", hasher)
    assert (await take(invite, "bea", hasher)).token
    assert await count("users") == 2


@pytest.mark.parametrize(
    "pasted",
    [
        " abc-_1 \n",
        "https://hafen.example.org/join/abc-_1",
        "http://localhost:8040/x/y/join/abc-_1?utm=1",
        "/join/abc-_1/",
    ],
)
def test_a_whole_link_may_be_pasted(pasted: str) -> None:
    assert redeem.tidy_secret(pasted) == "abc-_1"
