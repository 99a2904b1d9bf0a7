"""Rows of versions: what the server offered, its parts, the pieces of a download."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from app.core import paths
from app.core.errors import NotFound
from app.core.files import private_folder
from app.firmware import keys
from app.firmware.answers import Binary
from app.firmware.archive import Member
from app.firmware.pipeline.segments import Segment
from app.firmware.pipeline.unpack import Checked
from db import clock
from db.engine import DB

ACTIVE = ("queued", "downloading", "verifying")


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `firmware`."""

    id: int
    version_code: str
    filename: str
    path: str
    size_bytes: int
    logic_value_factory: str
    latest_fw_version: str
    downloaded: int
    decrypted: int
    extracted: int
    created_at: str
    updated_at: str
    state: str
    crc32: int | None
    enc_version: int
    binary_nature: int
    model: str | None
    csc: str | None
    model_type: str | None
    os_name: str | None
    display_name: str | None
    released_at: str | None
    bytes_done: int
    zip_present: int
    content_md5: str | None
    last_used_at: str | None
    pinned: int
    error_code: str | None
    error_text: str | None

    @property
    def key(self) -> bytes:
        """The key of its file."""
        if self.enc_version == 2:
            return keys.enc2_key(self.csc or "", self.model or "", self.latest_fw_version)
        return keys.enc4_key(self.latest_fw_version, self.logic_value_factory)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `firmware_components`."""

    id: int
    firmware_id: int
    filename: str
    part: str
    size_bytes: int
    packed_size: int | None
    zip_offset: int | None
    method: int | None
    zip_crc32: int | None
    md5sum: str | None
    md5sum_file: str | None
    md5_ok: int | None
    present: int
    created_at: str


def home() -> Path:
    """The folder of all firmware files: `<id>.zip`, `<id>/…`, and unfinished ones `….part`."""
    return private_folder(paths.data_dir() / "files" / "firmware")


def part_file(firmware_id: int) -> Path:
    """The archive as far as it is here."""
    return home() / f"{firmware_id}.zip.part"


def zip_file(firmware_id: int) -> Path:
    """The whole archive."""
    return home() / f"{firmware_id}.zip"


def open_folder(firmware_id: int) -> Path:
    """Where parts are unpacked to."""
    return home() / f"{firmware_id}.dir.part"


def parts_folder(firmware_id: int) -> Path:
    """Where checked parts lie."""
    return home() / str(firmware_id)


def kept_file(firmware_id: int) -> Path:
    """The encrypted file, where the setting says to keep it."""
    return home() / f"{firmware_id}.enc"


async def get_version(firmware_id: int) -> Version:
    """One version; NotFound."""
    row = None
    if 0 < firmware_id < 2**63:
        row = await DB.one("SELECT * FROM firmware WHERE id = ?", (firmware_id,))
    if row is None:
        raise NotFound
    return msgspec.convert(row, Version)


async def find_version(version_code: str) -> Version | None:
    """The row of a version code."""
    row = await DB.one("SELECT * FROM firmware WHERE version_code = ?", (version_code,))
    return msgspec.convert(row, Version) if row else None


async def list_parts(firmware_id: int) -> list[Part]:
    """Its parts, the largest first."""
    rows = await DB.all(
        "SELECT * FROM firmware_components WHERE firmware_id = ? ORDER BY size_bytes DESC, id",
        (firmware_id,),
    )
    return msgspec.convert(rows, list[Part])


def members(parts: Iterable[Part], size: int) -> list[Member]:
    """Parts as the pipeline wants them; those without a place in the archive are left out."""
    placed = sorted((p for p in parts if p.zip_offset is not None), key=lambda p: p.zip_offset or 0)
    ends = [part.zip_offset or 0 for part in placed[1:]] + [size] * bool(placed)
    return [
        Member(
            filename=part.filename,
            part=part.part,
            offset=part.zip_offset or 0,
            end=end,
            packed=part.packed_size or 0,
            size=part.size_bytes,
            method=part.method or 0,
            crc32=part.zip_crc32 or 0,
        )
        for part, end in zip(placed, ends, strict=True)
    ]


_UPSERT = """
INSERT INTO firmware (version_code, filename, path, size_bytes, logic_value_factory,
  latest_fw_version, crc32, enc_version, binary_nature, model, csc, model_type, os_name,
  display_name, released_at)
VALUES (:version, :filename, :path, :size_bytes, :logic_value, :key_version, :crc32, :enc_version,
  :nature, :model, :csc, :model_type, :os_name, :display_name, :released_at)
ON CONFLICT (version_code) DO UPDATE SET filename=excluded.filename, path=excluded.path,
  size_bytes=excluded.size_bytes, logic_value_factory=excluded.logic_value_factory,
  latest_fw_version=excluded.latest_fw_version, crc32=excluded.crc32,
  enc_version=excluded.enc_version, binary_nature=excluded.binary_nature, model=excluded.model,
  csc=excluded.csc, model_type=excluded.model_type, os_name=excluded.os_name,
  display_name=excluded.display_name, released_at=excluded.released_at
"""


async def keep_offer(binary: Binary, model: str, csc: str) -> tuple[Version, bool]:
    """The row of what the server offers, and whether what was fetched before is still of use.

    A changed CRC, size or key means another file: its pieces are forgotten.
    """
    async with DB.tx():
        before = await find_version(binary.version)
        same = before is not None and (
            (before.size_bytes, before.crc32, before.logic_value_factory, before.enc_version)
            == (binary.size_bytes, binary.crc32, binary.logic_value, binary.enc_version)
        )
        if before is None or before.state not in ("ready", "partial") or same:
            values = {**msgspec.structs.asdict(binary), "model": model, "csc": csc}
            await DB.execute(_UPSERT, values)
        version = await find_version(binary.version)
        if version is None:
            raise AssertionError("just written")
        await note_target(version.id, model, csc)
        if not same and before is not None and before.state not in ("ready", "partial"):
            await _forget(version.id)
    if not same:
        await asyncio.to_thread(part_file(version.id).unlink, missing_ok=True)
    return version, same


async def _forget(firmware_id: int) -> None:
    await DB.execute("DELETE FROM firmware_segments WHERE firmware_id = ?", (firmware_id,))
    await DB.execute("DELETE FROM firmware_components WHERE firmware_id = ?", (firmware_id,))
    await DB.execute("UPDATE firmware SET bytes_done = 0 WHERE id = ?", (firmware_id,))


async def note_target(firmware_id: int, model: str, csc: str) -> None:
    """A version serves this model and region."""
    await DB.execute(
        "INSERT INTO firmware_targets (firmware_id, model, csc, last_seen) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen",
        (firmware_id, model, csc, clock.text()),
    )


async def keep_members(firmware_id: int, found: Sequence[Member]) -> None:
    """Write down what a version consists of."""

    def write(connection: apsw.Connection) -> None:
        connection.executemany(
            "INSERT INTO firmware_components (firmware_id, filename, part, size_bytes,"
            " packed_size, zip_offset, method, zip_crc32) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (firmware_id, filename) DO UPDATE SET part=excluded.part,"
            " size_bytes=excluded.size_bytes, packed_size=excluded.packed_size,"
            " zip_offset=excluded.zip_offset, method=excluded.method, zip_crc32=excluded.zip_crc32",
            [
                (firmware_id, m.filename, m.part, m.size, m.packed, m.offset, m.method, m.crc32)
                for m in found
            ],
        )

    await DB.write(write)


async def load_segments(firmware_id: int) -> list[Segment]:
    """The pieces of a download, in file order."""
    rows = await DB.all(
        "SELECT start, length, done, crc32 FROM firmware_segments WHERE firmware_id = ?"
        " ORDER BY start",
        (firmware_id,),
    )
    return msgspec.convert(rows, list[Segment])


async def save_progress(
    firmware_id: int, segments: Sequence[Segment], checked: Sequence[Checked]
) -> None:
    """Progress of all connections in one commit; their bytes have been synced before."""

    def write(connection: apsw.Connection) -> None:
        connection.executemany(
            "INSERT INTO firmware_segments (firmware_id, idx, start, length, done, crc32)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (firmware_id, idx) DO UPDATE SET"
            " length=excluded.length, done=excluded.done, crc32=excluded.crc32"
            " WHERE done <> excluded.done OR length <> excluded.length",
            [(firmware_id, s.idx, s.start, s.length, s.done, s.crc32) for s in segments],
        )
        connection.executemany(
            "UPDATE firmware_components SET md5sum=?, md5_ok=?, present=?"
            " WHERE firmware_id=? AND filename=?",
            [(c.md5, _flag(c.md5_ok), int(not c.wrong), firmware_id, c.filename) for c in checked],
        )
        connection.execute(
            "UPDATE firmware SET bytes_done=? WHERE id=? AND bytes_done<>?",
            (sum(s.done for s in segments), firmware_id, sum(s.done for s in segments)),
        )

    await DB.write(write)


async def set_state(firmware_id: int, state: str, **more: Any) -> None:
    """Write a state and any other columns of the row."""
    columns = {"state": state, **more}
    pairs = ", ".join(f"{name} = :{name}" for name in columns)  # names are our own
    await DB.execute(
        f"UPDATE firmware SET {pairs} WHERE id = :id",  # noqa: S608
        {**columns, "id": firmware_id},
    )


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)
