"""The program on a disk of a few MiB, in a process of its own: prints what came of one download.

`python -m tests.app.firmware.small_disk <database> <url> <MiB> <case> [seconds]`, started by
`unshare` so that the small disk is seen by nobody else. Case `fill`: the disk fills up while
the download runs, and is freed when the program says that it waits for that.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.core import settings
from app.demo.fus.serve import profile
from app.firmware.pipeline import disk
from app.firmware.service import records
from tests.app.firmware import site
from tests.app.house import running

# Who is root needs no namespace of users, which some machines forbid.
UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))


async def main(
    database: Path, url: str, mib: int, case: str, seconds: float = 60
) -> dict[str, Any]:
    """Order the newest version and wait for its end."""
    async with running(database) as house:
        chosen = {f"profile.{name}": value for name, value in profile(url).items()}
        for name, value in {**chosen, "confirmed": True, "min_free_mib": 1}.items():
            await settings.put(f"firmware.{name}", value, None, actor_kind="system")
        user = await house.person("jana")
        browser = await house.browser(user)
        version = await site.newest(user)
        home = records.home()
        mount(home, mib)
        empty = free(home)
        await site.order(user, version)
        told: dict[str, Any] = {"empty": empty}
        if case == "fill":
            row = await site.fetched(version, "downloading", seconds)
            part = records.part_file(row["id"])
            told["reserved"] = await site.until(lambda: blocks(part, row["size_bytes"]))
            told["promised"] = free(home) - disk.free_bytes(home)
            fill(home / "filler")
            row = await site.fetched(version, "paused", seconds)
            told |= {"paused": row["error_code"], "page": await words(browser, row["id"])}
            (home / "filler").unlink()
            await site.hurry()
        row = await site.fetched(version, "failed" if case == "none" else "ready", seconds)
        told |= {
            "state": row["state"],
            "code": row["error_code"],
            "text": row["error_text"],
            "zip": row["zip_present"],
            "used": empty - free(home),
            "parts": sorted(path.name for path in home.glob("*/*")),
            "end": await words(browser, row["id"]),
        }
        return told


def mount(folder: Path, mib: int) -> None:
    """A file system of that size on the folder, for this process alone."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=True)


def fill(path: Path) -> None:
    """A file that takes all there is."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))


def free(folder: Path) -> int:
    """Bytes that may still be written."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


async def blocks(part: Path, size: int) -> int:
    """What the unfinished archive takes of the disk, once that is all of it."""
    taken = part.stat().st_blocks * 512 if part.exists() else 0
    return taken if taken >= size else 0


async def words(browser: Any, firmware_id: int) -> str:
    """The version's page."""
    return str((await browser.get(f"/firmware/{firmware_id}")).text)


if __name__ == "__main__":
    database, url, mib, case, *patience = sys.argv[1:]
    found = asyncio.run(main(Path(database), url, int(mib), case, *map(float, patience)))
    sys.stdout.write(json.dumps(found))
