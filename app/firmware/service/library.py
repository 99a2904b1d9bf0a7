"""What there is: the list of versions, one version with everything about it, the disk."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from app.core.errors import NotFound
from app.core.files import inside
from app.core.ordering import order_by
from app.firmware import versions
from app.firmware.pipeline.state import Figures
from app.firmware.service import records, upkeep, wishes
from app.firmware.service.figures import BOARD
from app.firmware.service.records import ACTIVE, Part, Version
from db import clock
from db.engine import DB

PAGE = 50
ORDERS = {
    "new": ("f.id",),
    "version": ("f.version_code COLLATE NOCASE", "f.id"),
    "state": ("f.state", "f.id"),
    "size": ("f.size_bytes", "f.id"),
    "used": ("coalesce(f.last_used_at, '')", "f.id"),
}
USUAL = "-new"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the repository."""

    id: int
    version_code: str
    state: str
    model: str
    csc: str
    display_name: str
    os_name: str
    size_bytes: int
    bytes_done: int
    last_used_at: str | None
    pinned: int
    parts: str

    @property
    def pda(self) -> str:
        """First part of the version."""
        return versions.pda(self.version_code)

    @property
    def reading(self) -> versions.Reading | None:
        """What the version says."""
        return versions.read(self.version_code)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What the list is narrowed to, and in which of `ORDERS` it stands."""

    q: str = ""
    state: str = ""
    os: str = ""
    sort: str = USUAL


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One version as its page shows it."""

    version: Version
    parts: list[Part]
    figures: Figures | None
    speeds: list[int]
    segments: list[tuple[float, float, str]]
    job: dict[str, Any] | None
    attempts: list[dict[str, Any]]
    mine: bool
    waiting: int
    targets: list[tuple[str, str]]

    @property
    def pda(self) -> str:
        """First part of the version."""
        return versions.pda(self.version.version_code)

    @property
    def reading(self) -> versions.Reading | None:
        """What the version says."""
        return versions.read(self.version.version_code)

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return self.figures.done if self.figures else self.version.bytes_done

    @property
    def active(self) -> bool:
        """Whether something is being done."""
        return self.version.state in ACTIVE

    @property
    def zip_ok(self) -> bool:
        """Whether every part passed the archive's own checks."""
        return bool(self.parts) and all(part.present for part in self.parts)


async def list_versions(
    wanted: Filter, *, limit: int = PAGE, offset: int = 0
) -> tuple[list[Row], int]:
    """One page, and how many there are. `q` finds model, version, name by their beginning."""
    narrow, args = ["f.state <> 'new'"], dict[str, Any]()
    if wanted.q:
        narrow.append(
            "(f.version_code LIKE :q OR f.display_name LIKE :any OR f.model LIKE :q OR EXISTS"
            " (SELECT 1 FROM firmware_targets t WHERE t.firmware_id = f.id AND t.model LIKE :q))"
        )
        args |= {"q": f"{wanted.q.upper()}%", "any": f"%{wanted.q}%"}
    if wanted.state:
        narrow.append("f.state = :state")
        args["state"] = wanted.state
    if wanted.os:
        narrow.append("f.os_name LIKE :os")
        args["os"] = f"%{wanted.os}%"
    where = f"FROM firmware f WHERE {' AND '.join(narrow)}"
    rows = await DB.all(
        "SELECT f.id, f.version_code, f.state, coalesce(f.model, '') AS model,"  # noqa: S608
        " coalesce(f.csc, '') AS csc, coalesce(f.display_name, '') AS display_name,"
        " coalesce(f.os_name, '') AS os_name, f.size_bytes, f.bytes_done, f.last_used_at,"
        " f.pinned, CASE WHEN f.state = 'partial' THEN (SELECT group_concat(c.part, ', ')"
        " FROM firmware_components c WHERE c.firmware_id = f.id AND c.present = 1) END AS parts"
        f" {where} ORDER BY {order_by(wanted.sort, ORDERS, USUAL)} LIMIT :limit OFFSET :offset",
        {**args, "limit": limit, "offset": offset},
    )
    total = await DB.value(f"SELECT count(*) {where}", args)
    found = [msgspec.convert({**row, "parts": row["parts"] or ""}, Row) for row in rows]
    return found, int(total)


async def list_active() -> list[Card]:
    """The downloads under way, for the head of the list."""
    rows = await DB.all(
        "SELECT id FROM firmware WHERE state IN ('downloading', 'verifying', 'queued', 'paused')"
        " ORDER BY state = 'downloading' DESC, id LIMIT 4"
    )
    return [await get_card("", row["id"]) for row in rows]


async def count_ready() -> int:
    """How many versions can be had at once."""
    return int(await DB.value("SELECT count(*) FROM firmware WHERE state IN ('ready', 'partial')"))


async def get_card(user_id: str, firmware_id: int) -> Card:
    """Everything about one version; NotFound."""
    version = await records.get_version(firmware_id)
    open_wishes = await wishes.open_wishes(firmware_id)
    job = await DB.one(
        "SELECT id, state, attempts, runAt, progressMessage, startedAt, createdAt FROM queueJobs"
        " WHERE subjectType = 'firmware' AND subjectId = ? ORDER BY id DESC LIMIT 1",
        (str(firmware_id),),
    )
    attempts = await DB.all(
        "SELECT e.created_at AS at, e.level, e.message FROM job_events e JOIN queueJobs j"
        " ON j.id = e.job_id WHERE j.subjectType = 'firmware' AND j.subjectId = ?"
        " ORDER BY e.id DESC LIMIT 20",
        (str(firmware_id),),
    )
    targets = await DB.all(
        "SELECT model, csc FROM firmware_targets WHERE firmware_id = ? ORDER BY model, csc",
        (firmware_id,),
    )
    return Card(
        version=version,
        parts=await records.list_parts(firmware_id),
        figures=BOARD.get(firmware_id),
        speeds=BOARD.speeds(firmware_id),
        segments=await _strip(version),
        job=job,
        attempts=attempts,
        mine=any(wish.user_id == user_id for wish in open_wishes),
        waiting=len({wish.user_id for wish in open_wishes}),
        targets=[(row["model"], row["csc"]) for row in targets],
    )


async def find_file(firmware_id: int, name: str) -> tuple[Path, str]:
    """A part's file (or the archive, by its own name) and its ETag; NotFound when evicted."""
    version = await records.get_version(firmware_id)
    parts = {part.filename: part for part in await records.list_parts(firmware_id)}
    if name in parts and parts[name].present and version.state in ("ready", "partial"):
        path = inside(records.home(), str(firmware_id), name)
        crc = parts[name].zip_crc32 or parts[name].size_bytes
        etag = f"{firmware_id}-{parts[name].id}-{crc:x}"
    elif name == zip_name(version) and version.zip_present:
        path, etag = records.zip_file(firmware_id), f"{firmware_id}-zip-{version.crc32 or 0:x}"
    else:
        raise NotFound
    if not await asyncio.to_thread(path.is_file):
        raise NotFound
    await DB.execute(
        "UPDATE firmware SET last_used_at = ? WHERE id = ? AND coalesce(last_used_at, '') < ?",
        (clock.text(), firmware_id, _minute_ago()),
    )
    return path, etag


def zip_name(version: Version) -> str:
    """What the archive is called when saved."""
    return version.filename.removesuffix(".enc4").removesuffix(".enc2")


async def disk() -> tuple[int, int]:
    """Bytes firmware takes, and may take."""
    return await asyncio.to_thread(upkeep.used_bytes), await upkeep.limit_bytes()


async def _strip(version: Version) -> list[tuple[float, float, str]]:
    """Start, width (of 1000) and look of each piece."""
    if version.state not in (*ACTIVE, "paused"):
        return []
    rows = await DB.all(
        "SELECT start, length, done FROM firmware_segments WHERE firmware_id = ? ORDER BY start",
        (version.id,),
    )
    scale = 1000 / max(version.size_bytes, 1)
    return [
        (
            round(row["start"] * scale, 2),
            round(max(row["length"] * scale - 0.6, 0.6), 2),
            "done" if row["done"] == row["length"] else "now" if row["done"] else "",
        )
        for row in rows
        if row["length"] * scale >= 0.3
    ]


def _minute_ago() -> str:
    return clock.text(clock.from_ms(clock.ms() - 60_000))
