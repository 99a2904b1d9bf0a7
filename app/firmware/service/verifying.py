"""Read every stored part again: size, CRC of the archive, MD5 footer."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
from isal import isal_zlib

from app.core.errors import Conflict
from app.core.i18n import _
from app.firmware import archive
from app.firmware.payloads import Verify
from app.firmware.pipeline.unpack import FOOTER
from app.firmware.service import records
from app.firmware.service.records import Part
from db.engine import DB
from jobs.context import Context
from jobs.enqueue import enqueue
from jobs.outcome import Cancelled

PIECE = 256 * 1024


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a file on disk is."""

    size: int
    crc32: int
    footer: str | None
    footer_ok: bool | None
    whole: str


async def order_verify(user_id: str, firmware_id: int) -> None:
    """Ask for a check of everything on disk."""
    version = await records.get_version(firmware_id)
    if version.state not in ("ready", "partial"):
        raise Conflict(_("There are no files to check."))
    payload = Verify(firmware_id=firmware_id, version=version.version_code)
    await enqueue(payload, owner=user_id)


async def run_verify(job: Verify, ctx: Context) -> None:
    """Compare every present part with what was written down of it."""
    parts = [part for part in await records.list_parts(job.firmware_id) if part.present]
    wrong: list[str] = []
    results: list[tuple[Part, Found | None]] = []
    for at, part in enumerate(parts):
        path = records.parts_folder(job.firmware_id) / part.filename
        found = await asyncio.to_thread(_read, path, lambda: bool(ctx.stopped))
        ctx.check()
        results.append((part, found))
        if found is None or not _fits(part, found):
            wrong.append(part.filename)
            ctx.log.warn("does not fit", part=part.filename)  # noqa: G010
        await ctx.progress(at + 1, len(parts), part.filename)
    async with DB.tx() as tx:
        for part, found in results:
            await DB.execute(
                "UPDATE firmware_components SET md5_ok = ?, md5sum_file = ? WHERE id = ?",
                (_flag(found), found.whole if found else None, part.id),
            )
        if wrong:
            text = ", ".join(wrong)
            await records.set_state(
                job.firmware_id, "failed", error_code="bad_md5", error_text=text
            )
            await DB.execute(
                "UPDATE firmware_components SET present = 0 WHERE firmware_id = ? AND filename IN"
                " (SELECT value FROM json_each(?))",
                (job.firmware_id, msgspec.json.encode(wrong).decode()),
            )
        await ctx.complete(tx, {"wrong": wrong})


async def on_verify_failed(job: Verify, error: BaseException, _tx: Any) -> None:
    """It could not be read at all."""
    if not isinstance(error, Cancelled):
        await records.set_state(
            job.firmware_id, "failed", error_code="bad_md5", error_text=str(error)[:500]
        )


def _fits(part: Part, found: Found) -> bool:
    crc_fits = part.zip_crc32 is None or part.zip_crc32 == found.crc32
    return found.size == part.size_bytes and crc_fits and found.footer_ok is not False


def _flag(found: Found | None) -> int | None:
    if found is None or found.footer_ok is None:
        return None
    return int(found.footer_ok)


def _read(path: Path, stopped: Any) -> Found | None:
    """One pass over a file; None where there is none, or somebody asked to stop."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        size = os.fstat(fd).st_size
        last = os.pread(fd, FOOTER, max(0, size - FOOTER))
        said = archive.footer(last)
        body = size - (said[1] if said else 0)
        crc, at = 0, 0
        whole = hashlib.md5(usedforsecurity=False)
        inner = hashlib.md5(usedforsecurity=False)
        while at < size:
            if stopped():
                return None
            data = os.pread(fd, PIECE, at)
            if not data:
                return None
            crc = isal_zlib.crc32(data, crc)
            whole.update(data)
            if said:
                inner.update(data[: max(0, body - at)])
            at += len(data)
        return Found(
            size=size,
            crc32=crc,
            footer=said[0] if said else None,
            footer_ok=inner.hexdigest() == said[0] if said else None,
            whole=whole.hexdigest(),
        )
    finally:
        os.close(fd)
