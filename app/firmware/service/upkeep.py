"""Housekeeping: what may go when room or age says so, what a crash left, numbers that expire."""

import asyncio
import re
import shutil
from pathlib import Path

from app.core.errors import Conflict
from app.core.i18n import _
from app.firmware import settings
from app.firmware.payloads import Cleanup, Fetch
from app.firmware.pipeline.disk import free_bytes
from app.firmware.service import devices, queries, records, wishes
from app.firmware.service.holders import HOLDERS
from app.firmware.service.records import ACTIVE, Version
from db import clock
from db.engine import DB
from db.failpoints import failpoint
from jobs.context import Context
from jobs.enqueue import enqueue

DAY_S = 86_400
PART_DAYS = 1
SHARE = 0.6
_OURS = re.compile(r"(\d+)(\.zip|\.zip\.part|\.dir\.part|\.enc)?")


async def run_cleanup(_job: Cleanup, ctx: Context) -> None:
    """One round of everything; each step stands alone."""
    repaired = await repair()
    evicted = await retain()
    forgotten = await queries.forget_old(int(await settings.get("imei_retention_days")))
    asked = await devices.check_watched()
    async with DB.tx() as tx:
        done = {"repaired": repaired, "evicted": evicted, "forgotten": forgotten, "asked": asked}
        await ctx.complete(tx, done)


async def order_cleanup() -> None:
    """Ask for one round now."""
    await enqueue(Cleanup())


async def repair() -> int:
    """What a crash left: files without row go, rows without files say so, dead downloads wait."""
    rows = {row["id"]: row["state"] for row in await DB.all("SELECT id, state FROM firmware")}
    on_disk = await asyncio.to_thread(_inventory)
    count = 0
    for firmware_id, files in on_disk.items():
        if firmware_id not in rows:
            await asyncio.to_thread(_remove, files)
            count += len(files)
    for firmware_id, state in rows.items():
        if state in ("ready", "partial") and not records.parts_folder(firmware_id).is_dir():
            await _gone(firmware_id, keep_zip=records.zip_file(firmware_id).exists())
            count += 1
        elif state in ACTIVE and not await _has_job(firmware_id):
            await _again(firmware_id)
            count += 1
    count += await _old_parts()
    return count


async def retain() -> int:
    """Evict by age and by room: archives first, then superseded versions, then the oldest used."""
    keep_days, most = int(await settings.get("keep_days")), await limit_bytes()
    old = clock.text(clock.from_ms(clock.ms() - keep_days * DAY_S * 1000))
    count = 0
    for version in await _candidates():
        if (version.last_used_at or version.created_at) < old and await _may_go(version):
            await evict(version.id)
            count += 1
    while await asyncio.to_thread(used_bytes) > most:
        if not await _make_room():
            break
        count += 1
    return count


async def make_room(need: int) -> int:
    """Evict in the same order until `need` bytes are free, as far as that goes; how many went."""
    count = 0
    while await asyncio.to_thread(free_bytes, records.home()) < need and await _make_room():
        count += 1
    return count


async def limit_bytes() -> int:
    """What firmware may take in all."""
    chosen = int(await settings.get("max_bytes"))
    total = await asyncio.to_thread(lambda: shutil.disk_usage(records.home()).total)
    return chosen or round(SHARE * total)


def used_bytes() -> int:
    """What the folder takes on the disk, holes not counted. Blocking."""
    return sum(file.lstat().st_blocks * 512 for file in records.home().rglob("*") if file.is_file())


async def evict(firmware_id: int) -> None:
    """Remove the files, then say so: a crash between is repaired. Conflict while in use."""
    version = await records.get_version(firmware_id)
    if version.state in ACTIVE:
        raise Conflict(_("It is being fetched: stop that first."))
    if await wishes.open_wishes(firmware_id) and version.state != "failed":
        raise Conflict(_("Somebody waits for it."))
    await asyncio.to_thread(_remove, _files(firmware_id))
    failpoint("firmware_evicted")
    await _gone(firmware_id, keep_zip=False)


async def delete(firmware_id: int) -> None:
    """Remove files and row; requests and queries keep their lines without it."""
    await evict(firmware_id)
    await DB.execute("DELETE FROM firmware WHERE id = ?", (firmware_id,))


async def pin(firmware_id: int, *, pinned: bool) -> None:
    """Keep a version whatever its age, or let it go again."""
    await records.get_version(firmware_id)
    await DB.execute("UPDATE firmware SET pinned = ? WHERE id = ?", (int(pinned), firmware_id))


async def _make_room() -> bool:
    """Take away the next thing in the order of eviction; False where nothing may go."""
    versions = await _candidates()
    for version in versions:
        if version.zip_present and await asyncio.to_thread(_has_parts, version.id):
            await asyncio.to_thread(records.zip_file(version.id).unlink, missing_ok=True)
            await DB.execute("UPDATE firmware SET zip_present = 0 WHERE id = ?", (version.id,))
            return True
    newest = await _newest_per_target()
    for version in sorted(versions, key=lambda each: each.id in newest):
        if await _may_go(version):
            await evict(version.id)
            return True
    return False


async def _candidates() -> list[Version]:
    """Ready versions nobody pinned, reads or waits for, the longest unused first."""
    rows = await DB.all(
        "SELECT id FROM firmware WHERE state IN ('ready', 'partial') AND pinned = 0"
        " AND NOT EXISTS (SELECT 1 FROM firmware_requests r WHERE r.firmware_id = firmware.id"
        " AND r.status = 'queued') ORDER BY coalesce(last_used_at, created_at)"
    )
    return [await records.get_version(row["id"]) for row in rows if not HOLDERS.busy(row["id"])]


async def _may_go(version: Version) -> bool:
    """Whether it is not one of the newest that are kept for a target."""
    return version.id not in await _newest_per_target()


async def _newest_per_target() -> set[int]:
    keep = int(await settings.get("keep_latest_per_target"))
    rows = await DB.all(
        "SELECT firmware_id FROM (SELECT t.firmware_id, row_number() OVER (PARTITION BY t.model,"
        " t.csc ORDER BY coalesce(f.released_at, f.created_at) DESC, f.id DESC) AS place"
        " FROM firmware_targets t JOIN firmware f ON f.id = t.firmware_id"
        " WHERE f.state IN ('ready', 'partial')) WHERE place <= ?",
        (keep,),
    )
    return {row["firmware_id"] for row in rows}


async def _gone(firmware_id: int, *, keep_zip: bool) -> None:
    async with DB.tx():
        await DB.execute("DELETE FROM firmware_segments WHERE firmware_id = ?", (firmware_id,))
        await DB.execute(
            "UPDATE firmware_components SET present = 0 WHERE firmware_id = ?", (firmware_id,)
        )
        await records.set_state(firmware_id, "evicted", zip_present=int(keep_zip), bytes_done=0)


async def _has_job(firmware_id: int) -> bool:
    found = await DB.value(
        "SELECT 1 FROM queueJobs WHERE subjectType = 'firmware' AND subjectId = ?"
        " AND type = 'firmware.fetch' AND state IN ('queued', 'running') LIMIT 1",
        (str(firmware_id),),
    )
    return found is not None


async def _again(firmware_id: int) -> None:
    """A download whose job is gone: held, and asked for again where somebody waits."""
    async with DB.tx():
        await wishes.stopped(firmware_id)
        version = await records.get_version(firmware_id)
        if await wishes.open_wishes(firmware_id):
            await records.set_state(firmware_id, "queued")
            await enqueue(Fetch(firmware_id=firmware_id, version=version.version_code))


async def _old_parts() -> int:
    """Unfinished files of downloads that failed, or that nobody asked for, a day ago."""
    old = clock.text(clock.from_ms(clock.ms() - PART_DAYS * DAY_S * 1000))
    rows = await DB.all(
        "SELECT id FROM firmware WHERE updated_at < ? AND (state IN ('failed', 'evicted')"
        " OR (state IN ('new', 'paused') AND NOT EXISTS (SELECT 1 FROM firmware_requests r"
        " WHERE r.firmware_id = firmware.id AND r.status = 'queued')))",
        (old,),
    )
    count = 0
    for row in rows:
        files = [
            path
            for path in (records.part_file(row["id"]), records.open_folder(row["id"]))
            if path.exists()
        ]
        if files:
            await asyncio.to_thread(_remove, files)
            await DB.execute("DELETE FROM firmware_segments WHERE firmware_id = ?", (row["id"],))
            await DB.execute("UPDATE firmware SET bytes_done = 0 WHERE id = ?", (row["id"],))
            count += 1
    return count


def _has_parts(firmware_id: int) -> bool:
    return records.parts_folder(firmware_id).is_dir()


def _inventory() -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for path in records.home().iterdir():
        ours = _OURS.fullmatch(path.name)
        if ours:
            found.setdefault(int(ours[1]), []).append(path)
    return found


def _files(firmware_id: int) -> list[Path]:
    return [
        records.zip_file(firmware_id),
        records.part_file(firmware_id),
        records.kept_file(firmware_id),
        records.open_folder(firmware_id),
        records.parts_folder(firmware_id),
    ]


def _remove(files: list[Path]) -> None:
    for path in files:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
