"""The end of a download: the archive and its parts get their names, then one commit says so."""

import asyncio
import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.core.files import private_folder, sync_folder
from app.firmware import archive, settings, versions
from app.firmware.outcomes import Fault
from app.firmware.pipeline import disk
from app.firmware.pipeline.segments import Segment
from app.firmware.service import records, wishes
from app.firmware.service.records import Part, Version
from db import clock
from db.engine import DB
from db.failpoints import afailpoint
from jobs.context import Context


def open_folder(firmware_id: int) -> Path:
    """Where parts are unpacked to, made if needed."""
    return private_folder(records.open_folder(firmware_id))


def finished(firmware_id: int, parts: Sequence[Part]) -> set[str]:
    """Parts that were checked before and lie in one of the two folders with their full size."""
    folders = (records.parts_folder(firmware_id), records.open_folder(firmware_id))
    return {
        part.filename
        for part in parts
        if part.present
        and any(_size(folder / part.filename) == part.size_bytes for folder in folders)
    }


def reserve(firmware_id: int, size: int) -> None:
    """Take the blocks of the archive now. Fault disk_full."""
    fd = os.open(records.part_file(firmware_id), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        with disk_faults():
            disk.reserve(fd, size)
    finally:
        os.close(fd)


def reserved(firmware_id: int, filled: int) -> int:
    """Bytes of the disk that the archive took before and has not `filled`."""
    try:
        taken = records.part_file(firmware_id).stat().st_blocks * 512
    except FileNotFoundError:
        return 0
    return max(0, taken - filled)


def clear(firmware_id: int, keep: set[str]) -> None:
    """Remove parts that were begun and not ended: they are unpacked anew, and count as room."""
    for path in open_folder(firmware_id).iterdir():
        if path.name not in keep:
            path.unlink()


def hollow(
    firmware_id: int, segments: Sequence[Segment], ranges: Sequence[tuple[int, int]]
) -> list[Segment]:
    """Pieces whose bytes in these ranges were given back: unpacked in little room, then a crash."""
    try:
        file = records.part_file(firmware_id).open("rb")
    except FileNotFoundError:
        return []
    with file:
        size = os.fstat(file.fileno()).st_size
        return [
            segment
            for segment in segments
            if any(
                _hole(file.fileno(), max(segment.start, start), min(here, end, size))
                for start, end in ranges
                if (here := segment.start + segment.done) > start and segment.start < end
            )
        ]


def _hole(fd: int, start: int, end: int) -> bool:
    return start < end and os.lseek(fd, start, os.SEEK_HOLE) < end


def is_lost(firmware_id: int) -> bool:
    """Whether nothing of the archive is on disk, whatever the pieces say."""
    return not (records.part_file(firmware_id).exists() or records.zip_file(firmware_id).exists())


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """A full disk is a state to wait in, not a crash."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Fault("disk_full", os.strerror(error.errno)) from error
        raise


async def land(
    version: Version,
    parts: Sequence[Part],
    whole: bool,
    ctx: Context,
    *,
    md5: str | None,
    keep: bool,
) -> None:
    """Rename, then commit. Every step may have been done by an attempt that died here."""
    every = await records.list_parts(version.id)
    members = records.members(every, version.size_bytes)
    archive.check_versions(members, versions.pda(version.version_code))
    keep = keep and whole and bool(await settings.get("keep_zip"))
    kept = await asyncio.to_thread(_rename, version, whole, keep)
    if whole:
        await records.set_state(version.id, "verifying", decrypted=1)
    await afailpoint("firmware_renamed")
    names = [part.filename for part in (every if whole else parts)]
    async with DB.tx() as tx:
        await _ready(version, names, whole, kept, md5)
        await wishes.satisfy(await records.get_version(version.id))
        await ctx.complete(tx, {"firmware_id": version.id, "parts": names})


async def _ready(
    version: Version, names: list[str], whole: bool, kept: bool, md5: str | None
) -> None:
    await DB.execute(
        "UPDATE firmware_components SET present = 1 WHERE firmware_id = ?"
        " AND filename IN (SELECT value FROM json_each(?))",
        (version.id, json.dumps(names)),
    )
    more: dict[str, Any] = {"error_code": None, "error_text": None, "last_used_at": clock.text()}
    if whole:
        more |= {"downloaded": 1, "decrypted": 1, "extracted": 1, "zip_present": int(kept)}
        more |= {"bytes_done": version.size_bytes}
        if md5:
            more["content_md5"] = md5
        await DB.execute("DELETE FROM firmware_segments WHERE firmware_id = ?", (version.id,))
    await records.set_state(version.id, "ready" if whole else "partial", **more)


def _rename(version: Version, whole: bool, keep: bool) -> bool:
    """Give everything its name. Whether the archive stays."""
    part, final = records.part_file(version.id), records.zip_file(version.id)
    kept = False
    if whole:
        kept = _land_zip(part, final, version.size_bytes) if keep else False
        if not kept:
            part.unlink(missing_ok=True)
    _land_folder(records.open_folder(version.id), records.parts_folder(version.id))
    sync_folder(records.home())
    return kept


def _land_zip(part: Path, final: Path, size: int) -> bool:
    """Cut the padding, sync, rename; the fsync comes before the name."""
    if final.exists():  # an earlier attempt came this far
        part.unlink(missing_ok=True)
        return True
    if not part.exists():
        return False
    fd = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if os.fstat(fd).st_blocks * 512 < size:  # holes: it was unpacked in little room
            return False
        if os.fstat(fd).st_size == size:
            pad = archive.unpad(os.pread(fd, archive.BLOCK, size - archive.BLOCK))
            os.ftruncate(fd, size - pad)
        os.fsync(fd)
    finally:
        os.close(fd)
    part.replace(final)
    return True


def _land_folder(unpacked: Path, final: Path) -> None:
    if not unpacked.is_dir():
        return
    sync_folder(unpacked)
    if not final.exists():
        unpacked.replace(final)
        return
    for file in unpacked.iterdir():
        file.replace(final / file.name)
    sync_folder(final)
    shutil.rmtree(unpacked)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return -1
