"""A new password for who lost theirs: once, for an hour, and nobody is signed in by it."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar

from app.accounts.service import resets, sessions, tokens, users
from app.accounts.service.passwords import Hasher
from app.accounts.service.resets import ResetOver
from app.accounts.service.sessions import Caller
from app.core import settings
from app.core.errors import AppError, NotFound
from db.clock import FakeClock
from db.engine import DB, ApswEngine
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import PASSWORD, invited
from tests.app.accounts.site import browser, make_app

pytestmark = pytest.mark.anyio

NEW = "another long good phrase"


@pytest.fixture
async def site(house: ApswEngine, data_dir: Path) -> AsyncIterator[Litestar]:
    await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
    app = make_app(data_dir)
    async with app.lifespan():
        yield app


@pytest.mark.feature("X-29")
async def test_a_link_of_an_admin_sets_a_new_password_once(
    admin: str, hasher: Hasher, site: Litestar
) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    old = await sessions.start_session(bea, Caller())
    async with browser(site) as boss, browser(site, ip="198.51.100.3") as person:
        await boss.post("/login", data={"login": "ada", "password": GOOD})
        made = await boss.post(f"/admin/users/{bea}", data={"part": "reset"})
        link = re.search(r"/reset/[A-Za-z0-9_-]{43}", made.text)
        assert link
        moved = await person.get(link[0])
        assert (moved.status_code, moved.headers["location"]) == (303, "/reset")
        assert moved.headers["referrer-policy"] == "no-referrer"
        assert "bea" in (await person.get("/reset")).text
        weak = await person.post("/reset", data={"password": "password12"})
        assert weak.status_code == 422
        done = await person.post("/reset", data={"password": NEW})
        assert (done.status_code, done.headers["location"]) == (303, "/login")
        assert await sessions.read_session(old) is None
        entered = await person.post("/login", data={"login": "bea", "password": NEW})
        assert entered.status_code == 303
        assert (await person.get(link[0])).status_code == 410
    stored = await DB.value("SELECT token_hash FROM reset_links")
    assert link[0].rpartition("/")[2] not in stored


async def redeemed(secret: str, hasher: Hasher, password: str = NEW) -> str | type[AppError]:
    try:
        return await resets.redeem(secret, password, Caller(ip="192.0.2.9"), hasher=hasher)
    except AppError as error:
        return type(error)


async def test_of_many_at_once_one_wins(admin: str, hasher: Hasher) -> None:
    link = await resets.make_link(admin, admin)
    ended = await asyncio.gather(*(redeemed(link.secret, hasher) for _ in range(12)))
    assert ended.count(admin) == 1
    assert ended.count(ResetOver) == 11


async def test_a_link_ends_with_its_hour_with_a_newer_one_and_with_the_account(
    admin: str, hasher: Hasher, clock: FakeClock
) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    first = await resets.make_link(admin, bea)
    second = await resets.make_link(admin, bea)
    assert await redeemed(first.secret, hasher) is NotFound
    clock.advance(3600)
    assert await redeemed(second.secret, hasher) is ResetOver
    third = await resets.make_link(admin, bea)
    await users.set_active(admin, bea, False)
    assert await redeemed(third.secret, hasher) is NotFound
    with pytest.raises(NotFound):
        await resets.make_link(admin, bea)


async def test_guessing_links_is_counted_and_a_good_one_is_not(admin: str, hasher: Hasher) -> None:
    link = await resets.make_link(admin, admin)
    for _ in range(20):
        assert await resets.look_at(link.secret, "203.0.113.5") == "ada"
    guesses = [await redeemed("x" * 43, hasher) for _ in range(11)]
    assert guesses[:10] == [NotFound] * 10
    assert guesses[10] is not NotFound


async def test_a_reset_ends_what_the_old_password_made(admin: str, hasher: Hasher) -> None:
    """Who knew it may have left a token behind to come back by."""
    bea = (await invited(admin, "bea", hasher)).user_id
    jobs = ["jobs:read"]
    hers = await tokens.create_token(bea, name="x", scopes=jobs, possible=jobs)
    other = await tokens.create_token(admin, name="x", scopes=jobs, possible=jobs)
    link = await resets.make_link(admin, bea)
    assert await redeemed(link.secret, hasher) == bea
    assert await tokens.read_token(hers.text, "192.0.2.7") is None
    assert await tokens.read_token(other.text, "192.0.2.7") is not None
    assert await DB.value("SELECT count(*) FROM audit_log WHERE action = 'token.all_revoked'") == 1


async def test_who_runs_the_server_sets_a_password_and_it_is_audited(
    admin: str, hasher: Hasher
) -> None:
    token = await sessions.start_session(admin, Caller())
    assert await resets.set_password("ada", NEW, hasher=hasher) == admin
    assert await sessions.read_session(token) is None
    row = await DB.one(
        "SELECT actor_id, actor_kind FROM audit_log WHERE action = 'user.password_reset'"
    )
    assert row == {"actor_id": None, "actor_kind": "cli"}
    with pytest.raises(NotFound):
        await resets.set_password("nobody", NEW, hasher=hasher)


async def test_users_cannot_make_links(admin: str, hasher: Hasher, site: Litestar) -> None:
    await invited(admin, "bea", hasher)
    async with browser(site) as client:
        await client.post("/login", data={"login": "bea", "password": PASSWORD})
        answer = await client.post(f"/admin/users/{admin}", data={"part": "reset"})
    assert answer.status_code == 403
    assert await DB.value("SELECT count(*) FROM reset_links") == 0
