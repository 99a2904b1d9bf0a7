"""Takes over what nanosamfw kept: its database, and its files by link or copy. Safe to repeat."""

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Any

import apsw
import msgspec

from app.core.admins import is_admin
from app.core.errors import Invalid
from app.core.files import private_folder
from app.core.i18n import _
from app.firmware import archive, settings, versions
from app.firmware.payloads import Import
from app.firmware.service import queries, records
from db.engine import DB
from jobs.context import Context
from jobs.enqueue import Enqueued, enqueue
from jobs.outcome import Fail

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?")


class Report(msgspec.Struct):
    """What was taken and what was not, with the reason."""

    firmware: int = 0
    components: int = 0
    queries: int = 0
    files: int = 0
    skipped: list[str] = msgspec.field(default_factory=list)


async def order_import(database: str, folder: str, *, dry_run: bool, actor: str) -> Enqueued:
    """Ask for an import of paths on this server."""
    if not await asyncio.to_thread(Path(database).is_file):
        raise Invalid(database=_("There is no such file on this server."))
    if folder and not await asyncio.to_thread(Path(folder).is_dir):
        raise Invalid(folder=_("There is no such folder on this server."))
    return await enqueue(Import(database=database, folder=folder, dry_run=dry_run), owner=actor)


async def run_import(job: Import, ctx: Context) -> None:
    """Read, convert, insert what is new, link files; the report is the job's result.

    Fail where who asked is no admin any more: these are files of the server.
    """
    if not await is_admin(ctx.owner):
        raise Fail("who asked for this is no admin any more", "not_admin")
    source = await asyncio.to_thread(_read, Path(job.database))
    report = Report()
    folder = Path(job.folder) if job.folder else None
    for at, row in enumerate(source["firmware"]):
        ctx.check()
        await _firmware(row, source["component"], folder, report, dry_run=job.dry_run)
        await ctx.progress(at + 1, len(source["firmware"]))
    for row in source["imei_log"]:
        await _query(row, report, dry_run=job.dry_run)
    if not job.dry_run:
        await queries.forget_old(int(await settings.get("imei_retention_days")))
    for line in report.skipped[:200]:
        ctx.log.warn("skipped", why=line)  # noqa: G010 - ours, not logging's
    async with DB.tx() as tx:
        await ctx.complete(tx, msgspec.to_builtins(report))


async def _firmware(
    row: dict[str, Any],
    components: list[dict[str, Any]],
    folder: Path | None,
    report: Report,
    *,
    dry_run: bool,
) -> None:
    try:
        code = versions.normalise(str(row["version_code"]))
        name = archive.check_name(str(row["filename"]))
    except Exception as error:
        report.skipped.append(f"firmware {row.get('id')}: {error}")
        return
    flags = {flag: int(row.get(flag) or 0) for flag in ("downloaded", "decrypted", "extracted")}
    before = await records.find_version(code)
    if before and sum((before.downloaded, before.decrypted, before.extracted)) >= sum(
        flags.values()
    ):
        report.skipped.append(f"{versions.pda(code)}: known already")
        return
    report.firmware += 1
    if dry_run:
        return
    async with DB.tx():
        firmware_id = int(
            await DB.value(
                "INSERT INTO firmware (version_code, filename, path, size_bytes,"
                " logic_value_factory, latest_fw_version, enc_version, downloaded, decrypted,"
                " extracted, state) VALUES (:code, :name, :path, :size, :logic, :latest, :enc,"
                " :downloaded, :decrypted, :extracted, 'evicted') ON CONFLICT (version_code)"
                " DO UPDATE SET downloaded=max(downloaded, excluded.downloaded),"
                " decrypted=max(decrypted, excluded.decrypted),"
                " extracted=max(extracted, excluded.extracted) RETURNING id",
                {
                    "code": code,
                    "name": name,
                    "path": str(row.get("path") or ""),
                    "size": int(row.get("size_bytes") or 0),
                    "logic": str(row.get("logic_value_factory") or ""),
                    "latest": str(row.get("latest_fw_version") or code),
                    "enc": 2 if name.endswith(".enc2") else 4,
                    **flags,
                },
            )
        )
        mine = [part for part in components if part.get("firmware_id") == row.get("id")]
        for part in mine:
            await _component(firmware_id, part, report)
    if folder is not None:
        await _files(firmware_id, name, folder, report)


async def _component(firmware_id: int, part: dict[str, Any], report: Report) -> None:
    """Its md5sum there is that of the whole file, footer included."""
    try:
        name = archive.check_name(str(part.get("filename") or part.get("name") or ""))
    except Exception as error:
        report.skipped.append(f"component: {error}")
        return
    md5 = str(part.get("md5sum") or "").lower()
    await DB.execute(
        "INSERT INTO firmware_components (firmware_id, filename, part, size_bytes, md5sum_file)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            firmware_id,
            name,
            archive.part_of(name),
            int(part.get("size_bytes") or part.get("size") or 0),
            md5 if re.fullmatch(r"[0-9a-f]{32}", md5) else None,
        ),
    )
    report.components += 1


async def _files(firmware_id: int, name: str, folder: Path, report: Report) -> None:
    """Unpacked parts, and the archive where its end can be read; by link where that works."""
    stem = re.sub(r"\.zip\.enc[24]$|\.enc[24]$", "", name)
    source, packed = folder / "decrypted" / stem, folder / "decrypted" / f"{stem}.zip"
    found = await asyncio.to_thread(_take, firmware_id, source, packed)
    if not found:
        report.skipped.append(f"{stem}: no files")
        return
    report.files += len(found)
    for file, size in found.items():
        await DB.execute(
            "INSERT INTO firmware_components (firmware_id, filename, part, size_bytes, present)"
            " VALUES (?, ?, ?, ?, 1) ON CONFLICT (firmware_id, filename) DO UPDATE SET"
            " present = 1, size_bytes = excluded.size_bytes",
            (firmware_id, file, archive.part_of(file), size),
        )
    zipped = await asyncio.to_thread(records.zip_file(firmware_id).exists)
    await records.set_state(
        firmware_id, "ready", downloaded=1, decrypted=1, extracted=1, zip_present=int(zipped)
    )


def _take(firmware_id: int, source: Path, packed: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    if not source.is_dir():
        return found
    target = private_folder(records.parts_folder(firmware_id))
    for file in sorted(source.iterdir()):
        if file.is_file() and not file.is_symlink() and len(found) < archive.MOST_MEMBERS:
            name = archive.check_name(file.name)
            _link(file, target / name)
            found[name] = file.stat().st_size
    if packed.is_file() and not packed.is_symlink():
        _link(packed, records.zip_file(firmware_id))
    return found


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


async def _query(row: dict[str, Any], report: Report, *, dry_run: bool) -> None:
    newer, older = str(row.get("fota_version") or ""), str(row.get("version_code") or "")
    code = _first(newer, older)
    at = _time(str(row.get("created_at") or ""))
    imei, model = str(row.get("imei") or ""), str(row.get("model") or "")
    csc = str(row.get("csc") or "")
    if not (code and at and imei and model and len(csc) >= 3):
        report.skipped.append(f"query {row.get('id')}: no version, time, model or region")
        return
    known = await DB.value(
        "SELECT 1 FROM imei_log WHERE model = ? AND created_at = ?"
        " AND (imei = ? OR imei = substr(?, 1, 8) || '*******')",
        (model, at, imei, imei),
    )
    if known:
        return
    report.queries += 1
    if dry_run:
        return
    status = row.get("status_fus")
    good = {"ok", "error", "denied", "unauthorized", "throttled", "unknown"}
    await DB.execute(
        "INSERT INTO imei_log (imei, model, csc, csc_all, version_code, status_fus, created_at,"
        " device_version, serial_number, lock_status, aid, cc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            imei,
            model,
            csc if len(csc) <= 5 else csc.split("/", maxsplit=1)[0][:5],
            csc,
            code,
            status if status in good else "unknown",
            at,
            older if newer else None,
            row.get("serial_number"),
            row.get("lock_status"),
            row.get("aid"),
            row.get("cc"),
        ),
    )


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Whatever of the three tables is there; columns differ by release."""
    connection = apsw.Connection(f"file:{path}?mode=ro", flags=_FLAGS)
    try:
        # The file is somebody else's: nothing in it may run, and a view would never have to end.
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.row_trace = lambda cursor, row: {
            column[0]: value for column, value in zip(cursor.get_description(), row, strict=True)
        }
        check = list(connection.execute("PRAGMA integrity_check"))
        if next(iter(check[0].values())) != "ok":
            raise Invalid(database=_("The database is damaged."))
        tables = {row["name"] for row in connection.execute(_TABLES)}
        return {
            name: list(connection.execute(f'SELECT * FROM "{name}"')) if name in tables else []  # noqa: S608
            for name in ("firmware", "component", "imei_log")
        }
    except apsw.Error as error:
        raise Invalid(database=_("This is not a database of nanosamfw.")) from error
    finally:
        connection.close()


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def _first(*codes: str) -> str:
    for code in codes:
        try:
            return versions.normalise(code)
        except ValueError:
            continue
    return ""


def _time(text: str) -> str:
    found = _TIME.match(text)
    if not found:
        return ""
    return f"{found[1]}T{found[2]}{(found[3] or '.000')[:4].ljust(4, '0')}Z"
