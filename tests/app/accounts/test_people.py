"""Admins look after people: finding, changing, and who let whom in."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from app.accounts.service import people, sessions
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import settings
from app.core.errors import NotFound
from db.engine import DB, ApswEngine
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import invited
from tests.app.accounts.site import browser, make_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def boss(house: ApswEngine, admin: str, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
    app: Litestar = make_app(data_dir)
    async with app.lifespan(), browser(app) as client:
        await client.post("/login", data={"login": "ada", "password": GOOD})
        yield client


async def test_people_are_found_by_name_address_and_state(admin: str, hasher: Hasher) -> None:
    for login in ("bea", "Carl", "dora"):
        await invited(admin, login, hasher)
    await DB.execute("UPDATE users SET is_active = 0 WHERE login = 'dora'")
    listed = await people.list_people()
    assert [one.login for one in listed.rows] == ["ada", "bea", "Carl", "dora"]
    assert listed.counts == {"": 4, "admin": 1, "disabled": 1, "closed": 0}
    assert [one.login for one in (await people.list_people(q="CAR")).rows] == ["Carl"]
    assert [one.login for one in (await people.list_people(q="example.org")).rows] == ["ada"]
    assert [one.login for one in (await people.list_people(state="disabled")).rows] == ["dora"]
    assert [one.login for one in (await people.list_people(limit=1, offset=1)).rows] == ["bea"]
    assert (await people.list_people(q="%")).total == 0, "no pattern, a text"


async def test_a_card_says_who_let_whom_in(admin: str, hasher: Hasher) -> None:
    bea = (await invited(admin, "bea", hasher, role="admin")).user_id
    await invited(bea, "carl", hasher)
    card = await people.get_person(bea)
    assert (card.invited_by, card.inviter_id) == ("ada", admin)
    assert [one.login for one in await people.list_guests(bea)] == ["carl"]
    with pytest.raises(NotFound):
        await people.get_person("nobody")


async def test_what_an_admin_changes_ends_the_sessions_it_must(
    boss: httpx.AsyncClient, admin: str, hasher: Hasher
) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    for part, more in (
        ("role", {"role": "admin"}),
        ("disable", {}),
        ("sessions", {}),
        ("factors", {}),
    ):
        await DB.execute("UPDATE users SET is_active = 1 WHERE id = ?", (bea,))
        token = await sessions.start_session(bea, Caller())
        answer = await boss.post(f"/admin/users/{bea}", data={"part": part, **more})
        assert answer.status_code == 303, part
        assert await sessions.read_session(token) is None, part
    shown = await boss.get(f"/admin/users/{bea}")
    assert "bea" in shown.text


async def test_domains_are_chosen_one_by_one(
    boss: httpx.AsyncClient, admin: str, hasher: Hasher
) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    url = f"/admin/users/{bea}"
    await boss.post(url, data={"part": "domains", "domains": ["tickets"]})
    assert (await people.get_person(bea)).domains == ("tickets",)
    await boss.post(url, data={"part": "domains"})
    assert (await people.get_person(bea)).domains == ()
    wrong = await boss.post(url, data={"part": "domains", "domains": ["everything"]})
    assert wrong.status_code == 422
    await boss.post(url, data={"part": "domains", "domains": list(settings.DOMAINS)})
    assert (await people.get_person(bea)).domains is None


async def test_deleting_asks_for_the_name(
    boss: httpx.AsyncClient, admin: str, hasher: Hasher
) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    url = f"/admin/users/{bea}"
    slip = await boss.post(url, data={"part": "close", "login": "be"})
    assert slip.status_code == 422
    assert (await boss.post(url, data={"part": "close", "login": "bea"})).status_code == 303
    assert (await people.get_person(bea)).deleted_at is not None
    assert (await boss.get(url)).status_code == 200


@pytest.mark.feature("X-31")
async def test_the_first_admin_stays_whoever_tries(
    boss: httpx.AsyncClient, admin: str, hasher: Hasher
) -> None:
    await invited(admin, "bea", hasher, role="admin")
    for form in (
        {"part": "role", "role": "user"},
        {"part": "disable"},
        {"part": "close", "login": "ada"},
    ):
        assert (await boss.post(f"/admin/users/{admin}", data=form)).status_code == 409
    assert (await people.get_person(admin)).role == "admin"


@pytest.mark.parametrize("part", ["", "id", "is_setup_admin", "password_hash"])
async def test_no_other_part_of_an_account_can_be_set(
    boss: httpx.AsyncClient, admin: str, part: str
) -> None:
    before = await DB.one("SELECT * FROM users WHERE id = ?", (admin,))
    answer = await boss.post(f"/admin/users/{admin}", data={"part": part, "role": "user"})
    assert answer.status_code in (404, 422)
    extra = await boss.post(
        f"/admin/users/{admin}", data={"part": "sessions", "is_setup_admin": "0"}
    )
    assert extra.status_code == 422
    assert await DB.one("SELECT * FROM users WHERE id = ?", (admin,)) == before
