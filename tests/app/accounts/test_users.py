"""Accounts: names, roles, and those who cannot be locked out."""

import asyncio

import pytest

from app.accounts.service import passwords, sessions, setup, users
from app.accounts.service.passwords import Hasher
from app.core.errors import Conflict, Invalid, NotFound
from db.engine import DB, Tx
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import invited

pytestmark = pytest.mark.anyio


async def role_of(user_id: str) -> str:
    return str(await DB.value("SELECT role FROM users WHERE id = ?", (user_id,)))


@pytest.mark.feature("X-31")
async def test_the_first_admin_keeps_account_and_role(admin: str, hasher: Hasher) -> None:
    await invited(admin, "bea", hasher, role="admin")
    for change in (
        users.set_role(admin, admin, "user"),
        users.set_active(admin, admin, False),
        users.close_account(admin, admin),
    ):
        with pytest.raises(Conflict):
            await change
    row = await DB.one("SELECT role, is_active, deleted_at FROM users WHERE id = ?", (admin,))
    assert row == {"role": "admin", "is_active": 1, "deleted_at": None}


@pytest.mark.feature("X-31")
async def test_of_two_last_admins_who_demote_each_other_one_stays(
    admin: str, hasher: Hasher
) -> None:
    bea = (await invited(admin, "bea", hasher, role="admin")).user_id
    cem = (await invited(admin, "cem", hasher, role="admin")).user_id
    # A first admin who was taken out of the table by hand: the rule of the last one must hold
    # alone.
    await DB.execute("UPDATE users SET is_setup_admin = 0, is_active = 0 WHERE id = ?", (admin,))
    results = await asyncio.gather(
        users.set_role(bea, cem, "user"),
        users.set_role(cem, bea, "user"),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert sorted([await role_of(bea), await role_of(cem)]) == ["admin", "user"]
    last = bea if await role_of(bea) == "admin" else cem
    for change in (users.set_active(last, last, False), users.close_account(last, last)):
        with pytest.raises(Conflict):
            await change


async def test_a_role_can_be_given_and_taken(admin: str, hasher: Hasher) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    await users.set_role(admin, bea, "admin")
    assert await role_of(bea) == "admin"
    await users.set_role(admin, bea, "user")
    assert await role_of(bea) == "user"
    with pytest.raises(NotFound):
        await users.set_role(admin, "nobody", "admin")
    with pytest.raises(Invalid):
        await users.set_role(admin, bea, "god")


async def test_a_closed_account_frees_its_name_and_loses_its_secrets(
    admin: str, hasher: Hasher
) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    await DB.execute("INSERT INTO credentials (id, owner_id, service) VALUES ('c', ?, 's')", (bea,))
    told = []

    async def hook(tx: Tx, user_id: str) -> None:
        assert tx.is_open
        told.append(user_id)

    await users.close_account(admin, bea, hooks=[hook])
    assert told == [bea]
    assert await DB.value("SELECT count(*) FROM credentials") == 0
    row = await DB.one("SELECT login, password_hash FROM users WHERE id = ?", (bea,))
    assert row == {"login": f"deleted:{bea}", "password_hash": None}
    assert (await invited(admin, "bea", hasher)).user_id != bea


async def test_a_fault_in_a_hook_closes_nothing(admin: str, hasher: Hasher) -> None:
    bea = await invited(admin, "bea", hasher)

    async def hook(tx: Tx, user_id: str) -> None:
        raise NotADirectoryError

    with pytest.raises(NotADirectoryError):
        await users.close_account(admin, bea.user_id, hooks=[hook])
    assert await sessions.read_session(bea.token) is not None


@pytest.mark.parametrize("login", ["", "   ", "x" * 255, "a\nb", "deleted:1", "a\x00", "\u202e"])
def test_names_that_are_not_taken(login: str) -> None:
    with pytest.raises(Invalid) as refusal:
        users.tidy(login, "", "")
    assert list(refusal.value.fields) == ["login"]


@pytest.mark.parametrize("email", ["x", "@x.org", "a@", "a b@x.org", "a@b@c.org", "a@x", "a@.x."])
def test_addresses_that_are_not_taken(email: str) -> None:
    with pytest.raises(Invalid) as refusal:
        users.tidy("ada", email, "")
    assert list(refusal.value.fields) == ["email"]


def test_a_name_has_one_spelling() -> None:
    assert users.tidy("  Zoe\u0308 ", "", "").login == "Zo\xeb"


@pytest.mark.feature("X-24")
@pytest.mark.parametrize(
    "password",
    [
        "short",
        "1234567890",
        "passwordpassword",
        "holdfast2026",
        "ada@example.org",
        "x\0" * 9,
        "x" * 257,
    ],
)
async def test_passwords_that_are_not_taken(house: object, password: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await passwords.check_password(password, "ada", "ada@example.org")
    assert list(refusal.value.fields) == ["password"]


@pytest.mark.feature("X-24")
@pytest.mark.parametrize(
    "password",
    [GOOD, " two spaces around it ", "пять зелёных бутылок", "e\u0301te\u0301 sur la colline " * 6],
)
async def test_what_was_typed_is_the_password_whole_and_unchanged(
    house: object, hasher: Hasher, password: str
) -> None:
    await passwords.check_password(password, "ada", "")
    stored = await hasher.hash(password)
    assert await hasher.verify(stored, password)
    for other in (password.strip() + "x", password[:-1], password.upper(), password[:72] + "y"):
        assert not await hasher.verify(stored, other)


async def test_the_command_line_makes_admins(house: object, hasher: Hasher) -> None:
    first = await setup.create_admin("ada", GOOD, hasher=hasher)
    second = await setup.create_admin("bea", GOOD, hasher=hasher)
    rows = await DB.all("SELECT id, role, is_setup_admin FROM users ORDER BY login")
    assert rows == [
        {"id": first, "role": "admin", "is_setup_admin": 1},
        {"id": second, "role": "admin", "is_setup_admin": 0},
    ]
    with pytest.raises(Conflict):
        await setup.create_admin("ADA", GOOD, hasher=hasher)
