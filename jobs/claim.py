"""The statements that move a job: claim, finish, put back, rescue. Every one runs inside a write.

A finishing verb that finds no row met the fence: the pair (lockedBy, attempts) names another
attempt by now, so whoever called must roll back and raise LeaseLost.
"""

from collections.abc import Iterable

import apsw
import msgspec

from jobs.registry import Rate
from jobs.row import Job, job, jobs

# 1 worker id, 2 now, 3 lease ms, 4 JSON array of eligible types, 5 ms of waiting that count as one
# priority point (0 = off). For each type it walks the distinct priorities of qj_ready, seeks the
# first due, unblocked row of each, and takes the best: the cost is seeks, not rows. Of the rows
# that wait for one serial key only the head of the line is in that index (triggers of
# 0002_queue.sql).
CLAIM = """
UPDATE queueJobs SET state='running', attempts=attempts+1, lockedBy=?1, lockedAt=?2,
  lockExpiresAt=?2+?3, startedAt=?2, updatedAt=?2, progress=NULL, progressMessage=NULL
WHERE state='queued' AND rowid = (
  WITH RECURSIVE head(t,p) AS (
    SELECT e.value, (SELECT x.priority FROM queueJobs x
                     WHERE x.state='queued' AND x.behind=0 AND x.type=e.value
                     ORDER BY x.priority DESC LIMIT 1) FROM json_each(?4) e
    UNION ALL
    SELECT h.t, (SELECT x.priority FROM queueJobs x
                 WHERE x.state='queued' AND x.behind=0 AND x.type=h.t AND x.priority<h.p
                 ORDER BY x.priority DESC LIMIT 1) FROM head h
    WHERE h.p IS NOT NULL)
  SELECT j.rowid FROM (SELECT (SELECT x.rowid FROM queueJobs x
        WHERE x.state='queued' AND x.behind=0 AND x.type=h.t AND x.priority=h.p
          AND x.runAt<=?2 AND (x.serialKey IS NULL OR NOT EXISTS
               (SELECT 1 FROM queueJobs r WHERE r.state='running' AND r.serialKey=x.serialKey))
        ORDER BY x.runAt, x.id LIMIT 1) r FROM head h WHERE h.p IS NOT NULL) b
  JOIN queueJobs j ON j.rowid=b.r
  ORDER BY j.priority + CASE WHEN ?5>0 THEN min(20,(?2-j.runAt)/?5) ELSE 0 END DESC, j.runAt, j.id
  LIMIT 1)
RETURNING *
"""

# The finishing verbs. Of each: 1 id, 2 worker id, 3 attempt, 4 now.
# 5 result
COMPLETE = """
UPDATE queueJobs SET state='succeeded', finishedAt=?4, resultJson=?5, progress=100,
  lastError=NULL, errorCode=NULL, stackTrace=NULL,
  lockedBy=NULL, lockedAt=NULL, lockExpiresAt=NULL, updatedAt=?4
WHERE id=?1 AND state='running' AND lockedBy=?2 AND attempts=?3 RETURNING *
"""

# 5 may be retried, 6 delay ms, 7 error, 8 code, 9 stack, 10 attempts to take back
FAIL = """
UPDATE queueJobs SET
  state=CASE WHEN cancelRequestedAt IS NOT NULL THEN 'cancelled'
             WHEN ?5 AND attempts<maxAttempts THEN 'queued' ELSE 'failed' END,
  cancelledAt=CASE WHEN cancelRequestedAt IS NOT NULL THEN ?4 END,
  finishedAt=CASE WHEN cancelRequestedAt IS NULL AND ?5 AND attempts<maxAttempts
                  THEN NULL ELSE ?4 END,
  runAt=CASE WHEN cancelRequestedAt IS NULL AND ?5 AND attempts<maxAttempts
             THEN ?4+?6 ELSE runAt END,
  lastError=?7, errorCode=?8, stackTrace=?9, attempts=attempts-?10,
  lockedBy=NULL, lockedAt=NULL, lockExpiresAt=NULL, updatedAt=?4
WHERE id=?1 AND state='running' AND lockedBy=?2 AND attempts=?3 RETURNING *
"""

# 5 delay ms, 6 snoozes to add: 1, or 0 for a return by shutdown. A requested cancel goes first.
PUT_BACK = """
UPDATE queueJobs SET
  state=CASE WHEN cancelRequestedAt IS NOT NULL THEN 'cancelled' ELSE 'queued' END,
  cancelledAt=CASE WHEN cancelRequestedAt IS NOT NULL THEN ?4 END,
  finishedAt=CASE WHEN cancelRequestedAt IS NOT NULL THEN ?4 END,
  runAt=?4+?5, snoozes=snoozes+?6, attempts=max(attempts-1,0),
  lockedBy=NULL, lockedAt=NULL, lockExpiresAt=NULL, updatedAt=?4
WHERE id=?1 AND state='running' AND lockedBy=?2 AND attempts=?3 RETURNING *
"""

# 5 reason, 6 code
CANCELLED = """
UPDATE queueJobs SET state='cancelled', cancelledAt=?4, finishedAt=?4, lastError=?5, errorCode=?6,
  lockedBy=NULL, lockedAt=NULL, lockExpiresAt=NULL, updatedAt=?4
WHERE id=?1 AND state='running' AND lockedBy=?2 AND attempts=?3 RETURNING *
"""

# 1 now, 2 JSON array of worker ids, 3 JSON array of job ids, 4 reason. Whether the row is queued or
# failed is decided here, in one statement: none can be left queued without an attempt to spend.
RESCUE = """
UPDATE queueJobs SET
  state=CASE WHEN cancelRequestedAt IS NOT NULL THEN 'cancelled'
             WHEN crashes+1>=3 OR attempts>=maxAttempts THEN 'failed' ELSE 'queued' END,
  cancelledAt=CASE WHEN cancelRequestedAt IS NOT NULL THEN ?1 END,
  finishedAt=CASE WHEN cancelRequestedAt IS NOT NULL OR crashes+1>=3 OR attempts>=maxAttempts
                  THEN ?1 END,
  runAt=?1+CASE crashes WHEN 0 THEN 1000 WHEN 1 THEN 30000 ELSE 300000 END, crashes=crashes+1,
  lastError='worker died while running this job',
  errorCode=CASE WHEN crashes+1>=3 THEN 'poison' ELSE 'worker_lost' END, healedAt=?1,
  healReason=CASE WHEN crashes+1>=3 THEN 'poison' ELSE ?4 END,
  lockedBy=NULL, lockedAt=NULL, lockExpiresAt=NULL, updatedAt=?1
WHERE state='running' AND (lockedBy IN (SELECT value FROM json_each(?2))
                           OR id IN (SELECT value FROM json_each(?3)))
RETURNING *
"""

# 1 now, 2 worker id, 3 JSON array of the jobs it knows it runs, 4 ms past the lease that outweigh
# a held lock. A lease that ran out is believed only when its owner is us and we do not run the job,
# or it is long past: a forward step of the clock alone must never cause a double run.
EXPIRED_LEASES = """
SELECT id FROM queueJobs WHERE state='running' AND lockExpiresAt<?1 AND (
  (lockedBy=?2 AND id NOT IN (SELECT value FROM json_each(?3)))
  OR (lockedBy<>?2 AND lockExpiresAt<?1-?4))
"""


class Fence(msgspec.Struct, frozen=True):
    """Which attempt of which job: what every finishing verb must match."""

    id: str
    worker: str
    attempt: int


class Complete(msgspec.Struct, frozen=True):
    """Succeeded, with the encoded result."""

    result: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """Queued again while attempts are left, else failed; cancelled where that was asked for."""

    error: str
    code: str
    stack: str | None = None
    retryable: bool = False
    delay_ms: int = 0
    counted: bool = True


class PutBack(msgspec.Struct, frozen=True):
    """Queued again, the attempt not counted; cancelled where that was asked for.

    With `closes` the gate of that rate key, declared as such, is closed for as long.
    """

    delay_ms: int = 0
    snoozed: bool = False
    reason: str = ""
    closes: tuple[str, Rate | None] | None = None


class Stopped(msgspec.Struct, frozen=True):
    """Cancelled."""

    reason: str | None = None
    code: str | None = None


Verb = Complete | Failed | PutBack | Stopped


def claim(
    connection: apsw.Connection,
    worker: str,
    now: int,
    lease_ms: int,
    types: Iterable[str],
    aging_ms: int = 0,
) -> Job | None:
    """Take the best due job of the eligible types, or None."""
    return job(connection, CLAIM, (worker, now, lease_ms, _array(types), aging_ms))


def finish(connection: apsw.Connection, fence: Fence, verb: Verb, now: int) -> Job | None:
    """End this attempt; returns the row as it stands then, None where the fence is gone."""
    key = (fence.id, fence.worker, fence.attempt, now)
    match verb:
        case Complete():
            return job(connection, COMPLETE, (*key, verb.result))
        case Failed():
            why = (verb.error, verb.code, verb.stack, int(not verb.counted))
            return job(connection, FAIL, (*key, verb.retryable, verb.delay_ms, *why))
        case PutBack():
            return job(connection, PUT_BACK, (*key, verb.delay_ms, verb.snoozed))
        case Stopped():
            return job(connection, CANCELLED, (*key, verb.reason, verb.code))


def rescue_workers(connection: apsw.Connection, now: int, dead: Iterable[str]) -> list[Job]:
    """Take every job from workers that are dead."""
    return jobs(connection, RESCUE, (now, _array(dead), "[]", "orphaned"))


def rescue_expired(
    connection: apsw.Connection, now: int, worker: str, running: Iterable[str], past_ms: int
) -> list[Job]:
    """Take the jobs whose lease ran out and that nobody seems to run."""
    found = connection.execute(EXPIRED_LEASES, (now, worker, _array(running), past_ms)).fetchall()
    if not found:
        return []
    ids = _array(str(row[0]) for row in found)
    return jobs(connection, RESCUE, (now, "[]", ids, "lease_expired"))


def _array(values: Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
