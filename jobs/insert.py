"""Writing one job row: its options, dedupe, unique per period, the cap of a serial key."""

from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

import apsw
import msgspec

from db import clock
from db.connection import execute, fetch_value
from db.keys import uuid7
from jobs.payload import OnDup, Payload
from jobs.row import Job, job

SERIAL_CAP = 1000  # queued jobs of one serial key: more is a fault of whoever asks

_INSERT = """
INSERT INTO queueJobs(id, type, projectId, payloadJson, priority, runAt, dedupeKey, maxAttempts,
  ownerUserId, subjectType, subjectId, label, serialKey, rateKey, timeoutMs, expiresAt,
  batchId, parentId, scheduleId, createdAt, updatedAt)
VALUES(:id, :type, :projectId, :payloadJson, :priority, :runAt, :dedupeKey,
  coalesce(:maxAttempts, (SELECT maxAttempts FROM queue_types WHERE type=:type), :typeAttempts),
  :ownerUserId, :subjectType, :subjectId, :label, :serialKey, :rateKey, :timeoutMs, :expiresAt,
  :batchId, :parentId, :scheduleId, :now, :now)
ON CONFLICT(dedupeKey) WHERE dedupeKey IS NOT NULL AND state IN ('queued','running') DO NOTHING
RETURNING id
"""
_HOLDER = """
SELECT * FROM queueJobs
WHERE dedupeKey=? AND dedupeKey IS NOT NULL AND state IN ('queued','running')
"""
_REPLACE = """
UPDATE queueJobs SET payloadJson=:payloadJson, priority=max(priority,:priority), runAt=:runAt,
  label=:label, updatedAt=:now
WHERE id=:holder AND state='queued'
"""
_RERUN = "UPDATE queueJobs SET rerunJson=?2, updatedAt=?3 WHERE id=?1 AND state='running'"
_BACKLOG = """
SELECT count(*) FROM (SELECT 1 FROM queueJobs WHERE state='queued' AND serialKey=? LIMIT ?)
"""
_TAKE_PERIOD = """
INSERT INTO queue_unique(key, jobId, expiresAt) VALUES(?1, ?2, ?3)
ON CONFLICT(key) DO UPDATE SET jobId=excluded.jobId, expiresAt=excluded.expiresAt
WHERE queue_unique.expiresAt<=?4 RETURNING 1
"""
_PERIOD_HOLDER = "SELECT jobId FROM queue_unique WHERE key=?"


class Enqueued(msgspec.Struct, frozen=True):
    """The job that will do it: a new one, or with `deduped` the one that was there."""

    id: str
    deduped: bool


class Options(TypedDict, total=False):
    """What the caller may set instead of what the payload type says. Names in `_s` are seconds."""

    run_at: datetime | int | None
    delay_s: float | None
    priority: int | None
    dedupe: str | None
    on_dup: OnDup | None
    unique_for: timedelta | None
    serial: str | None
    rate: str | None
    max_attempts: int | None
    timeout_s: float | None
    expires_at: datetime | int | None
    project_id: str | None
    owner: str | None
    subject: tuple[str, str] | None
    label: str | None
    batch: str | None
    parent: str | None


class Draft(msgspec.Struct, frozen=True):
    """A row to be, with what decides whether it comes to be."""

    columns: dict[str, Any]
    on_dup: OnDup = "skip"
    unique_ms: int = 0


class Duplicate(Exception):
    """A live job holds the dedupe key."""

    def __init__(self, holder_id: str) -> None:
        super().__init__(f"already queued as job {holder_id}")
        self.holder_id = holder_id


class SerialBacklogFull(Exception):
    """Too many jobs wait behind one serial key: whoever asks must slow down."""


def draft(payload: Payload, **options: Unpack[Options]) -> Draft:
    """The row that asking for `payload` would write."""
    now = clock.ms()
    subject = options.get("subject") or payload.subject() or (None, None)
    timeout_s = options.get("timeout_s")
    priority = options.get("priority")
    unique_for = options.get("unique_for") or payload.UNIQUE_FOR
    columns = {
        "id": uuid7(),
        "type": payload.TYPE,
        "projectId": options.get("project_id"),
        "payloadJson": payload.encode(),
        "priority": payload.PRIORITY if priority is None else priority,
        "runAt": ms(options.get("run_at")) or now + round((options.get("delay_s") or 0) * 1000),
        "dedupeKey": options.get("dedupe") or payload.dedupe_key(),
        "maxAttempts": options.get("max_attempts"),
        "typeAttempts": payload.MAX_ATTEMPTS,
        "ownerUserId": options.get("owner"),
        "subjectType": subject[0],
        "subjectId": subject[1],
        "label": options.get("label") or payload.label(),
        "serialKey": options.get("serial") or payload.serial_key(),
        "rateKey": options.get("rate") or payload.rate_key(),
        "timeoutMs": None if timeout_s is None else round(timeout_s * 1000),
        "expiresAt": ms(options.get("expires_at")),
        "batchId": options.get("batch"),
        "parentId": options.get("parent"),
        "scheduleId": None,
        "now": now,
    }
    return Draft(
        columns=columns,
        on_dup=options.get("on_dup") or payload.ON_DUP,
        unique_ms=round(unique_for.total_seconds() * 1000) if unique_for else 0,
    )


def ms(moment: datetime | int | None) -> int | None:
    """Milliseconds since the epoch of an aware datetime; a number is that already."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("a time to run at needs a zone")
        return round(moment.timestamp() * 1000)
    return moment


def put(connection: apsw.Connection, draft: Draft) -> Enqueued:
    """Insert the row, or answer with the job that makes it unnecessary."""
    row = draft.columns
    if draft.unique_ms and not _take_period(connection, draft):
        holder_id = fetch_value(connection, _PERIOD_HOLDER, (_period(draft)[0],))
        return Enqueued(holder_id, deduped=True)
    if row["serialKey"]:
        waiting = fetch_value(connection, _BACKLOG, (row["serialKey"], SERIAL_CAP))
        if waiting >= SERIAL_CAP:
            raise SerialBacklogFull(row["serialKey"])
    if fetch_value(connection, _INSERT, row) is not None:
        return Enqueued(row["id"], deduped=False)
    holder = job(connection, _HOLDER, (row["dedupeKey"],))
    assert holder is not None  # noqa: S101 - the conflict just named it, in this transaction
    _meet(connection, draft, holder)
    return Enqueued(holder.id, deduped=True)


def _take_period(connection: apsw.Connection, draft: Draft) -> bool:
    key, ends_at = _period(draft)
    args = (key, draft.columns["id"], ends_at, draft.columns["now"])
    return fetch_value(connection, _TAKE_PERIOD, args) is not None


def _period(draft: Draft) -> tuple[str, int]:
    """The key of the window that now falls into, and when that window ends."""
    row = draft.columns
    start = row["now"] - row["now"] % draft.unique_ms
    return f"{row['dedupeKey'] or row['type']}@{start}", start + draft.unique_ms


def _meet(connection: apsw.Connection, draft: Draft, holder: Job) -> None:
    """What a second request does to the live holder of its key."""
    row = draft.columns
    if draft.on_dup == "raise":
        raise Duplicate(holder.id)
    if draft.on_dup == "skip" or (draft.on_dup == "replace" and holder.type != row["type"]):
        return
    if holder.state == "running":
        # Twenty presses of one button are one run: only a different wish replaces.
        asked = msgspec.json.decode(holder.rerun_json)["payloadJson"] if holder.rerun_json else None
        same = (asked or holder.payload_json) == row["payloadJson"]
        if draft.on_dup == "rerun" or not same:
            wish = msgspec.json.encode(row).decode()
            execute(connection, _RERUN, (holder.id, wish, row["now"]))
    elif draft.on_dup == "replace":
        execute(connection, _REPLACE, {**row, "holder": holder.id})
