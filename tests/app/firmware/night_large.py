"""`make night`: a file of 1.2 GB, fifty kills, small and full disks at that size, large saves.

Minutes and gigabytes, so a plain `pytest` does not collect it: name the file to run it alone.
"""

import asyncio
import json
import random
import resource
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.core import guard
from app.demo.fus.serve import Fus, running_fus
from app.firmware.service import records
from tests.app.firmware import site
from tests.app.firmware.lives import ROOT, check_files, fus_log, live, sent, twice, verified
from tests.app.firmware.small_disk import UNSHARE
from tests.app.house import House
from tests.app.web.server import running as served

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SIZE = 1200 * MIB
PACKED = SIZE * 9 // 10
KILLS, SAVE_S, RATE, LINES = 50, 5, 300_000, 6
PATIENCE_S = "600"


@pytest.fixture
async def huge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fus]:
    folder = tmp_path_factory.getbasetemp() / "huge-shelf"
    async with running_fus(folder=folder, size=SIZE) as running:
        await running.file(site.MODEL, csc=site.CSC)
        yield running
    guard.local_only(False)


async def test_fifty_kills_at_random_moments(database: Path, huge: Fus) -> None:
    seed = random.randrange(2**32)
    pick = random.Random(seed)
    huge.scenario("slow", rate=RATE)
    again = 0
    for number in range(KILLS):
        before, line = verified(database), len(huge.log())
        code = await live(database, huge.url, kill_at=pick.uniform(2, 11))
        assert code == -signal.SIGKILL, f"life {number} ended with {code}, seed {seed}"
        assert twice(before, sent(fus_log(huge, line))) == [], f"life {number}, seed {seed}"
        again += len(before)
    huge.scenario("ok")
    before, line = verified(database), len(huge.log())
    assert await live(database, huge.url) == 0
    assert twice(before, sent(fus_log(huge, line))) == [], f"seed {seed}"
    assert again, "something was kept from one life to the next"
    check_files(database)
    stats = site.file_stats(huge)
    assert stats["bytes"] <= stats["once"] + KILLS * SAVE_S * RATE * LINES


async def small_disk(database: Path, fus: Fus, mib: int, case: str) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(*UNSHARE, sys.executable, "-m", "tests.app.firmware.small_disk"),
        *(str(database), fus.url, str(mib), case, PATIENCE_S),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _nothing = await child.communicate()
    assert child.returncode == 0
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


async def test_little_room_at_size(database: Path, huge: Fus) -> None:
    """300 MiB beside the parts are enough for 1.2 GB: holes follow the unpacking."""
    found = await small_disk(database, huge, SIZE // MIB + 300, "tight")
    assert (found["state"], found["zip"], len(found["parts"])) == ("ready", 0, 5)
    assert SIZE <= found["used"] < SIZE + 20 * MIB
    assert site.file_stats(huge)["again"] == 0


async def test_a_full_disk_at_size(database: Path, huge: Fus) -> None:
    huge.scenario("slow", rate=30_000_000)
    found = await small_disk(database, huge, (SIZE + PACKED) // MIB + 100, "fill")
    assert found["paused"] == "disk_full"
    assert (found["state"], found["zip"], len(found["parts"])) == ("ready", 1, 5)
    assert site.file_stats(huge)["again"] < SIZE / 4


async def test_a_large_file_is_saved_in_pieces_without_growth(
    house_of: House, huge: Fus, tmp_path: Path
) -> None:
    """curl takes the first third, then `-C -` the rest; twelve readers at once cost no memory."""
    await site.point_at(huge)
    user = await house_of.person("jana", role="admin")
    version = await site.newest(user)
    await site.order(user, version)
    row = await site.fetched(version, seconds=600)
    part = (await records.list_parts(row["id"]))[0]
    path, target = records.parts_folder(row["id"]) / part.filename, tmp_path / "saved"
    token = await house_of.session(user)
    async with served(house_of.app) as base:
        command = ("curl", "-sf", "-b", f"holdfast={token}", "-o")
        url = f"{base}/firmware/{row['id']}/files/{part.filename}"

        async def curl(*more: str, to: str) -> int:
            child = await asyncio.create_subprocess_exec(*command, to, *more, url)
            return await child.wait()

        assert await curl("-r", f"0-{part.size_bytes // 3}", to=str(target)) == 0
        assert target.stat().st_size == part.size_bytes // 3 + 1
        assert await curl("-C", "-", to=str(target)) == 0
        assert target.stat().st_size == part.size_bytes
        check = await asyncio.create_subprocess_exec("cmp", str(path), str(target))
        assert await check.wait() == 0
        with Memory() as memory:
            codes = await asyncio.gather(*[curl(to="/dev/null") for _ in range(12)])
        assert set(codes) == {0}
        assert memory.grown < 100 * MIB


class Memory:
    """How much this process grows inside the block, in bytes."""

    grown = 0

    def __enter__(self) -> "Memory":
        self._over = threading.Event()
        self._before = self._now()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.grown = max(self.grown, self._now() - self._before)

    def _now(self) -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
