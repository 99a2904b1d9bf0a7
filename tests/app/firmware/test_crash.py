"""kill -9 at named and at random moments: the next start goes on, and the files are the same."""

import asyncio
import hashlib
import os
import random
import signal
import sys
import zipfile
from pathlib import Path

import apsw
import pytest

from app.demo.fus.serve import Fus
from tests.app.firmware import site

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]


async def run(database: Path, fus: Fus, point: str = "", after_s: float | None = None) -> int:
    """The program until it is done or dead; its exit code."""
    env = {**os.environ, "HOLDFAST_FAILPOINT": point}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.app.firmware.child", str(database), fus.url),
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
    )
    if after_s is not None:
        await asyncio.sleep(after_s)
        if child.returncode is None:
            child.kill()
    return await child.wait()


def check_files(database: Path, fus: Fus) -> None:
    """Everything the tables say lies on disk, whole and right."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        ((version, state),) = connection.execute("SELECT id, state FROM firmware")
        assert state == "ready"
        requests = list(connection.execute("SELECT status FROM firmware_requests"))
        assert requests == [("ready",)]
        parts = list(connection.execute("SELECT filename, md5sum FROM firmware_components"))
    finally:
        connection.close()
    home = database.parent / "files" / "firmware"
    assert sorted(path.name for path in home.iterdir()) == [str(version), f"{version}.zip"]
    with zipfile.ZipFile(home / f"{version}.zip") as zipped:
        assert zipped.testzip() is None
        for name, md5 in parts:
            data = (home / str(version) / name).read_bytes()
            assert data == zipped.read(name)
            tar = data[: data.rindex(b"\0") + 1]
            assert hashlib.md5(tar, usedforsecurity=False).hexdigest() == md5


@pytest.mark.feature("F-22")
@pytest.mark.parametrize(
    "point",
    [
        "firmware_write:2",
        "firmware_saved",
        "firmware_member_done:2",
        "firmware_fetched",
        "firmware_renamed",
    ],
)
async def test_killed_at_a_point_it_goes_on(database: Path, fus: Fus, point: str) -> None:
    assert await run(database, fus, point) == -signal.SIGKILL
    assert await run(database, fus) == 0
    check_files(database, fus)
    saved = point in ("firmware_saved", "firmware_fetched", "firmware_renamed")
    again = site.file_stats(fus)["again"]
    assert again == 0 if saved else again <= site.file_stats(fus)["once"]


@pytest.mark.feature("F-22")
async def test_killed_at_random_moments_it_goes_on(database: Path, fus: Fus) -> None:
    fus.scenario("slow", rate=200_000)
    for _ in range(2):  # the third crash of one job would put it aside
        await run(database, fus, after_s=random.uniform(0.8, 2.2))
    fus.reset()
    assert await run(database, fus) == 0
    check_files(database, fus)
