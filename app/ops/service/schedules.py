"""Recurring work and fan-outs for admins."""

from typing import Any

import msgspec

from app.core import audit
from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _
from app.core.live import Viewer
from app.ops.service import bulk
from db import clock
from db.connection import Row
from db.engine import DB
from jobs import batch, schedule
from jobs import enqueue as queue
from jobs.batch import Summary
from jobs.registry import REGISTRY

NEXT = 5


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule with its next times and its last ten firings, newest first."""

    name: str
    type: str
    cron: str
    every_s: int
    timezone: str
    enabled: bool
    changed: bool
    here: bool
    upcoming: list[int]
    last_at: int | None
    last_job: str
    fires: list[Row]


async def list_schedules() -> list[ScheduleRow]:
    """Every schedule, by name."""
    rows = await DB.all("SELECT * FROM job_schedules ORDER BY id")
    found = []
    for row in rows:
        fires = await DB.all(
            "SELECT fireAt, outcome, jobId FROM job_fires WHERE scheduleId = ?"
            " ORDER BY fireAt DESC LIMIT 10",
            (row["id"],),
        )
        upcoming = [row["nextFireAt"]] if row["nextFireAt"] else []
        if upcoming:
            upcoming += schedule.times_of(row).upcoming(row["nextFireAt"], NEXT - 1)
        found.append(
            ScheduleRow(
                name=row["id"],
                type=row["type"],
                cron=row["cron"] or "",
                every_s=(row["everyMs"] or 0) // 1000,
                timezone=row["timezone"],
                enabled=bool(row["enabled"]),
                changed=row["source"] == "user",
                here=row["id"] in REGISTRY.schedules,
                upcoming=upcoming if row["enabled"] else [],
                last_at=row["lastFireAt"],
                last_job=row["lastJobId"] or "",
                fires=fires,
            )
        )
    return found


async def next_up(limit: int = 5) -> list[Row]:
    """What fires next."""
    return await DB.all(
        "SELECT id AS name, nextFireAt AS at FROM job_schedules"
        " WHERE enabled = 1 AND nextFireAt IS NOT NULL ORDER BY nextFireAt LIMIT ?",
        (limit,),
    )


async def run_schedule(viewer: Viewer, name: str, *, ip: str = "") -> str:
    """Ask for its job now; the job's id. Raises NotFound, Conflict."""
    if name not in REGISTRY.schedules:
        raise NotFound
    async with DB.tx():
        asked = await schedule.run_now(name)
        if asked is None:
            raise Conflict(_("Too many of these are waiting already."))
        await _note("schedule.run", viewer, name, ip, {"job": asked.id})
    return asked.id


async def enable_schedule(viewer: Viewer, name: str, on: bool, *, ip: str = "") -> None:
    """Let it fire or not. Raises NotFound."""
    async with DB.tx():
        if not await schedule.enable(name, on):
            raise NotFound
        await _note("schedule.enabled" if on else "schedule.disabled", viewer, name, ip, {})


async def time_schedule(
    viewer: Viewer, name: str, cron: str, timezone: str, *, ip: str = ""
) -> None:
    """Give it other times than the code's; without `cron` the code's again. Raises Invalid."""
    if name not in REGISTRY.schedules:
        raise NotFound
    async with DB.tx():
        try:
            if cron:
                await schedule.retime(name, cron, timezone or "UTC")
            else:
                await schedule.restore(name)
        except ValueError as error:
            raise Invalid(cron=_("These are not times: %(why)s", why=str(error))) from error
        await _note("schedule.times", viewer, name, ip, {"cron": cron, "timezone": timezone})


async def list_batches() -> list[Summary]:
    """The newest fifty."""
    return await batch.newest(50)


async def get_batch(batch_id: str) -> Summary:
    """One. Raises NotFound."""
    found = await batch.get(batch_id)
    if found is None:
        raise NotFound
    return found


async def cancel_batch(viewer: Viewer, batch_id: str, *, ip: str = "") -> int:
    """Cancel what of it still lives; how many."""
    await get_batch(batch_id)
    async with DB.tx():
        stopped = await queue.cancel(batch=batch_id)
        await _note("batch.cancelled", viewer, batch_id, ip, {"jobs": stopped}, kind="batch")
    return stopped


async def retry_batch(viewer: Viewer, batch_id: str, *, ip: str = "") -> bulk.Done:
    """Queue its failed jobs again."""
    await get_batch(batch_id)
    newest = await DB.value("SELECT max(id) FROM queueJobs WHERE batchId = ?", (batch_id,))
    wanted = {"state": "failed", "q": f"batch:{batch_id}", "newest": newest or ""}
    if not newest:
        return bulk.Done(0)
    return await bulk.act(viewer, "retry", **wanted, ip=ip)


def now_ms() -> int:
    """The present moment, for pages."""
    return clock.ms()


async def _note(
    action: str,
    viewer: Viewer,
    name: str,
    ip: str,
    detail: dict[str, Any],
    kind: str = "schedule",
) -> None:
    await audit.record(
        action, actor_id=viewer.id, ip=ip, object_type=kind, object_id=name, detail=detail
    )
