"""The download of one version for everybody who waits for it: resumes, finishes, explains itself.

Files first, then one transaction with the state, the requests, the query log and the job's end.
"""

import asyncio
import base64
import binascii
import contextlib
from typing import Any

from app.core.errors import Upstream
from app.core.i18n import fmt_size, fmt_span
from app.firmware import archive, settings, versions
from app.firmware.client import Client, Wish
from app.firmware.outcomes import Fault
from app.firmware.payloads import RATE, Fetch
from app.firmware.pipeline import disk, engine
from app.firmware.pipeline import segments as pieces
from app.firmware.pipeline.engine import Plan
from app.firmware.pipeline.peek import read_local
from app.firmware.pipeline.segments import Segment
from app.firmware.pipeline.source import Remote
from app.firmware.pipeline.state import Figures, Options
from app.firmware.pipeline.unpack import Checked
from app.firmware.service import landing, records, resolving, upkeep, wishes
from app.firmware.service.figures import BOARD
from app.firmware.service.records import Part, Version
from db import clock
from db.engine import DB
from db.failpoints import afailpoint
from jobs.context import Context
from jobs.outcome import Cancelled, GivenBack, Snooze, TimedOut

MIB = 1024 * 1024
GIVE_UP_S = 24 * 3600
SPACE_S = 60.0
AGAIN_S = 20.0
TRANSPORT = {"network", "stalled", "disk_full"}


async def run_fetch(job: Fetch, ctx: Context) -> None:
    """Fetch what the open requests want; ends the job in its last transaction.

    Safe at every committed batch of segments. Transport faults and a full disk are a Snooze while
    bytes advance, other passing faults a retry, the rest ends in `on_fetch_failed`.
    """
    version = await records.get_version(job.firmware_id)
    before = version.bytes_done
    if not await wishes.open_wishes(version.id):
        async with DB.tx() as tx:
            await wishes.stopped(version.id)
            await ctx.complete(tx)
        return
    await records.set_state(version.id, "downloading", error_code=None, error_text=None)
    try:
        await _fetch(version, ctx)
    except (GivenBack, Cancelled, TimedOut):
        await wishes.stopped(version.id)
        raise
    except Upstream as error:
        raise await _ended(version, error, before, ctx) from error
    except Exception:
        await records.set_state(version.id, "queued")
        raise
    finally:
        BOARD.drop(version.id)


async def on_fetch_failed(job: Fetch, error: BaseException, _tx: Any) -> None:
    """The job is over and the file is not here: held if somebody stopped it, else failed."""
    if isinstance(error, Cancelled):
        await wishes.stopped(job.firmware_id)
        return
    found = resolving.cause(error)
    code = getattr(found, "code", "") or "poison"
    text = str(found)[:500]
    await records.set_state(job.firmware_id, "failed", error_code=code, error_text=text)
    version = await records.get_version(job.firmware_id)
    await wishes.refuse(await wishes.open_wishes(version.id), version, found)


async def _ended(version: Version, error: Upstream, before: int, ctx: Context) -> BaseException:
    """Write down what went wrong; what the queue is told."""
    now = await records.get_version(version.id)
    state = "paused" if error.code == "disk_full" else "queued"
    if error.retry:
        await records.set_state(
            version.id, state, error_code=error.code, error_text=error.message[:500]
        )
    advanced = now.bytes_done > before
    if error.code in TRANSPORT and (advanced or error.code == "disk_full"):
        ctx.log.warn("waiting", code=error.code, detail=error.message[:200])  # noqa: G010
        idle_s = (clock.now() - clock.parse(now.updated_at)).total_seconds()
        if advanced or idle_s < GIVE_UP_S:
            return Snooze(SPACE_S if error.code == "disk_full" else AGAIN_S)
        return resolving.Failed(error)
    return resolving.verdict(error, ctx)


async def _fetch(version: Version, ctx: Context) -> None:
    await ctx.rate(RATE)
    async with resolving.talk(await settings.profile()) as client:
        version = await _ask_again(client, version)
        await resolving.announce(client, version)
        notes: list[str] = []
        source = resolving.remote(client, version, on_note=notes.append)
        if not await records.list_parts(version.id):
            await resolving.look_in(client, version)
        while True:
            parts = await wishes.wanted_parts(version)
            whole = await wishes.wants_all(version)
            tight = await _pass(version, parts, whole, source, ctx, notes)
            if whole and not parts:  # no ranges: the parts are known only now
                await _read_parts(version)
                continue
            if await wishes.wants_all(version) == whole and len(
                await wishes.wanted_parts(version)
            ) == len(parts):
                break
    await records.set_state(version.id, "verifying", **({"downloaded": 1} if whole else {}))
    await landing.land(version, parts, whole, ctx, md5=_md5(source), keep=not tight)


async def _ask_again(client: Client, version: Version) -> Version:
    """The offer as it is today: another file under the same version begins anew."""
    device = await DB.value(
        "SELECT device_id FROM firmware_requests WHERE firmware_id = ? AND status = 'queued'"
        " AND device_id IS NOT NULL LIMIT 1",
        (version.id,),
    )
    wish = Wish(
        model=version.model or "",
        csc=version.csc or "",
        version=version.version_code,
        imei=await resolving.find_imei(device),
    )
    binary = await client.inform(wish)
    if binary.version != version.version_code:
        raise Fault("other_version", f"served is {versions.pda(binary.version)}")
    fresh, _same = await records.keep_offer(binary, wish.model, wish.csc)
    return fresh


async def _pass(
    version: Version,
    parts: list[Part],
    whole: bool,
    source: Remote,
    ctx: Context,
    notes: list[str],
) -> bool:
    """Everything that is missing, once through the pipeline; whether room was short."""
    size = version.size_bytes
    members = records.members(await records.list_parts(version.id), size)
    wanted = {part.filename for part in parts}
    members = [member for member in members if member.filename in wanted]
    done = await asyncio.to_thread(landing.finished, version.id, parts)
    todo = [member for member in members if member.filename not in done]
    connections = int(await settings.get("connections"))
    ranges = [(0, size)] if whole else [(m.offset, m.end) for m in todo]
    known = await records.load_segments(version.id)
    lost = await asyncio.to_thread(landing.is_lost, version.id)
    if todo and lost:
        for segment in known:
            segment.done, segment.crc32 = 0, 0
    inside = [(member.offset, member.end) for member in todo]
    for segment in await asyncio.to_thread(landing.hollow, version.id, known, inside):
        segment.done, segment.crc32 = 0, 0
    await asyncio.to_thread(landing.clear, version.id, done)
    segments = pieces.plan(known, ranges, size, connections)
    filled = sum(segment.done for segment in segments)
    missing = sum(segment.length for segment in segments) - filled
    packed = max(0, missing - await asyncio.to_thread(landing.reserved, version.id, filled))
    unpacked = sum(member.size for member in todo) or (size if whole else 0)
    folder = landing.open_folder(version.id)
    min_free = int(await settings.get("min_free_mib")) * MIB
    await upkeep.make_room(packed + unpacked + min_free)
    room = disk.room_for(
        version.id, records.home(), packed=packed, unpacked=unpacked, min_free=min_free
    )
    with room as found:
        tight, ahead = found.mode == "tight", pieces.AHEAD
        if tight:
            ahead = min(ahead, found.spare // 3)
            segments = pieces.plan(known, ranges, size, connections, largest=_short(ahead))
        elif whole:
            await asyncio.to_thread(landing.reserve, version.id, size)
        plan = Plan(
            key=version.key,
            size=size,
            crc32=version.crc32,
            segments=segments,
            members=todo,
            part_file=records.part_file(version.id),
            folder=folder,
            kept_file=records.kept_file(version.id)
            if await settings.get("keep_encrypted")
            else None,
            options=Options(connections=connections, tight=tight, ahead=ahead),
        )
        teller = _Teller(version, ctx, notes)
        await records.save_progress(version.id, segments, [])  # the pages show what is to come
        with landing.disk_faults():
            await engine.fetch(plan, source, save=teller.save, tell=teller.tell, check=ctx.check)
    await afailpoint("firmware_fetched")
    return tight


def _short(ahead: int) -> int:
    """Pieces of which all that are under way take little of the room there is."""
    return max(pieces.SMALLEST, min(pieces.LARGEST, ahead // 8)) // pieces.BLOCK * pieces.BLOCK


async def _read_parts(version: Version) -> None:
    """The parts from the archive that is here."""
    part = records.part_file(version.id)
    members, _pad = await asyncio.to_thread(read_local, part, version.size_bytes)
    archive.check_versions(members, versions.pda(version.version_code))
    await records.keep_members(version.id, members)


class _Teller:
    """Passes the pipeline's news on: to the tables, to the job, to the pages."""

    def __init__(self, version: Version, ctx: Context, notes: list[str]) -> None:
        self._version = version
        self._ctx = ctx
        self._notes = notes

    async def save(self, segments: list[Segment], checked: list[Checked]) -> None:
        """What is surely on the disk."""
        await records.save_progress(self._version.id, segments, checked)
        await afailpoint("firmware_saved")

    async def tell(self, figures: Figures, notes: list[str]) -> None:
        """Where it stands."""
        BOARD.put(self._version.id, figures)
        for note in [*notes, *self._notes]:
            self._ctx.log.info(note)
        self._notes.clear()
        words = f"{fmt_size(round(figures.rate))}/s"
        if figures.left_s is not None:
            words += f", {fmt_span(figures.left_s)}"
        await self._ctx.progress(figures.done, figures.total, words)


def _md5(source: Remote) -> str | None:
    """The Content-MD5 header in hex."""
    with contextlib.suppress(binascii.Error, ValueError):
        raw = base64.b64decode(source.content_md5, validate=True)
        return raw.hex() if len(raw) == 16 else None
    return None
