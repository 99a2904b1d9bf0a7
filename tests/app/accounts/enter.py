"""Run by test_kill.py in its own process: go through one door, if nobody kills us on the way."""

import asyncio
import sys
from pathlib import Path

from app.accounts.service import redeem, setup
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import vault
from db.engine import DB
from tests.app.accounts.conftest import CountingArgon2
from tests.app.accounts.people import PASSWORD


async def enter(data_dir: Path, door: str, key: str) -> None:
    await DB.open(data_dir / "holdfast.db")
    await vault.load(data_dir, {})
    hasher, caller = Hasher(CountingArgon2()), Caller(ip="192.0.2.7")
    if door == "setup":
        await setup.first_admin(data_dir, key, "ada", "", PASSWORD, caller, hasher=hasher)
    else:
        await redeem.redeem(key, "bea", "", PASSWORD, caller, hasher=hasher)
    await DB.close()


if __name__ == "__main__":
    asyncio.run(enter(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
