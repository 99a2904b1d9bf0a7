"""What the server offers for one version: kept, looked into, and handed to the download."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.core.errors import Upstream
from app.firmware import archive, settings, versions
from app.firmware.answers import Binary
from app.firmware.client import Client, Profile, Wish
from app.firmware.outcomes import Fault
from app.firmware.payloads import RATE, Resolve
from app.firmware.pipeline.peek import Peek, peek
from app.firmware.pipeline.source import Remote
from app.firmware.service import lookup, records, wishes
from app.firmware.service.records import Version
from db import clock
from db.engine import DB
from jobs.context import Context
from jobs.outcome import Cancelled, Fail, Retry

BLOCKED_TRIES = 3
PATIENCE_S = 24 * 3600
WAIT_S = {"throttled": 300.0, "blocked": 7200.0, "fus_401": 900.0, "stalled": 300.0}


async def run_resolve(job: Resolve, ctx: Context) -> None:
    """Ask, look in, enqueue the download. Safe twice: rows are upserts, the download is one."""
    try:
        async with talk(await settings.profile()) as client:
            imei = await find_imei(job.device_id)
            wish = Wish(model=job.model, csc=job.csc, version=job.version, imei=imei)
            binary = await client.inform(wish)
            if binary.version != job.version and not await _may_take(job, binary):
                pdas = versions.pda(job.version), versions.pda(binary.version)
                raise Fault("other_version", f"asked {pdas[0]}, served {pdas[1]}")
            version, _same = await records.keep_offer(binary, job.model, job.csc)
            if version.state in ("new", "failed", "evicted"):
                await look_in(client, version)
    except Upstream as error:
        raise verdict(error, ctx) from error
    async with DB.tx() as tx:
        await DB.execute(
            "UPDATE firmware_requests SET firmware_id = ?, wanted_version = ?"
            " WHERE firmware_id IS NULL AND status = 'queued' AND model = ? AND csc = ?"
            " AND wanted_version = ?",
            (version.id, version.version_code, job.model, job.csc, job.version),
        )
        await wishes.attach(version, ctx.owner)
        await ctx.complete(tx, {"firmware_id": version.id})


async def on_resolve_failed(job: Resolve, error: BaseException, _tx: Any) -> None:
    """Nobody knows what to fetch: everybody who asked is told why."""
    if not isinstance(error, Cancelled):
        waiting = await wishes.unresolved(job.model, job.csc, job.version)
        await wishes.refuse(waiting, None, cause(error))


@asynccontextmanager
async def talk(profile: Profile) -> AsyncIterator[Client]:
    """A client for one job."""
    async with Client(profile) as client:
        yield client


def remote(client: Client, version: Version, **more: Any) -> Remote:
    """The bytes of a version for threads; new permissions come over the event loop."""
    loop = asyncio.get_running_loop()

    def renew(generation: int) -> None:
        asyncio.run_coroutine_threadsafe(client.renew(generation), loop).result(60)

    return Remote(
        client.cloud_target(version.path, version.filename),
        client.cloud_head,
        allow=client.profile.places(),
        generation=lambda: client.generation,
        renew=renew,
        **more,
    )


async def announce(client: Client, version: Version) -> None:
    """Tell the server that the file will be fetched."""
    await client.init(
        version.filename, version.latest_fw_version, version.csc or "", version.model_type or ""
    )


async def look_in(client: Client, version: Version) -> Peek | None:
    """List the parts from the archive's end; proves the key. None where no ranges are sent."""
    await announce(client, version)
    source = remote(client, version)
    part = records.part_file(version.id)
    found = await asyncio.to_thread(peek, source, version.key, version.size_bytes, part)
    if found is not None:
        archive.check_versions(found.members, versions.pda(version.version_code))
        await records.keep_members(version.id, found.members)
        known = await records.load_segments(version.id)
        if not known:
            await records.save_progress(version.id, found.segments, [])
    return found


async def find_imei(device_id: int | None) -> str:
    """The IMEI, else the serial, of a device: sent to Samsung by kies only."""
    if device_id is None:
        return ""
    value = await DB.value(
        "SELECT coalesce(imei, serial) FROM firmware_devices WHERE id = ?", (device_id,)
    )
    return str(value or "")


def verdict(error: Upstream, ctx: Context) -> BaseException:
    """What the queue is told: when to come back, or that it is over."""
    ctx.log.warn(  # noqa: G010 - ours, not logging's
        "fault", code=error.code, fus=getattr(error, "fus", ""), detail=error.message[:200]
    )
    if error.code == "throttled" and ctx.age_s < PATIENCE_S:
        wait_s = getattr(error, "after_s", None) or WAIT_S["throttled"]
        ctx.rate_blocked(RATE, clock.ms() + round(wait_s * 1000))
    if error.code == "blocked" and ctx.attempt >= BLOCKED_TRIES:
        return Failed(error)
    if not error.retry:
        return error
    after = getattr(error, "after_s", None) or WAIT_S.get(error.code)
    return Waiting(error, after) if after else error


class Waiting(Retry):
    """Come back after a time, for this reason."""

    def __init__(self, error: Upstream, after_s: float) -> None:
        super().__init__(after_s, error.message)


class Failed(Fail):
    """It is over, for this reason."""

    def __init__(self, error: Upstream) -> None:
        super().__init__(error.message, error.code)


def cause(error: BaseException) -> BaseException:
    """The fault of the servers behind what ended a job."""
    found = error.__cause__ if error.__cause__ is not None else error
    return found if isinstance(found, Upstream) else error


async def _may_take(job: Resolve, binary: Binary) -> bool:
    """Another version than asked: only if a person said so, or it is the newest one released."""
    newest = await lookup.newest_version(job.model, job.csc)
    return job.take_served or (binary.version == newest and await _watched(job))


async def _watched(job: Resolve) -> bool:
    """Whether nobody but the watch of a device asked."""
    if job.device_id is None:
        return False
    found = await DB.value(
        "SELECT auto_fetch FROM firmware_devices WHERE id = ? AND watch = 1", (job.device_id,)
    )
    return bool(found)
