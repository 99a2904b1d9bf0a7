"""Taking one's data along, and leaving: all of it, nobody else's, no secret."""

import io
import json
import zipfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from app.accounts.service import closing, passwords, sessions, tokens
from app.accounts.service.sessions import Caller
from app.core import settings, vault
from app.core.errors import Conflict
from db.engine import DB, Tx
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import with_app
from tests.app.house import House, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with running(database) as opened:
        await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
        yield opened


async def person(house: House, login: str) -> str:
    user_id = await house.person(login)
    hasher = await passwords.current_hasher()
    hashed = await hasher.hash(GOOD)
    await DB.execute("UPDATE users SET password_hash = ? WHERE id = ?", (hashed, user_id))
    return user_id


def members(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.mark.feature("X-34")
async def test_all_of_ones_own_and_nothing_else_goes_along_and_leaving_wipes_the_secrets(
    house: House,
) -> None:
    bea, carl = await person(house, "bea"), await person(house, "carl")
    token = await tokens.create_token(
        bea, name="my script", scopes=["jobs:read"], possible=["jobs:read"]
    )
    await tokens.create_token(
        carl, name="carls script", scopes=["jobs:read"], possible=["jobs:read"]
    )
    secret = await with_app(bea)
    sealed = vault.seal("credentials", "login_password_encrypted", "c", "canary-pass")
    await DB.execute(
        "INSERT INTO credentials (id, owner_id, service, login_password_encrypted)"
        " VALUES ('c', ?, 'x', ?)",
        (bea, sealed),
    )
    size = await closing.write_export(bea)
    async with await house.browser(bea) as client:
        fetched = await client.post("/account/data/archive")
    assert len(fetched.content) == size
    inside = members(fetched.content)
    assert json.loads(inside["account/account.json"])[0]["login"] == "bea"
    text = "".join(inside.values())
    assert "my script" in text
    for foreign in ("carl", token.text, token.text[12:55], secret, "canary-pass", sealed):
        assert foreign not in text
    assert "$argon2" not in text
    assert "hf1." not in text

    async with await house.browser(carl) as client:
        assert (await client.post("/account/data/archive")).status_code == 404
    async with await house.browser(bea) as client:
        unsure = await client.post("/account/data/close", data={"password": GOOD})
        assert unsure.status_code == 422
        wrong = await client.post("/account/data/close", data={"password": "no", "sure": "1"})
        assert wrong.status_code == 422
        left = await client.post("/account/data/close", data={"password": GOOD, "sure": "1"})
        assert left.headers["location"] == "/login"
        assert (await client.get("/account")).headers["location"].startswith("/login")
    for table in ("credentials", "totp_secrets", "sessions"):
        column = {"credentials": "owner_id", "sessions": "userId"}.get(table, "user_id")
        count = await DB.value(f"SELECT count(*) FROM {table} WHERE {column} = ?", (bea,))
        assert count == 0, table
    assert await tokens.read_token(token.text, "192.0.2.7") is None
    assert not list((house.app.settings.data_dir / "files/accounts/exports").glob("*.zip"))
    assert await sessions.list_devices(carl) != []


async def test_a_domain_is_asked_when_somebody_leaves_or_takes_along(house: House) -> None:
    bea = await person(house, "bea")
    asked: list[str] = []

    async def closed(tx: Tx, user_id: str) -> None:
        asked.append(user_id)

    large = house.app.settings.data_dir / "files" / "large.bin"
    large.write_bytes(bytes(range(256)) * 4096)

    async def export(user_id: str) -> Mapping[str, bytes | Path]:
        return {"rows.json": user_id.encode(), "large.bin": large}

    closing.use([closed], {"tickets": export})
    await closing.write_export(bea)
    with zipfile.ZipFile(await closing.fetch_export(bea)) as archive:
        assert archive.read("tickets/rows.json") == bea.encode()
        assert archive.read("tickets/large.bin") == large.read_bytes(), "a file comes as it is"
    assert not list((house.app.settings.data_dir / "tmp").iterdir()), "nothing stays half-made"
    await closing.close_own(bea, GOOD, Caller(ip="192.0.2.7"))
    assert asked == [bea]


async def test_a_domain_that_fails_keeps_the_account_whole(house: House) -> None:
    bea = await person(house, "bea")

    async def closed(tx: Tx, user_id: str) -> None:
        raise RuntimeError("no")

    closing.use([closed], {})
    with pytest.raises(RuntimeError):
        await closing.close(bea, bea)
    assert await DB.value("SELECT login FROM users WHERE id = ?", (bea,)) == "bea"


async def test_archives_are_asked_for_five_times_an_hour_at_most(house: House) -> None:
    bea = await person(house, "bea")
    for _ in range(5):
        await closing.order_export(bea)
    with pytest.raises(Conflict):
        await closing.order_export(bea)
