"""Second factors: codes work once, the door between the factors is small, losing one is no end."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pyotp
import pytest
from litestar import Litestar

from app.accounts.service import factors, recovery, resets, sessions, signin, totp
from app.accounts.service.factors import CodeRefused, StepOver
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import settings
from app.core.errors import Conflict, Invalid, NotFound
from db import clock as time
from db.clock import FakeClock
from db.engine import DB, ApswEngine
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import PASSWORD, invited
from tests.app.accounts.site import browser, make_app

pytestmark = pytest.mark.anyio

# RFC 6238, appendix B (SHA-1), the last six digits of its eight.
VECTORS = [
    (59, "287082"),
    (1111111109, "081804"),
    (1111111111, "050471"),
    (1234567890, "005924"),
    (2000000000, "279037"),
    (20000000000, "353130"),
]
SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890"


@pytest.mark.parametrize(("at", "code"), VECTORS)
def test_codes_are_those_of_the_standard(at: int, code: str) -> None:
    with time.use(FakeClock(start=time.parse("1970-01-01T00:00:00.000Z"))) as clock:
        clock.advance(at)
        assert totp.matching_step(SEED, code) == at // 30
        clock.advance(30)
        assert totp.matching_step(SEED, code) == at // 30, "the one before still counts"
        clock.advance(60)
        assert totp.matching_step(SEED, code) is None


@pytest.mark.parametrize(
    "text", ["", "12345", "1234567", "١٢٣٤٥٦", "abcdef", "-12345", "9" * 10**6]
)
def test_what_is_no_code_is_refused_quietly(text: str) -> None:
    assert totp.matching_step(SEED, text) is None


async def with_app(user_id: str, login: str = "ada") -> str:
    """Set an app up for them; its secret."""
    offer = await totp.offer(user_id, login, "s")
    async with DB.tx():
        await totp.confirm(user_id, "s", pyotp.TOTP(offer.secret).at(time.now()))
    return offer.secret


async def half(user_login: str, hasher: Hasher, ip: str = "192.0.2.7") -> tuple[str, str]:
    """A pre-session: its id and its token."""
    entered = await signin.sign_in(user_login, GOOD, Caller(ip=ip), hasher=hasher)
    assert entered.pending
    visit = await sessions.read_session(entered.token)
    assert visit is not None
    assert visit.auth_level == 0
    return visit.session_id, entered.token


async def test_a_code_opens_once_and_not_after_the_clock_stepped_back(
    admin: str, hasher: Hasher, caller: Caller, clock: FakeClock
) -> None:
    secret = await with_app(admin)
    clock.advance(60)
    code = pyotp.TOTP(secret).at(time.now())
    session_id, token = await half("ada", hasher)
    passed = await factors.pass_code(session_id, admin, code, caller)
    visit = await sessions.read_session(passed.token)
    assert visit is not None
    assert visit.auth_level == 2
    assert await sessions.read_session(token) is None, "the pre-session is gone"
    again, _ = await half("ada", hasher)
    with pytest.raises(CodeRefused):
        await factors.pass_code(again, admin, code, caller)
    clock.step(-30)
    with pytest.raises(CodeRefused):
        await factors.pass_code(again, admin, pyotp.TOTP(secret).at(time.now()), caller)


async def test_of_one_code_sent_twice_at_once_one_opens(
    admin: str, hasher: Hasher, caller: Caller, clock: FakeClock
) -> None:
    secret = await with_app(admin)
    clock.advance(60)
    code = pyotp.TOTP(secret).at(time.now())
    doors = [await half("ada", hasher) for _ in range(4)]
    ended = await asyncio.gather(
        *(factors.pass_code(door[0], admin, code, caller) for door in doors),
        return_exceptions=True,
    )
    assert sum(isinstance(one, factors.Passed) for one in ended) == 1
    assert sum(isinstance(one, CodeRefused) for one in ended) == 3


async def test_five_wrong_codes_end_the_way_in_and_the_third_time_its_owner_hears(
    admin: str, hasher: Hasher, caller: Caller
) -> None:
    await with_app(admin)
    for _ in range(3):
        session_id, token = await half("ada", hasher)
        for _ in range(5):
            with pytest.raises(CodeRefused):
                await factors.pass_code(session_id, admin, "000000", caller)
        with pytest.raises(StepOver):
            await factors.pass_code(session_id, admin, "000000", caller)
        assert await sessions.read_session(token) is None
    told = await DB.all("SELECT title FROM notifications WHERE user_id = ?", (admin,))
    assert sum("guessing codes" in row["title"] for row in told) == 1


async def test_guessing_over_many_pre_sessions_ends_too_but_a_known_device_gets_in(
    admin: str, hasher: Hasher, caller: Caller, clock: FakeClock
) -> None:
    secret = await with_app(admin)
    clock.advance(60)
    tried = 0
    over = False
    for number in range(60):
        session_id, _ = await half("ada", hasher, ip=f"198.51.100.{number}")
        for _ in range(4):
            try:
                await factors.pass_code(session_id, admin, "000000", caller)
            except CodeRefused:
                tried += 1
            except StepOver:
                over = True
                break
        if over:
            break
    assert over
    assert tried <= 32
    session_id, _ = await half("ada", hasher)
    code = pyotp.TOTP(secret).at(time.now())
    assert await factors.pass_code(session_id, admin, code, caller, known=(admin,))


async def test_a_recovery_code_opens_once_for_its_owner_only(
    admin: str, hasher: Hasher, caller: Caller
) -> None:
    await with_app(admin)
    codes = await recovery.renew(admin)
    assert len(codes) == len(set(codes)) == 10
    bea = (await invited(admin, "bea", hasher)).user_id
    assert not await recovery.accept(bea, codes[0])
    session_id, _ = await half("ada", hasher)
    typed = codes[0].upper().replace("-", " ")
    assert (await factors.pass_code(session_id, admin, typed, caller)).user_id == admin
    session_id, _ = await half("ada", hasher)
    with pytest.raises(CodeRefused):
        await factors.pass_code(session_id, admin, codes[0], caller)
    assert await recovery.count_left(admin) == 9
    stored = [row["code_hash"] for row in await DB.all("SELECT code_hash FROM recovery_codes")]
    assert not {code.replace("-", "") for code in codes} & set(stored)


async def test_a_set_up_app_is_not_replaced_by_who_knows_the_password(
    admin: str, hasher: Hasher, caller: Caller
) -> None:
    await with_app(admin)
    session_id, _ = await half("ada", hasher)
    with pytest.raises(Conflict):
        await factors.enrol(session_id, admin, "000000", caller)
    with pytest.raises(Conflict):
        await totp.offer(admin, "ada", "s")


async def test_the_pre_session_of_one_does_not_let_in_another(
    admin: str, hasher: Hasher, caller: Caller, clock: FakeClock
) -> None:
    secret = await with_app(admin)
    clock.advance(60)
    bea = (await invited(admin, "bea", hasher)).user_id
    session_id, _ = await half("ada", hasher)
    async with DB.tx():
        with pytest.raises(NotFound):
            await factors.enter(session_id, bea, caller, "totp")
    code = pyotp.TOTP(secret).at(time.now())
    assert await factors.pass_code(session_id, admin, code, caller)


async def test_the_secret_lies_sealed(admin: str) -> None:
    secret = await with_app(admin)
    stored = await DB.value("SELECT secret FROM totp_secrets")
    assert stored.startswith("hf1.")
    assert secret not in stored


async def test_taking_the_factor_away_is_audited_and_ends_sessions(
    admin: str, hasher: Hasher
) -> None:
    await with_app(admin)
    token = await sessions.start_session(admin, Caller(), auth_level=2)
    await factors.remove_all(admin, actor_id=None, kind="cli")
    assert await sessions.read_session(token) is None
    entered = await signin.sign_in("ada", GOOD, Caller(ip="192.0.2.7"), hasher=hasher)
    assert not entered.pending
    row = await DB.one("SELECT actor_kind FROM audit_log WHERE action = 'factor.all_removed'")
    assert row == {"actor_kind": "cli"}


async def test_a_new_password_keeps_the_second_factor(
    admin: str, hasher: Hasher, caller: Caller
) -> None:
    await with_app(admin)
    link = await resets.make_link(admin, admin)
    await resets.redeem(link.secret, "another long good phrase", caller, hasher=hasher)
    entered = await signin.sign_in("ada", "another long good phrase", caller, hasher=hasher)
    assert entered.pending


async def test_who_stole_the_password_does_not_learn_the_key_its_owner_sets_up(
    admin: str,
) -> None:
    mine = await totp.offer(admin, "ada", "my session")
    theirs = await totp.offer(admin, "ada", "the thief's session")
    assert mine.secret != theirs.secret
    assert (await totp.offer(admin, "ada", "my session")).secret == mine.secret
    with pytest.raises(Invalid):
        await totp.confirm(admin, "my session", pyotp.TOTP(theirs.secret).at(time.now()))
    await totp.confirm(admin, "my session", pyotp.TOTP(mine.secret).at(time.now()))
    await factors.remove_all(admin, actor_id=None, kind="cli")
    again = await totp.offer(admin, "ada", "my session")
    assert again.secret != mine.secret, "a key that was removed does not come back"


# ---- over HTTP ----


@pytest.fixture
async def site(house: ApswEngine, data_dir: Path) -> AsyncIterator[Litestar]:
    await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
    app = make_app(data_dir)
    async with app.lifespan():
        yield app


@pytest.fixture
async def client(site: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(site) as opened:
        yield opened


async def sign_in(client: httpx.AsyncClient, **more: str) -> httpx.Response:
    return await client.post("/login", data={"login": "ada", "password": GOOD, **more})


@pytest.mark.feature("X-06")
async def test_an_app_is_set_up_asked_for_and_replaced_by_a_code(
    admin: str, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    await sign_in(client)
    assert "not set up" in (await client.get("/account/security")).text
    offered = await client.post("/account/security/app/offer")
    key = re.search(r'id="app-key">([A-Z2-7]{32})<', offered.text)
    assert key
    app = pyotp.TOTP(key[1])
    wrong = await client.post("/account/security/app", data={"code": "000000"})
    assert wrong.status_code == 422
    assert key[1] in wrong.text, "the same key is shown again"
    before = client.cookies["__Host-holdfast"]
    done = await client.post("/account/security/app", data={"code": app.at(time.now())})
    codes = re.findall(r"\b(?:[a-z2-7]{6}-){3}[a-z2-7]{6}\b", done.text)
    assert len(codes) == 10
    assert client.cookies["__Host-holdfast"] != before, "a new token"
    await client.post("/logout")

    clock.advance(60)
    half_in = await sign_in(client, next="/account?x=1")
    assert half_in.headers["location"] == "/login/second?next=/account%3Fx%3D1"
    assert (await client.get("/account")).headers["location"].startswith("/login")
    assert "__Host-holdfast-known" not in dict(half_in.cookies)
    asked = await client.get("/login/second?next=/account%3Fx%3D1")
    assert asked.status_code == 200
    inside = await client.post(
        "/login/second", data={"code": app.at(time.now()), "next": "/account?x=1"}
    )
    assert inside.headers["location"] == "/account?x=1"
    assert (await client.get("/account")).status_code == 200
    await client.post("/logout")
    await sign_in(client)
    by_code = await client.post("/login/second", data={"code": codes[3]})
    assert by_code.headers["location"] == "/"
    for evil in ("//evil.example", "/\\evil.example"):
        await client.post("/logout")
        await sign_in(client)
        answer = await client.post("/login/second", data={"code": codes[4], "next": evil})
        assert answer.headers.get("location", "/") in ("/", "/login")


@pytest.mark.feature("X-26")
async def test_admin_and_security_pages_ask_again_after_a_quarter_of_an_hour(
    admin: str, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    await sign_in(client)
    assert (await client.get("/admin/invites")).status_code == 200
    clock.advance(15 * 60 + 1)
    for path in ("/admin/invites?q=a", "/account/security", "/account/tokens", "/account/data"):
        asked = await client.get(path)
        assert asked.status_code == 303
        assert asked.headers["location"].startswith("/account/confirm?next=/a")
    assert (await client.get("/account")).status_code == 200
    part = await client.get("/admin/invites", headers={"HX-Request": "true"})
    assert part.status_code == 401
    assert part.headers["HX-Retarget"] == "#toasts"
    posted = await client.post("/admin/invites", data={}, headers={"HX-Request": "true"})
    assert posted.headers["HX-Redirect"].startswith("/account/confirm")
    assert await DB.value("SELECT count(*) FROM invite_tokens") == 0
    wrong = await client.post("/account/confirm", data={"password": "wrong", "next": "/"})
    assert wrong.status_code == 422
    old = client.cookies["__Host-holdfast"]
    right = await client.post(
        "/account/confirm", data={"password": GOOD, "next": "/admin/invites?q=a"}
    )
    assert right.headers["location"] == "/admin/invites?q=a"
    assert (await client.get("/admin/invites")).status_code == 200
    assert await sessions.read_session(old) is None, "the token from before is worth nothing"


@pytest.mark.feature("X-27")
@pytest.mark.parametrize(("rule", "asked"), [("optional", False), ("admins", True), ("all", True)])
async def test_the_house_may_ask_for_a_second_factor(
    admin: str, client: httpx.AsyncClient, clock: FakeClock, rule: str, asked: bool
) -> None:
    await settings.put("accounts.second_factor", rule, admin)
    entered = await sign_in(client)
    assert (entered.headers["location"] == "/login/second") is asked
    if not asked:
        return
    page = await client.get("/login/second")
    key = re.search(r'id="app-key">([A-Z2-7]{32})<', page.text)
    assert key
    assert (await client.get("/admin/invites")).status_code == 303
    done = await client.post("/login/second", data={"code": pyotp.TOTP(key[1]).at(time.now())})
    assert len(re.findall(r"\b(?:[a-z2-7]{6}-){3}[a-z2-7]{6}\b", done.text)) == 10
    assert (await client.get("/admin/invites")).status_code == 200
    removed = await client.post("/account/security/app/remove")
    assert removed.status_code == 409, "the last one stays while the house asks for it"


async def test_only_admins_are_asked_where_the_house_says_so(
    admin: str, client: httpx.AsyncClient, hasher: Hasher
) -> None:
    await settings.put("accounts.second_factor", "admins", admin)
    await invited(admin, "bea", hasher)
    entered = await client.post("/login", data={"login": "bea", "password": PASSWORD})
    assert entered.headers["location"] == "/"


async def test_the_door_of_the_second_factor_is_no_door_for_anybody_else(
    admin: str, client: httpx.AsyncClient
) -> None:
    for answer in (
        await client.get("/login/second"),
        await client.post("/login/second", data={"code": "000000"}),
    ):
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    with pytest.raises(Invalid):
        await totp.confirm(admin, "s", "000000")
    assert not await totp.is_set_up(admin)
