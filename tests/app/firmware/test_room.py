"""Small and full disks, for real: a file system of a few MiB that nobody else sees."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from app.demo.fus.serve import Fus
from tests.app.firmware import pipe, site
from tests.app.firmware.lives import ROOT
from tests.app.firmware.small_disk import UNSHARE
from tests.app.firmware.test_lines import addresses, large

pytestmark = [pytest.mark.anyio, pytest.mark.feature("F-38")]

__all__ = ["large"]
MIB = 1024 * 1024


async def outcome(database: Path, fus: Fus, mib: int, case: str) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(*UNSHARE, sys.executable, "-m", "tests.app.firmware.small_disk"),
        *(str(database), fus.url, str(mib), case),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await child.communicate()
    assert child.returncode == 0, complaints.decode()[-3000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


async def test_little_room_is_enough_for_the_parts_alone(database: Path, large: Fus) -> None:
    """10.5 MiB packed and 12 unpacked do not fit 20: what is unpacked is let go of on the way."""
    found = await outcome(database, large, 20, "tight")
    assert (found["state"], found["zip"], len(found["parts"])) == ("ready", 0, 5)
    assert 12 * MIB <= found["used"] < 13 * MIB
    assert site.file_stats(large)["again"] == 0


@pytest.mark.usefixtures("db")
async def test_what_is_unpacked_takes_no_room_also_where_two_parts_meet(
    large: Fus, tmp_path: Path
) -> None:
    run = pipe.Run()
    part = await pipe.fetch(addresses(large), tmp_path, run, tight=True)
    assert [member.wrong for member in run.checked] == [""] * 5
    assert part.stat().st_size > 10 * MIB
    assert part.stat().st_blocks * 512 < 1.2 * MIB  # the last step and the directory


async def test_no_room_is_said_with_numbers_and_a_way_out(database: Path, large: Fus) -> None:
    found = await outcome(database, large, 10, "none")
    assert (found["state"], found["code"]) == ("failed", "no_space")
    assert "There is not enough room on the disk." in found["end"]
    assert "fetch only some parts" in found["end"]
    assert "MB" in found["text"]
    assert found["parts"] == []


async def test_a_disk_that_fills_up_holds_the_download_until_there_is_room(
    database: Path, large: Fus
) -> None:
    large.scenario("slow", rate=1_000_000)
    # Room for the archive and its parts once, so what was reserved must not be asked for again.
    found = await outcome(database, large, 26, "fill")
    assert found["reserved"] > 10 * MIB
    assert found["promised"] > 20 * MIB
    assert found["paused"] == "disk_full"
    assert "The disk is full." in found["page"]
    assert "goes on by itself" in found["page"]
    assert (found["state"], found["zip"], len(found["parts"])) == ("ready", 1, 5)
    stats = site.file_stats(large)
    assert stats["again"] <= 6 * MIB
    assert stats["bytes"] < 1.5 * stats["once"]
