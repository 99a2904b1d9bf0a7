"""What running jobs say: log lines and progress, buffered and written together.

A plain success costs no extra write; whatever is said within half a second is one commit for all
jobs, or rides along with a commit that is due anyway.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal

import apsw
import msgspec
import structlog

from db import clock
from db.connection import execute, fetch_value
from db.keys import uuid7
from jobs.claim import Fence

log = structlog.get_logger("jobs")

MESSAGE_CHARS = 5000
BUFFERED_LINES = 50

Level = Literal["info", "warn", "error"]
Redact = Callable[[str], str]

# A job may be deleted while its last words are on the way: nothing to write then.
_LINE = """
INSERT INTO job_events(id, job_id, level, context, message, metadata, attempt, created_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE EXISTS (SELECT 1 FROM queueJobs WHERE id=?2)
"""
_PROGRESS = """
UPDATE queueJobs SET progress=?4, progressMessage=?5, lockExpiresAt=?6+?7, updatedAt=?6
WHERE id=?1 AND state='running' AND lockedBy=?2 AND attempts=?3
"""
# Pages hear of a job's row, not of its lines.
_TOUCH = "UPDATE queueJobs SET updatedAt=?2 WHERE id=?1 AND state='running'"
_COUNT = "SELECT count(*) FROM job_events WHERE job_id=?"
_KEEP = "SELECT keepEventsPerJob FROM queueSettings WHERE id=1"
_DROP = """
DELETE FROM job_events WHERE id IN (
  SELECT id FROM job_events WHERE job_id=?1 AND id<>?1 ORDER BY level<>'info', id LIMIT ?2)
"""
# Its id is the job's own, which is older than any event's: the entry stays the first.
_DROPPED = """
INSERT INTO job_events(id, job_id, level, context, message, metadata, attempt, created_at)
VALUES(?1, ?1, 'info', 'queue', ?2 || ' entries dropped', json_object('kind','dropped','n',?2),
  0, ?3)
ON CONFLICT(id) DO UPDATE SET
  metadata=json_set(metadata, '$.n', json_extract(metadata, '$.n')+?2),
  message=(json_extract(metadata, '$.n')+?2) || ' entries dropped'
"""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `job_events`."""

    job_id: str
    attempt: int
    level: Level
    context: str
    message: str
    metadata: str | None = None
    at: int


class Pending(msgspec.Struct, frozen=True):
    """What was said since the last write."""

    lines: list[Line]
    progress: dict[Fence, tuple[int, str | None]]
    lease_ms: int

    def __bool__(self) -> bool:
        return bool(self.lines or self.progress)


class Notes:
    """The buffer of one worker. Handlers in threads write to it too."""

    def __init__(self, stir: Callable[[bool], None], redact: Redact, lease_ms: int) -> None:
        self._stir = stir
        self._lease_ms = lease_ms
        self.redact = redact
        self._lock = threading.Lock()
        self._pending = Pending([], {}, self._lease_ms)

    def say(
        self, fence: Fence, level: Level, context: str, text: str, meta: dict[str, Any]
    ) -> None:
        """Note one log line of a job."""
        message = self.redact(text)
        if len(message) > MESSAGE_CHARS:
            message = message[:MESSAGE_CHARS] + " … (cut)"
        metadata = self.redact(msgspec.json.encode(meta).decode()) if meta else None
        line = Line(
            job_id=fence.id,
            attempt=fence.attempt,
            level=level,
            context=context,
            message=message,
            metadata=metadata,
            at=clock.ms(),
        )
        with self._lock:
            self._pending.lines.append(line)
            full = len(self._pending.lines) >= BUFFERED_LINES
        self._stir(full)

    def move(self, fence: Fence, percent: int, message: str | None) -> None:
        """Note how far a job is; only the last word before a write counts."""
        with self._lock:
            self._pending.progress[fence] = (percent, message and self.redact(message))
        self._stir(False)

    def take(self) -> Pending:
        """Everything noted since the last call, to be written now."""
        with self._lock:
            taken, self._pending = self._pending, Pending([], {}, self._lease_ms)
        return taken

    def restore(self, unwritten: Pending) -> None:
        """Put back what could not be written; newer progress wins."""
        with self._lock:
            newer = self._pending
            lines = unwritten.lines + newer.lines
            progress = {**unwritten.progress, **newer.progress}
            self._pending = Pending(lines, progress, self._lease_ms)


class JobLog:
    """`ctx.log`: lines in the job's own log, and in the process log with the job's id."""

    def __init__(self, notes: Notes, fence: Fence, context: str) -> None:
        self._notes = notes
        self._fence = fence
        self._context = context

    def info(self, message: str, **meta: Any) -> None:
        """Something worth telling."""
        self._say("info", message, meta)

    def warn(self, message: str, **meta: Any) -> None:
        """Something went wrong and was coped with."""
        self._say("warn", message, meta)

    def error(self, message: str, **meta: Any) -> None:
        """Something went wrong."""
        self._say("error", message, meta)

    def _say(self, level: Level, message: str, meta: dict[str, Any]) -> None:
        self._notes.say(self._fence, level, self._context, message, meta)
        tell = {"info": log.info, "warn": log.warning, "error": log.error}[level]
        tell("job.said", job_id=self._fence.id, type=self._context, message=message, **meta)


def storable(redact: Redact, text: str) -> str:
    """Text as it may be stored: without secrets, and without the odd bytes of a file name."""
    return redact(text.encode("utf-8", "replace").decode())


def write(connection: apsw.Connection, pending: Pending | None) -> None:
    """Write what was said. Progress of an attempt that is over is dropped."""
    if not pending:
        return
    now = clock.ms()
    for fence, (percent, message) in pending.progress.items():
        key = (fence.id, fence.worker, fence.attempt)
        execute(connection, _PROGRESS, (*key, percent, message, now, pending.lease_ms))
    for line in pending.lines:
        write_line(connection, line)
    if pending.lines:
        said = {line.job_id for line in pending.lines}
        for job_id in said - {fence.id for fence in pending.progress}:
            execute(connection, _TOUCH, (job_id, now))
        _cap(connection, said, now)


def write_line(connection: apsw.Connection, line: Line) -> None:
    """Write one line."""
    said = (line.level, line.context, line.message, line.metadata, line.attempt, line.at)
    execute(connection, _LINE, (uuid7(), line.job_id, *said))


def _cap(connection: apsw.Connection, job_ids: Iterable[str], now: int) -> None:
    """Keep the newest lines of a talkative job, dropping the oldest of level info first."""
    keep = fetch_value(connection, _KEEP)
    for job_id in job_ids:
        over = fetch_value(connection, _COUNT, (job_id,)) - keep
        if over > 0:
            # One more than needed makes room for the entry that says how many went.
            dropped = execute(connection, _DROP, (job_id, over + 1))
            execute(connection, _DROPPED, (job_id, dropped, now))
