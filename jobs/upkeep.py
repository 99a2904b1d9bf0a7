"""What keeps the queue's tables small: old rows go in short steps while jobs run."""

from functools import partial
from pathlib import Path

import apsw

from db import clock
from db.connection import fetch
from db.engine import DB
from jobs import history, logfile

STEP = 500  # rows per transaction: about a millisecond of the write lock
BUDGET_S = 2.0
DAY_MS = 86_400_000

# Spelt out per state: a partial index is used only where its predicate is literal.
_OLD = {
    state: f"""
DELETE FROM queueJobs WHERE rowid IN (
  SELECT rowid FROM queueJobs WHERE state='{state}' AND finishedAt IS NOT NULL AND finishedAt<?1
    AND (batchId IS NULL OR batchId NOT IN (SELECT id FROM queue_batches WHERE finishedAt IS NULL))
  ORDER BY finishedAt LIMIT ?2)
RETURNING id, createdAt
"""  # noqa: S608 - our own three words
    for state in ("succeeded", "failed", "cancelled")
}
_KEEP = {
    "succeeded": "keepSucceededMs",
    "failed": "keepFailedMs",
    "cancelled": "keepCancelledMs",
}
_REST = (
    ("DELETE FROM job_fires WHERE firedAt<?1", 30 * DAY_MS),
    ("DELETE FROM queue_unique WHERE expiresAt<?1", 0),
    ("DELETE FROM queue_stats WHERE minute<?1/60000", 90 * DAY_MS),
    ("DELETE FROM queue_backlog WHERE minute<?1/60000", 90 * DAY_MS),
    ("DELETE FROM queue_batches WHERE finishedAt<?1", 30 * DAY_MS),
)


async def prune(data_dir: Path) -> tuple[int, bool]:
    """Delete what is past its time, for two seconds at most; (jobs deleted, whether more wait)."""
    settings = await DB.one("SELECT * FROM queueSettings WHERE id=1") or {}
    deadline = clock.monotonic() + BUDGET_S
    gone = 0
    for state, sql in _OLD.items():
        before = clock.ms() - settings[_KEEP[state]]
        step = STEP
        while step == STEP:
            step = await DB.write(partial(_step, sql=sql, before=before, data_dir=data_dir))
            gone += step
            if clock.monotonic() > deadline:
                return gone, True
    for sql, age_ms in _REST:
        await DB.execute(sql, (clock.ms() - age_ms,))
    await DB.writer.look(_tidy)
    return gone, False


async def fold() -> int:
    """Turn old minutes of the statistics into hours; returns how many rows were folded."""
    folded = 0
    while step := await DB.write(history.fold):
        folded += step
    return folded


def _step(connection: apsw.Connection, sql: str, before: int, data_dir: Path) -> int:
    rows = fetch(connection, sql, (before, STEP))
    for row in rows:
        # Before the commit: a file without its row would never be found again.
        logfile.path_of(data_dir, row["id"], row["createdAt"]).unlink(missing_ok=True)
    return len(rows)


def _tidy(connection: apsw.Connection) -> None:
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
