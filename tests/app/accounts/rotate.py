"""Run by test_rekey.py in its own process: rotate a key, if nobody kills us on the way."""

import asyncio
import sys
from pathlib import Path

from app.accounts.service import rekey
from app.core import vault
from db.engine import DB


async def rotate(data_dir: Path, what: str) -> None:
    await DB.open(data_dir / "holdfast.db")
    await vault.load(data_dir, {})
    if what == "master":
        await rekey.rotate_master(data_dir, {})
    else:
        await rekey.rotate_data()
        await rekey.reseal_all()
    await DB.close()


if __name__ == "__main__":
    asyncio.run(rotate(Path(sys.argv[1]), sys.argv[2]))
