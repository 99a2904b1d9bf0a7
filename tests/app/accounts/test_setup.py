"""The first admin: only who can read the server's console or files becomes one."""

import asyncio
import re
from pathlib import Path

import pytest

from app.accounts.service import sessions, setup
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn
from app.accounts.service.throttle import Throttled
from app.core.errors import Invalid, NotFound
from db import failpoints
from db.engine import DB
from tests.app.accounts.conftest import GOOD

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("house")]


async def enter(data_dir: Path, token: str, hasher: Hasher, login: str = "ada") -> SignedIn:
    caller = Caller(ip="192.0.2.7")
    return await setup.first_admin(data_dir, token, login, "", GOOD, caller, hasher=hasher)


def token_in(data_dir: Path) -> str:
    return (data_dir / setup.TOKEN_FILE).read_text().strip()


@pytest.mark.feature("X-03")
async def test_the_token_makes_the_first_admin_once(data_dir: Path, hasher: Hasher) -> None:
    file = data_dir / setup.TOKEN_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    token = token_in(data_dir)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", token)
    entered = await enter(data_dir, f" {token}\n", hasher)
    visit = await sessions.read_session(entered.token)
    assert visit is not None
    assert visit.role == "admin"
    assert not file.exists()
    assert not await setup.is_open()
    with pytest.raises(NotFound):
        await enter(data_dir, token, hasher, "eve")
    assert await setup.prepare(data_dir) is None
    assert not file.exists()


@pytest.mark.feature("X-03")
async def test_without_the_token_there_is_no_way_in(data_dir: Path, hasher: Hasher) -> None:
    token = token_in(data_dir)
    wrong = ["", " ", "x" * 22, token[:-1], token.swapcase(), token + "x"]
    for guess in wrong:
        with pytest.raises(Invalid) as refusal:
            await enter(data_dir, guess, hasher)
        assert list(refusal.value.fields) == ["token"]
    (data_dir / setup.TOKEN_FILE).unlink()
    with pytest.raises(Invalid):
        await enter(data_dir, "", hasher)
    assert await DB.value("SELECT count(*) FROM users") == 0


async def test_ten_wrong_tokens_close_the_door(data_dir: Path, hasher: Hasher) -> None:
    for _ in range(10):
        with pytest.raises(Invalid):
            await enter(data_dir, "wrong", hasher)
    with pytest.raises(Throttled):
        await enter(data_dir, token_in(data_dir), hasher)


async def test_of_twenty_who_set_up_at_once_one_becomes_admin(
    data_dir: Path, hasher: Hasher
) -> None:
    token = token_in(data_dir)
    results = await asyncio.gather(
        *(enter(data_dir, token, hasher, f"admin{n}") for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, SignedIn) for result in results) == 1
    assert sum(isinstance(result, NotFound) for result in results) == 19
    assert await DB.value("SELECT count(*) FROM users") == 1
    assert await DB.value("SELECT count(*) FROM sessions") == 1


async def test_the_token_is_made_once_and_kept_over_a_restart(data_dir: Path) -> None:
    token = token_in(data_dir)
    assert await setup.prepare(data_dir) is None
    assert token_in(data_dir) == token
    (data_dir / setup.TOKEN_FILE).write_text("")
    fresh = await setup.prepare(data_dir)
    assert fresh == token_in(data_dir) != token


@pytest.mark.parametrize("point", ["setup_after_user_insert", "setup_before_commit"])
async def test_a_fault_inside_the_transaction_leaves_the_door_open(
    data_dir: Path, hasher: Hasher, point: str
) -> None:
    failpoints.arm(f"{point}:raise")
    with pytest.raises(failpoints.FailpointHit):
        await enter(data_dir, token_in(data_dir), hasher)
    assert await setup.is_open()
    assert await enter(data_dir, token_in(data_dir), hasher)


async def test_a_fault_after_the_commit_leaves_an_admin_and_no_door(
    data_dir: Path, hasher: Hasher
) -> None:
    failpoints.arm("setup_after_commit:raise")
    with pytest.raises(failpoints.FailpointHit):
        await enter(data_dir, token_in(data_dir), hasher)
    assert not await setup.is_open()
    assert await setup.prepare(data_dir) is None
    assert not (data_dir / setup.TOKEN_FILE).exists()


@pytest.mark.feature("X-03")
async def test_the_environment_may_name_the_first_admin(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{GOOD}\n")
    made = await setup.admin_from_file("ada", file)
    assert made
    assert await setup.admin_from_file("ada", file) is None
    assert await setup.prepare(data_dir) is None
    file.write_text("weak\n")
    assert await setup.admin_from_file("eve", file) is None, "only an empty house is looked after"


async def test_a_weak_password_of_the_environment_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("weak\n")
    with pytest.raises(Invalid):
        await setup.admin_from_file("ada", file)
    assert await setup.is_open()
