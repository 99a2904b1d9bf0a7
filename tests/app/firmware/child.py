"""The program in a process of its own that may be killed: orders the newest version, waits for it.

`python -m tests.app.firmware.child <database> <url of the stand-in>`
"""

import asyncio
import sys
from pathlib import Path

from app.core import settings
from app.demo.fus.serve import profile
from app.firmware.service import wishes
from db.engine import DB
from tests.app.firmware import site
from tests.app.house import running

PATIENCE_S = 600


async def main(database: Path, url: str) -> None:
    async with running(database) as house:
        chosen = {f"profile.{name}": value for name, value in profile(url).items()}
        for name, value in {**chosen, "confirmed": True, "min_free_mib": 1}.items():
            await settings.put(f"firmware.{name}", value, None, actor_kind="system")
        if not await DB.value("SELECT 1 FROM users"):
            await house.person("jana")
        user = await DB.value("SELECT id FROM users LIMIT 1")
        version = await site.newest(user)
        if not await DB.value("SELECT 1 FROM firmware_requests"):
            await site.order(user, version)
        await site.hurry()
        await home(user, version)


async def home(user: str, version: str) -> None:
    """Wait for the end; a download that crashed three times is tried again, as a person would."""
    async with asyncio.timeout(PATIENCE_S):
        while (state := await site.state_of(version)) != "ready":
            row = await DB.one("SELECT id, error_code FROM firmware WHERE state = 'failed'")
            if row and row["error_code"] != "poison":
                raise RuntimeError(f"{state}: {row['error_code']}")
            if row:
                await wishes.resume(user, row["id"])
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
