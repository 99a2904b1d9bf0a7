"""The queue for people: what waits, runs and failed, why, and what an admin or an owner may do.

Every action of a person is audited. A job of somebody else does not exist for a user.
"""

import asyncio
import json

import msgspec

from app.core import audit, paths
from app.core.errors import Conflict, NotFound
from app.core.i18n import _
from app.core.live import Viewer
from app.core.settings import DOMAINS
from db import clock
from db.connection import Row
from db.engine import DB
from jobs import enqueue as queue
from jobs import logfile, stats
from jobs.enqueue import Duplicate
from jobs.stats import Reason

ROWS, OPEN_ROWS, LOG_LINES = 50, 50, 500

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
    priority: int
    crashes: int
    snoozes: int
    keys: dict[str, str]
    batch_id: str
    parent: JobRow | None
    children: list[JobRow]
    reasons: list[Reason]
    output: str
    force: bool
    events: list[Row]


_SELECT = """
SELECT j.id, j.type, coalesce(j.label, j.type) AS label, j.state, j.progress, j.progressMessage,
  j.attempts, j.maxAttempts, j.snoozes, j.runAt, j.lockExpiresAt, j.cancelRequestedAt, j.createdAt,
  j.startedAt, j.finishedAt, j.lastError, j.errorCode, j.payloadJson, j.resultJson, j.lockedBy,
  j.subjectType, j.subjectId, j.ownerUserId, j.priority, j.crashes, j.serialKey, j.rateKey,
  j.dedupeKey, j.batchId, j.parentId, j.scheduleId, coalesce(u.login, '') AS owner
FROM queueJobs j LEFT JOIN users u ON u.id = j.ownerUserId
"""


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
    owner = viewer.id if mine or viewer.role != "admin" else ""
    where, args = matching(state=state, q=q, before=before, owner=owner)
    rows = await DB.all(
        _SELECT + f"WHERE {where} ORDER BY j.id DESC LIMIT :limit", {**args, "limit": limit}
    )
    return [_row(row) for row in rows]


def matching(
    *, state: str = "", q: str = "", before: str = "", newest: str = "", owner: str = ""
) -> tuple[str, dict[str, str]]:
    """The condition on `queueJobs j` of a filter, and its arguments."""
    where = [f"j.{FILTERS[state]}" if FILTERS.get(state) and state else "1"]
    if before:
        where.append("j.id < :before")
    if newest:
        where.append("j.id <= :newest")
    if owner:
        where.append("j.ownerUserId = :owner")
    for at, (name, _value) in enumerate(_qualifiers(q)):
        where.append(_QUALIFIED[name].replace(":v", f":v{at}"))
    args = {f"v{at}": value for at, (_name, value) in enumerate(_qualifiers(q))}
    return " AND ".join(where), {**args, "before": before, "newest": newest, "owner": owner}


def _qualifiers(q: str) -> list[tuple[str, str]]:
    """`type:tickets.download batch:… word` as conditions; a bare word looks in type and label."""
    found: list[tuple[str, str]] = []
    for word in q[:200].split():
        name, colon, value = word.partition(":")
        if colon and value and name in _QUALIFIED:
            found.append((name, value))
        else:
            safe = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            found.append(("", f"%{safe}%"))
    return found


_QUALIFIED = {
    "": "(j.type LIKE :v ESCAPE '\\' OR j.label LIKE :v ESCAPE '\\')",
    "type": "j.type = :v",
    "batch": "j.batchId = :v",
    "schedule": "j.scheduleId = :v",
    "subject": "j.subjectId = :v",
    "error": "j.errorCode = :v",
    "parent": "j.parentId = :v",
}


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
    parents = await DB.all(_SELECT + "WHERE j.id = ?", (row["parentId"],))
    children = await DB.all(_SELECT + "WHERE j.parentId = ? ORDER BY j.id LIMIT 50", (job_id,))
    keys = {name: row[name] for name in ("dedupeKey", "serialKey", "rateKey", "scheduleId")}
    now = clock.ms()
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
        priority=row["priority"],
        crashes=row["crashes"],
        snoozes=row["snoozes"],
        keys={name: value for name, value in keys.items() if value and not mine},
        batch_id=row["batchId"] or "",
        parent=_row(parents[0]) if parents and not mine else None,
        children=[
            _row(child) for child in children if not mine or child["ownerUserId"] == viewer.id
        ],
        reasons=await stats.explain(job_id) if row["state"] == "queued" else [],
        output=await asyncio.to_thread(_output, job_id, row["createdAt"]) if not mine else "",
        force=row["state"] == "running"
        and (
            (row["lockExpiresAt"] or now) < now or (row["cancelRequestedAt"] or now) < now - 10_000
        ),
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
    """Queue a failed or cancelled job again. Raises NotFound, Conflict.

    NotFound, too, where it belongs to a domain the viewer may no longer use.
    """
    async with DB.tx():
        row = await _visible(viewer, job_id, mine=mine)
        domain = row["type"].partition(".")[0]
        if viewer.role != "admin" and domain in DOMAINS and domain not in viewer.domains:
            raise NotFound
        try:
            queued = await queue.retry(job_id)
        except Duplicate as twin:
            raise Conflict(_("The same is already queued as another job.")) from twin
        if not queued:
            raise Conflict(_("Only a failed or cancelled job can be tried again."))
        await _note("job.retried", viewer, job_id, ip)


async def act_on_job(viewer: Viewer, job_id: str, action: str, *, ip: str = "") -> None:
    """Run now, delete, acknowledge or release one job. Raises NotFound, Conflict."""
    async with DB.tx():
        await _visible(viewer, job_id, mine=False)
        if not await _ACTS[action](job_id):
            raise Conflict(_refusal(action))
        await _note(f"job.{action}", viewer, job_id, ip)


async def edit_job(
    viewer: Viewer, job_id: str, *, priority: int, delay_s: int, max_attempts: int, ip: str = ""
) -> None:
    """Change a waiting job's place and tries. Raises NotFound, Conflict."""
    async with DB.tx():
        await _visible(viewer, job_id, mine=False)
        run_at = clock.ms() + delay_s * 1000
        if not await queue.edit(
            job_id, priority=priority, run_at=run_at, max_attempts=max_attempts
        ):
            raise Conflict(_("Only a waiting job can be changed."))
        await _note("job.edited", viewer, job_id, ip)


_ACTS = {
    "run_now": queue.run_now,
    "delete": queue.delete,
    "acknowledge": queue.acknowledge,
    "release": queue.force_release,
}


def _refusal(action: str) -> str:
    words = {
        "run_now": _("Only a waiting job can be started."),
        "delete": _("Only an ended job can be deleted. Cancel it first."),
        "acknowledge": _("Only a failed job can be marked as seen."),
        "release": _("Only a job whose worker does not answer can be released."),
    }
    return words[action]


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


def _output(job_id: str, created_at: int) -> str:
    """The newest 64 KiB of what its programs printed."""
    chunk, _end = logfile.read(logfile.path_of(paths.data_dir(), job_id, created_at))
    return chunk.decode("utf-8", "replace")


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False, sort_keys=True)
    except ValueError:
        return text
