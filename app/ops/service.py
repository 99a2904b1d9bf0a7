"""The queue for people: what waits, runs and failed, why, and what an admin or an owner may do.

Every action of a person is audited. A job of somebody else does not exist for a user.
"""

import json
from typing import Any

import msgspec

from app.core import audit
from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _
from app.core.live import Viewer
from db import clock
from db.connection import Row
from db.engine import DB
from jobs import enqueue as queue
from jobs.enqueue import Duplicate

ROWS, OPEN_ROWS, LOG_LINES = 50, 50, 500
SLOTS_MOST = 20
SILENT_MS = 30_000

# What a list may be asked for. `where` is a literal, so that the partial indexes serve it.
FILTERS = {
    "": "1",
    "queued": "state = 'queued'",
    "running": "state = 'running'",
    "succeeded": "state = 'succeeded' AND finishedAt IS NOT NULL",
    "failed": "state = 'failed' AND finishedAt IS NOT NULL",
    "cancelled": "state = 'cancelled' AND finishedAt IS NOT NULL",
}
COUNT_LIMIT = 10_000


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at a glance. `counts` stop at 10,000."""

    paused: bool
    paused_reason: str
    slots: int
    counts: dict[str, int]
    alive: bool
    draining: bool
    failing: list[Row]


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list. `state` is the derived one of a person's eyes; times in milliseconds."""

    id: str
    type: str
    label: str
    state: str
    progress: int | None
    message: str
    age_s: float
    attempts: int
    max_attempts: int
    owner: str
    can_cancel: bool
    can_retry: bool


class JobCard(msgspec.Struct, frozen=True, kw_only=True):
    """One job with its log."""

    row: JobRow
    error: str
    error_code: str
    payload: str
    result: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    run_at: int
    worker: str
    subject: tuple[str, str] | None
    events: list[Row]


_SELECT = """
SELECT j.id, j.type, coalesce(j.label, j.type) AS label, j.state, j.progress, j.progressMessage,
  j.attempts, j.maxAttempts, j.snoozes, j.runAt, j.lockExpiresAt, j.cancelRequestedAt, j.createdAt,
  j.startedAt, j.finishedAt, j.lastError, j.errorCode, j.payloadJson, j.resultJson, j.lockedBy,
  j.subjectType, j.subjectId, j.ownerUserId, coalesce(u.login, '') AS owner
FROM queueJobs j LEFT JOIN users u ON u.id = j.ownerUserId
"""


async def get_overview() -> Overview:
    """Pause, slots, counters and what fails most."""
    settings = await DB.one("SELECT paused, pausedReason, concurrency FROM queueSettings")
    counts = {
        name: int(
            await DB.value(
                f"SELECT count(*) FROM (SELECT 1 FROM queueJobs WHERE {where} LIMIT {COUNT_LIMIT})"  # noqa: S608
            )
        )
        for name, where in FILTERS.items()
        if name
    }
    now = clock.ms()
    worker = await DB.one(
        "SELECT max(heartbeatAt) AS beat, max(drainingAt) AS draining FROM queue_workers"
    )
    failing = await DB.all(
        "SELECT type, count(*) AS count, max(errorCode) AS code FROM queueJobs"
        " WHERE state = 'failed' AND finishedAt > ? AND acknowledgedAt IS NULL"
        " GROUP BY type ORDER BY count DESC LIMIT 5",
        (now - 86_400_000,),
    )
    return Overview(
        paused=bool(settings and settings["paused"]),
        paused_reason=str((settings and settings["pausedReason"]) or ""),
        slots=int(settings["concurrency"]) if settings else 0,
        counts=counts,
        alive=bool(worker and worker["beat"] and now - worker["beat"] < SILENT_MS),
        draining=bool(worker and worker["draining"]),
        failing=failing,
    )


async def list_open() -> list[JobRow]:
    """What runs and what waits, in the order in which it will be done."""
    rows = await DB.all(
        _SELECT + "WHERE j.state IN ('running', 'queued')"
        " ORDER BY j.state = 'queued', j.priority DESC, j.runAt, j.id LIMIT ?",
        (OPEN_ROWS,),
    )
    return [_row(row) for row in rows]


async def list_jobs(
    viewer: Viewer,
    *,
    mine: bool,
    state: str = "",
    q: str = "",
    before: str = "",
    limit: int = ROWS,
) -> list[JobRow]:
    """Jobs older than the one of id `before`, newest first; `q` begins a type or is in a label."""
    where = [f"j.{FILTERS.get(state, '1')}" if state in FILTERS and state else "1"]
    where.append("(:before = '' OR j.id < :before)")
    if mine or viewer.role != "admin":
        where.append("j.ownerUserId = :owner")
    if q:
        where.append("(j.type LIKE :begins ESCAPE '\\' OR j.label LIKE :within ESCAPE '\\')")
    word = q[:100].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = await DB.all(
        _SELECT + f"WHERE {' AND '.join(where)} ORDER BY j.id DESC LIMIT :limit",
        {
            "before": before,
            "owner": viewer.id,
            "begins": f"{word}%",
            "within": f"%{word}%",
            "limit": limit,
        },
    )
    return [_row(row) for row in rows]


async def count_newer(viewer: Viewer, newest: str, *, mine: bool) -> int:
    """How many jobs came after the one of id `newest`."""
    own = " AND ownerUserId = ?2" if mine or viewer.role != "admin" else " AND ?2 = ?2"
    return int(
        await DB.value(f"SELECT count(*) FROM queueJobs WHERE id > ?1{own}", (newest, viewer.id))  # noqa: S608
    )


async def get_job(viewer: Viewer, job_id: str, *, mine: bool) -> JobCard:
    """One job with its log; NotFound for one that is not the viewer's, admins aside."""
    row = await _visible(viewer, job_id, mine=mine)
    events = await DB.all(
        "SELECT level, context, message, metadata, attempt, created_at FROM"
        " (SELECT * FROM job_events WHERE job_id = ? ORDER BY id DESC LIMIT ?) ORDER BY id",
        (job_id, LOG_LINES),
    )
    subject = (row["subjectType"], row["subjectId"]) if row["subjectId"] else None
    return JobCard(
        row=_row(row),
        error=row["lastError"] or "",
        error_code=row["errorCode"] or "",
        payload=_pretty(row["payloadJson"]) if not mine else "",
        result=_pretty(row["resultJson"]) if row["resultJson"] and not mine else "",
        created_at=row["createdAt"],
        started_at=row["startedAt"],
        finished_at=row["finishedAt"],
        run_at=row["runAt"],
        worker=row["lockedBy"] or "",
        subject=subject,
        events=events,
    )


async def cancel_job(viewer: Viewer, job_id: str, *, mine: bool, ip: str = "") -> None:
    """Cancel a waiting job, ask a running one to stop. Raises NotFound, Conflict if it ended."""
    async with DB.tx():
        await _visible(viewer, job_id, mine=mine)
        if not await queue.cancel(id=job_id):
            raise Conflict(_("This job has already ended."))
        await _note("job.cancelled", viewer, job_id, ip)


async def retry_job(viewer: Viewer, job_id: str, *, mine: bool, ip: str = "") -> None:
    """Queue a failed or cancelled job again. Raises NotFound, Conflict."""
    async with DB.tx():
        await _visible(viewer, job_id, mine=mine)
        try:
            queued = await queue.retry(job_id)
        except Duplicate as twin:
            raise Conflict(_("The same is already queued as another job.")) from twin
        if not queued:
            raise Conflict(_("Only a failed or cancelled job can be tried again."))
        await _note("job.retried", viewer, job_id, ip)


async def pause_queue(viewer: Viewer, *, ip: str = "") -> None:
    """Start no more jobs; running ones go on."""
    await _set(viewer, "paused = 1, pausedAt = :now", "queue.paused", ip)


async def resume_queue(viewer: Viewer, *, ip: str = "") -> None:
    """Start jobs again."""
    await _set(viewer, "paused = 0, pausedAt = NULL, pausedReason = NULL", "queue.resumed", ip)


async def set_slots(viewer: Viewer, slots: int, *, ip: str = "") -> None:
    """How many ordinary jobs run at once, 1 to 20; acts at once. Raises Invalid."""
    if not 1 <= slots <= SLOTS_MOST:
        raise Invalid(slots=_("Choose 1 to %(n)s slots.", n=SLOTS_MOST))
    await _set(viewer, f"concurrency = {slots:d}", "queue.slots", ip, {"slots": slots})


async def _set(
    viewer: Viewer, what: str, action: str, ip: str, detail: dict[str, Any] | None = None
) -> None:
    async with DB.tx():
        await DB.execute(
            f"UPDATE queueSettings SET {what}, updatedAt = :now, updatedBy = :who WHERE id = 1",  # noqa: S608
            {"now": clock.ms(), "who": viewer.id},
        )
        await audit.record(
            action, actor_id=viewer.id, ip=ip, object_type="queue", object_id="1", detail=detail
        )


async def _visible(viewer: Viewer, job_id: str, *, mine: bool) -> Row:
    owner = viewer.id if mine or viewer.role != "admin" else None
    row = await DB.one(
        _SELECT + "WHERE j.id = :id AND (:owner IS NULL OR j.ownerUserId = :owner)",
        {"id": job_id, "owner": owner},
    )
    if row is None:
        raise NotFound
    return row


async def _note(action: str, viewer: Viewer, job_id: str, ip: str) -> None:
    await audit.record(action, actor_id=viewer.id, ip=ip, object_type="job", object_id=job_id)


def derived(row: Row, now: int) -> str:
    """The state as people see it (queue.md 2.2), from what the row itself says."""
    if row["state"] == "running":
        if row["cancelRequestedAt"]:
            return "cancelling"
        return "stalled" if (row["lockExpiresAt"] or now) < now else "running"
    if row["state"] != "queued":
        return str(row["state"])
    if row["attempts"]:
        return "retrying"
    if row["runAt"] > now:
        return "snoozed" if row["snoozes"] else "scheduled"
    return "ready"


def _row(row: Row) -> JobRow:
    now = clock.ms()
    ended = row["finishedAt"] is not None
    message = row["progressMessage"] if row["state"] == "running" else row["errorCode"]
    return JobRow(
        id=row["id"],
        type=row["type"],
        label=row["label"],
        state=derived(row, now),
        progress=row["progress"] if row["state"] == "running" else None,
        message=message or "",
        age_s=max(0.0, ((row["finishedAt"] or now) - (row["startedAt"] or row["createdAt"])) / 1000)
        if ended
        else max(0.0, (now - row["createdAt"]) / 1000),
        attempts=row["attempts"],
        max_attempts=row["maxAttempts"],
        owner=row["owner"],
        can_cancel=not ended and row["cancelRequestedAt"] is None,
        can_retry=row["state"] in ("failed", "cancelled"),
    )


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False, sort_keys=True)
    except ValueError:
        return text
