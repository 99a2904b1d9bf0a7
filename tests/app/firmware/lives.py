"""The program killed and started again, and a witness of what it fetched twice."""

import asyncio
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import apsw

from app.demo.fus.serve import Fus

ROOT = Path(__file__).resolve().parents[3]
Range = tuple[int, int]


async def live(
    database: Path, url: str, *, point: str = "", kill_at: asyncio.Event | float | None = None
) -> int:
    """The program until it is done or dead; its exit code."""
    env = {**os.environ, "HOLDFAST_FAILPOINT": point}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.app.firmware.child", str(database), url),
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
    )
    ended = asyncio.ensure_future(child.wait())
    if kill_at is not None:
        due = kill_at.wait() if isinstance(kill_at, asyncio.Event) else asyncio.sleep(kill_at)
        waiting = asyncio.ensure_future(due)
        await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if child.returncode is None:
            child.kill()
    return await ended


def verified(database: Path) -> list[Range]:
    """The ranges that the tables say are on disk: synced before they were written down."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5000)
    try:
        rows = connection.execute("SELECT start, done FROM firmware_segments WHERE done > 0")
        return [(start, start + done) for start, done in rows]
    finally:
        connection.close()


def sent(log: Iterable[dict[str, object]]) -> list[Range]:
    """The ranges that the stand-in sent, by its own log."""
    lines = [line for line in log if line["kind"] == "bytes" and line["sent"]]
    return [(int(str(x["start"])), int(str(x["start"])) + int(str(x["sent"]))) for x in lines]


def twice(before: Iterable[Range], after: Iterable[Range]) -> list[Range]:
    """What of `after` was in `before` already."""
    return [
        (max(start, begin), min(stop, end))
        for begin, end in before
        for start, stop in after
        if max(start, begin) < min(stop, end)
    ]


def check_files(database: Path) -> None:
    """Everything the tables say lies on disk, whole and right, and nothing else."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5000)
    try:
        ((version, state),) = connection.execute("SELECT id, state FROM firmware")
        assert state == "ready"
        found = connection.execute("SELECT status FROM firmware_requests ORDER BY id")
        requests = [status for (status,) in found]
        # one that crashed three times was put aside, and asked for again
        assert requests[-1] == "ready"
        assert set(requests[:-1]) <= {"failed"}
        parts = list(connection.execute("SELECT filename, md5sum FROM firmware_components"))
    finally:
        connection.close()
    home = database.parent / "files" / "firmware"
    assert sorted(path.name for path in home.iterdir()) == [str(version), f"{version}.zip"]
    with zipfile.ZipFile(home / f"{version}.zip") as zipped:
        assert zipped.testzip() is None
        for name, md5 in parts:
            path = home / str(version) / name
            size = path.stat().st_size
            with path.open("rb") as file:
                file.seek(-512, os.SEEK_END)
                tail = file.read()
                tar = size - len(tail) + tail.rindex(b"\0") + 1
                file.seek(0)
                digest = hashlib.md5(usedforsecurity=False)
                while tar > 0:
                    data = file.read(min(tar, 2**20))
                    digest.update(data)
                    tar -= len(data)
            assert digest.hexdigest() == md5
            assert zipped.getinfo(name).file_size == size


async def saved(database: Path, more_than: int) -> None:
    """Wait until the tables have more bytes of the download than that."""

    def look() -> int:
        return sum(stop - start for start, stop in verified(database))

    while await asyncio.to_thread(look) <= more_than:  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.05)


def fus_log(fus: Fus, since: int) -> list[dict[str, object]]:
    """What happened at the stand-in from a line on."""
    return list(fus.log()[since:])
