"""One job for people: what it was told, what became of it, why it waits, whom it belongs to."""

import json
from typing import Any

import apsw
import msgspec

from app.core.errors import NotFound
from app.core.live import Viewer
from app.ops.service.jobs import SELECT, JobRow, line
from app.ops.service.told import Attempt, attempts
from db.connection import Row, fetch
from db.engine import DB
from jobs.registry import REGISTRY
from jobs.why import Reason, Situation, situation

FAMILY = 100  # jobs of one tree that a page shows
UNANSWERED_MS = 10_000
DOTS = "•••"

_FAMILY = """
WITH RECURSIVE up(id, parentId) AS (
    SELECT id, parentId FROM queueJobs WHERE id = :id
    UNION SELECT p.id, p.parentId FROM queueJobs p JOIN up ON p.id = up.parentId),
  tree(id, depth, path) AS (
    SELECT id, 0, id FROM up WHERE parentId IS NULL
      OR NOT EXISTS (SELECT 1 FROM queueJobs p WHERE p.id = up.parentId)
    UNION ALL SELECT c.id, depth + 1, path || '/' || c.id FROM queueJobs c
      JOIN tree ON c.parentId = tree.id WHERE depth < 20 LIMIT :most)
"""
_TREE = f"{_FAMILY} {SELECT} JOIN tree ON tree.id = j.id ORDER BY tree.path"
_DEPTHS = f"{_FAMILY} SELECT id, depth FROM tree"  # noqa: S608 - our words
_BATCH = "SELECT label, total, pending FROM queue_batches WHERE id = ?"
_QUEUE_SAID = """
SELECT level, message, metadata, attempt, created_at FROM job_events
WHERE job_id = ? AND context = 'queue' ORDER BY id DESC LIMIT 200
"""


class Kin(msgspec.Struct, frozen=True):
    """A job of the same tree; `depth` 0 is the one that began it."""

    row: JobRow
    depth: int


class JobCard(msgspec.Struct, frozen=True, kw_only=True):
    """One job. What is only an admin's to see is empty for its owner; times in milliseconds."""

    row: JobRow
    error: str
    error_code: str
    stack: str
    payload: str
    result: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    worker: str
    lease_until: int | None
    subject: tuple[str, str] | None
    project: str
    priority: int
    lane: str
    timeout_s: float
    crashes: int
    snoozes: int
    keys: dict[str, str]
    batch: Row | None
    family: list[Kin]
    reasons: list[Reason]
    force: bool
    attempts: list[Attempt]


async def get_job(viewer: Viewer, job_id: str, *, mine: bool) -> JobCard:
    """One job; NotFound for one that is not the viewer's, admins aside."""

    def read(connection: apsw.Connection) -> JobCard:
        now = situation(connection)
        row = visible(connection, viewer, job_id, mine=mine, now=now)
        said = fetch(connection, _QUEUE_SAID, (job_id,))
        family = _family(connection, row, now)
        if mine:
            family = [kin for kin in family if kin[1]["ownerUserId"] == viewer.id]
        batches = fetch(connection, _BATCH, (row["batchId"],))
        return _card(row, now, said, family, batches, mine=mine)

    return await DB.read(read)


def visible(
    connection: apsw.Connection, viewer: Viewer, job_id: str, *, mine: bool, now: Situation
) -> Row:
    """The row of a job that the viewer may see. Raises NotFound."""
    owner = viewer.id if mine or viewer.role != "admin" else None
    found = fetch(
        connection,
        SELECT + "WHERE j.id = :id AND (:owner IS NULL OR j.ownerUserId = :owner)",
        {**now.args, "id": job_id, "owner": owner},
    )
    if not found:
        raise NotFound
    return found[0]


def shown(type_: str, text: str) -> str:
    """A stored payload or result, laid out; fields that its type hides are dots."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    handler = REGISTRY.handlers.get(type_)
    hidden = handler.payload.HIDDEN if handler else ()
    return json.dumps(_covered(value, hidden), indent=2, ensure_ascii=False)


def _covered(value: Any, hidden: tuple[str, ...]) -> Any:
    """`value` with what stands under a hidden name, at any depth, as dots."""
    if isinstance(value, dict):
        return {
            name: DOTS if name in hidden and inner not in (None, "") else _covered(inner, hidden)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_covered(inner, hidden) for inner in value]
    return value


def _family(connection: apsw.Connection, row: Row, now: Situation) -> list[tuple[Kin, Row]]:
    """The tree it belongs to, in the order in which it grew; empty where it is alone."""
    args = {**now.args, "id": row["id"], "most": FAMILY}
    depths = {each["id"]: each["depth"] for each in fetch(connection, _DEPTHS, args)}
    if len(depths) < 2:
        return []
    rows = fetch(connection, _TREE, args)
    return [(Kin(line(each, now), depths[each["id"]]), each) for each in rows]


def _card(
    row: Row,
    now: Situation,
    said: list[Row],
    family: list[tuple[Kin, Row]],
    batches: list[Row],
    *,
    mine: bool,
) -> JobCard:
    handler = REGISTRY.handlers.get(row["type"])
    limit_s = handler.payload.TIMEOUT_S if handler else 0
    names = ("dedupeKey", "serialKey", "rateKey", "scheduleId")
    unanswered = (row["cancelRequestedAt"] or now.now) < now.now - UNANSWERED_MS
    return JobCard(
        row=line(row, now),
        error=row["lastError"] or "",
        error_code=row["errorCode"] or "",
        stack="" if mine else row["stackTrace"] or "",
        payload="" if mine else shown(row["type"], row["payloadJson"]),
        result=shown(row["type"], row["resultJson"]) if row["resultJson"] and not mine else "",
        created_at=row["createdAt"],
        started_at=row["startedAt"],
        finished_at=row["finishedAt"],
        worker="" if mine else row["lockedBy"] or "",
        lease_until=None if mine else row["lockExpiresAt"],
        subject=(row["subjectType"], row["subjectId"]) if row["subjectId"] else None,
        project=row["projectId"] or "",
        priority=row["priority"],
        lane=handler.lane if handler else "",
        timeout_s=limit_s if row["timeoutMs"] is None else row["timeoutMs"] / 1000,
        crashes=row["crashes"],
        snoozes=row["snoozes"],
        keys={name: row[name] for name in names if row[name] and not mine},
        batch={**batches[0], "id": row["batchId"]} if batches and not mine else None,
        family=[kin for kin, _row in family],
        reasons=now.reasons(row) if row["state"] == "queued" else [],
        force=row["state"] == "running" and (row["shown"] == "stalled" or unanswered),
        attempts=attempts(row, said, with_stacks=not mine),
    )
