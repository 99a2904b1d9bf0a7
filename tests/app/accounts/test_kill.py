"""A process that dies on its way through a door leaves all of an account, or nothing."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from app.accounts.service import invites, setup
from app.accounts.service.passwords import Hasher
from app.core import vault
from db.engine import DB
from tests.app.accounts.conftest import GOOD

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]
# Where it dies, and whether the account is there afterwards.
POINTS = {
    "invite_after_token_check": False,
    "invite_after_user_insert": False,
    "invite_after_token_mark": False,
    "invite_before_commit": False,
    "invite_after_commit": True,
    "setup_after_token_check": False,
    "setup_after_user_insert": False,
    "setup_before_commit": False,
    "setup_after_commit": True,
}


async def open_house(data_dir: Path) -> None:
    await DB.open(data_dir / "holdfast.db")
    await vault.load(data_dir, {})


async def prepare(data_dir: Path, door: str, hasher: Hasher) -> str:
    """A house in which one key opens the door; the key."""
    await open_house(data_dir)
    try:
        await setup.prepare(data_dir)
        if door == "setup":
            return (data_dir / setup.TOKEN_FILE).read_text().strip()
        admin = await setup.create_admin("ada", GOOD, hasher=hasher)
        return (await invites.create_invite(admin)).secret
    finally:
        await DB.close()


async def die(point: str, data_dir: Path, door: str, key: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.app.accounts.enter",
        str(data_dir),
        door,
        key,
        cwd=ROOT,
        env={**os.environ, "HOLDFAST_FAILPOINT": f"{point}:kill"},
    )
    return await process.wait()


async def counts(data_dir: Path) -> dict[str, int]:
    await open_house(data_dir)
    try:
        assert await DB.value("PRAGMA integrity_check") == "ok"
        row = await DB.one(
            "SELECT (SELECT count(*) FROM users) AS users,"
            " (SELECT count(*) FROM sessions) AS sessions,"
            " (SELECT count(*) FROM invite_tokens WHERE used_by IS NOT NULL) AS used"
        )
        assert row is not None
        assert await setup.prepare(data_dir) is None
        assert (data_dir / setup.TOKEN_FILE).exists() == await setup.is_open()
        return row
    finally:
        await DB.close()


async def test_killed_anywhere_on_the_way_it_is_all_or_nothing(
    migrated: Path, tmp_path: Path, hasher: Hasher
) -> None:
    doors = []
    for point in POINTS:
        data_dir, door = tmp_path / point, point.partition("_")[0]
        data_dir.mkdir(mode=0o700)
        shutil.copy(migrated, data_dir / "holdfast.db")
        doors.append((point, data_dir, door, await prepare(data_dir, door, hasher)))
    codes = [0] * len(doors)
    for start in range(0, len(doors), 3):
        codes[start : start + 3] = await asyncio.gather(
            *(die(*door) for door in doors[start : start + 3])
        )
    assert codes == [-signal.SIGKILL] * len(doors)
    for point, data_dir, door, _key in doors:
        made = int(POINTS[point])
        # Before an invite is used the first admin is in the house already.
        people = 1 + made if door == "invite" else made
        used = made if door == "invite" else 0
        assert await counts(data_dir) == {"users": people, "sessions": made, "used": used}, point
