"""Attacks on the running program: what a stranger, a neighbour or a curious user might try."""

import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from app.accounts.service import passwords, resets, sessions, tokens
from app.core import logs, settings, vault
from app.tickets.service import logins
from app.web import auth
from db.engine import DB
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import with_app
from tests.app.house import House, running
from tests.app.matrix import DOORS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with running(database, rate_writes=0) as opened:
        await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
        yield opened


async def with_password(house: House, login: str, role: str = "user") -> str:
    user_id = await house.person(login, role=role)
    hasher = await passwords.current_hasher()
    hashed = await hasher.hash(GOOD)
    await DB.execute("UPDATE users SET password_hash = ? WHERE id = ?", (hashed, user_id))
    return user_id


# ---- S1: fixation ----


@pytest.mark.feature("X-22")
async def test_a_cookie_that_came_along_is_never_the_session(house: House) -> None:
    bea, carl = await with_password(house, "bea"), await with_password(house, "carl")
    others = await house.session(carl)
    ended = await house.session(bea)
    await DB.execute("DELETE FROM sessions WHERE userId = ?", (bea,))
    chosen = secrets.token_urlsafe(32)
    for planted in (chosen, others, ended, "x", "x" * 43, "%00", '"' + chosen + '"'):
        async with house.client() as client:
            client.headers["Cookie"] = f"holdfast={planted}"
            answer = await client.post("/login", data={"login": "bea", "password": GOOD})
            assert answer.status_code == 303
            fresh = answer.cookies["holdfast"]
            assert fresh not in (planted, others)
            client.headers["Cookie"] = f"holdfast={planted}"
            mine = await client.get("/account")
            assert "bea" not in mine.text, planted
            client.headers["Cookie"] = f"holdfast={fresh}; holdfast={chosen}"
            assert (await client.get("/account")).status_code == 303, "two are nobody's"
    assert await sessions.read_session(others) is None, "the one that was shown at the door ended"


# ---- S13: where to go afterwards ----

EVIL = [
    "//h.example",
    "/\\h.example",
    "\\/h.example",
    "https:h.example",
    "https://h.example",
    "/%2f%2fh.example",
    "/%5ch.example",
    "/\th.example",
    "/\n/h.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "/ /h.example",
    "//h.example/%2e%2e",
    "/%09/h.example",
    "",
    "x",
]


async def test_no_way_leads_to_another_site(house: House) -> None:
    await with_password(house, "bea")
    # The control: a way of our own is kept, so that "/" below says something.
    for where, to in [(where, "/") for where in EVIL] + [("/account", "/account")]:
        assert auth.safe_next(where) == to, where
        async with house.client() as client:
            form = {"login": "bea", "password": GOOD, "next": where}
            entered = await client.post("/login", data=form)
            assert entered.headers["location"] == to, where
            form = {"password": GOOD, "next": where}
            confirmed = await client.post("/account/confirm", data=form)
            assert confirmed.headers["location"] == to, where


# ---- S16: headers ----


async def test_every_answer_carries_the_headers(house: House) -> None:
    boss = await house.person("boss", role="admin")
    wrong: list[tuple[object, ...]] = []
    async with house.client(await house.session(boss)) as client:
        for door in DOORS:
            if door.path == "/live":
                continue
            path = re.sub(r"\{[a-z_]+\}", "0", door.path)
            if door.path == "/logout" or door.path.endswith("/rotate"):
                continue
            answer = await client.request(door.method, path)
            policy = answer.headers.get("content-security-policy", "")
            good = (
                answer.headers.get("x-content-type-options") == "nosniff"
                and "x-frame-options" in answer.headers
                and answer.headers.get("cross-origin-opener-policy") == "same-origin"
                and answer.headers.get("cross-origin-resource-policy") == "same-origin"
                and "referrer-policy" in answer.headers
                and "default-src 'none'" in policy
                and "strict-dynamic" not in policy
                and "server" not in answer.headers
                and "cache-control" in answer.headers
            )
            if not good or answer.status_code >= 500:
                wrong.append((door, answer.status_code, dict(answer.headers)))
    assert not wrong


# ---- S17: poisoned names ----


async def test_a_poisoned_name_is_in_no_page_and_no_link(database: Path) -> None:
    async with running(database, public_url="https://holdfast.example.org") as house:
        boss = await house.session(await house.person("boss", role="admin"))
        bea = await house.person("bea")
        poison = {
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "203.0.113.66",
            "Forwarded": "host=evil.example;for=203.0.113.66",
            "X-Original-URL": "/admin",
            "X-Rewrite-URL": "/admin",
        }
        async with house.client(boss) as client:
            for path in ("/login", "/admin/users", f"/admin/users/{bea}", "/nowhere"):
                assert "evil.example" not in (await client.get(path, headers=poison)).text
            made = await client.post(f"/admin/users/{bea}", data={"part": "reset"}, headers=poison)
            link = re.search(r'id="reset-link">([^<]+)<', made.text)
            assert link
            assert link[1].startswith("https://holdfast.example.org/reset/")
            named = {**poison, "Host": "evil.example"}
            assert (await client.get("/login", headers=named)).status_code == 400
        seen = await DB.all("SELECT DISTINCT ip FROM audit_log")
        assert "203.0.113.66" not in {row["ip"] for row in seen}


# ---- S21: fields nobody asked for ----


async def test_no_form_takes_a_field_it_did_not_show(house: House) -> None:
    bea = await with_password(house, "bea")
    look = "SELECT role, flags, is_active, is_setup_admin FROM users WHERE id = ?"
    before = await DB.one(look, (bea,))
    extra = {"role": "admin", "is_admin": "1", "owner_id": "x", "id": "x", "user_id": "x"}
    async with await house.browser(bea) as client:
        forms = {
            "/account": {"part": "look", "locale": "en", "theme": "dark", "time_zone": ""},
            "/account/tokens": {"name": "x", "scopes": "jobs:read", "days": "1"},
            "/account/data/close": {"password": GOOD, "sure": "1"},
            "/account/confirm": {"password": GOOD},
        }
        for path, form in forms.items():
            for name, value in extra.items():
                if name in form:
                    continue
                answer = await client.post(path, data={**form, name: value})
                assert answer.status_code == 422, (path, name)
    assert await DB.one(look, (bea,)) == before
    assert await DB.value("SELECT count(*) FROM api_tokens") == 0


async def test_an_error_shows_nothing_of_what_it_was_about(house: House) -> None:
    """A stored secret that does not open: the page stands, and no text leaks."""
    boss = await house.person("boss", role="admin")
    bea = await house.person("bea")
    await logins.save_login(bea, "uk000001", "portal-canary-1")
    other = vault.seal("user_credentials", "uk_password_encrypted", boss, "portal-canary-2")
    await DB.execute("UPDATE user_credentials SET uk_password_encrypted = ?", (other,))
    async with await house.browser(bea) as client:
        for path in ("/tickets", "/tickets/settings", "/"):
            page = await client.get(path)
            assert page.status_code == 200
            assert "canary" not in page.text
    login = await logins.open_login(bea)
    assert login is not None
    assert login.credential is None


# ---- S23: lines in logs ----


async def test_nobody_writes_a_second_line_into_the_log(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.setup("json", "info")
    evil = 'x\r\n{"event":"forged"}\x1b[31m\u2028'
    async with house.client() as client:
        await client.post("/login", data={"login": evil, "password": "x"})
        await client.get("/" + quote(evil))
        await client.get("/login", headers={"User-Agent": "a\x1b[31mb"})
    printed = capfd.readouterr()
    for line in (printed.out + printed.err).splitlines():
        assert not line.startswith('{"event":"forged"}')
        assert "\x1b" not in line


# ---- S26: long inputs ----


async def test_a_megabyte_in_any_field_is_an_answer_not_a_burden(house: House) -> None:
    await with_password(house, "bea")
    big = "é" * 400_000
    async with house.client() as client:
        for form in (
            {"login": big, "password": "x"},
            {"login": "bea", "password": big},
            {"login": "bea", "password": GOOD, "next": "/" + big},
            {big[:1000]: "x"},
        ):
            answer = await client.post("/login", data=form)
            assert answer.status_code in (303, 413, 422, 429)
        code = await client.post("/join", data={"code": big})
        assert code.status_code in (404, 413, 422)
        form_type = {"Content-Type": "application/x-www-form-urlencoded"}
        heavy = await client.post("/login", content=b"a=" + b"x" * (1024 * 1024), headers=form_type)
        assert heavy.status_code == 413
        many = "&".join(f"a{number}=1" for number in range(20_000))
        flood = await client.post("/login", content=many, headers=form_type)
        assert flood.status_code in (400, 413, 422)


# ---- S2: what was ended is over at once ----


@pytest.mark.feature("X-23")
async def test_signing_out_elsewhere_ends_it_there_and_tells_nobody_else(house: House) -> None:
    bea, carl = await with_password(house, "bea"), await house.person("carl")
    tokens_of = [await house.session(bea) for _ in range(3)]
    his = await house.session(carl)
    async with house.client(tokens_of[0]) as here:
        listed = (await here.get("/account")).text
        assert listed.count('id="device-') == 3
        theirs = await DB.value("SELECT id FROM sessions WHERE userId = ?", (carl,))
        foreign = await here.post("/account", data={"part": "device", "id": theirs})
        assert foreign.status_code == 404
        mine = await sessions.read_session(tokens_of[1])
        assert mine
        await here.post("/account", data={"part": "device", "id": mine.session_id})
        assert await sessions.read_session(tokens_of[1]) is None
        await here.post("/account", data={"part": "others"})
        assert await sessions.read_session(tokens_of[2]) is None
        assert await sessions.read_session(tokens_of[0]) is not None
        assert await sessions.read_session(his) is not None


async def test_a_reset_link_is_no_way_around_the_second_factor(house: House) -> None:
    bea = await with_password(house, "bea")
    boss = await house.person("boss", role="admin")
    await with_app(bea)
    link = await resets.make_link(boss, bea)
    async with house.client() as client:
        await client.get(f"/reset/{link.secret}")
        await client.post("/reset", data={"password": "another long good phrase"})
        entered = await client.post(
            "/login", data={"login": "bea", "password": "another long good phrase"}
        )
        assert entered.headers["location"] == "/login/second"
        for path in ("/", "/account", "/account/security", "/account/tokens", "/live"):
            asked: httpx.Response = await client.get(path)
            assert asked.status_code == 303 or "bye" in asked.text


async def test_a_user_cannot_make_a_token_that_may_more(house: House) -> None:
    bea = await house.person("bea", flags='{"domains": []}')
    async with await house.browser(bea) as client:
        for scope in ("admin:read", "admin:write", "metrics:read", "tickets:read", "any", "x"):
            form = {"name": "x", "scopes": scope, "days": "1"}
            assert (await client.post("/account/tokens", data=form)).status_code == 422, scope
    assert await tokens.count_live(bea) == 0
