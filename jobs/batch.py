"""Fan-out: many jobs that count as one, and one job when all of them have ended.

The counters change in the transaction that ends a child, and the callback is written in the one
that ends the last: it comes once, also for an empty batch, also after a crash.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Unpack

import apsw
import msgspec

from db import clock
from db.connection import execute, fetch
from db.engine import DB
from db.keys import uuid7
from jobs.insert import Draft, Options, draft, put
from jobs.payload import Payload
from jobs.row import Job

CHUNK = 1000

_OPEN = """
INSERT INTO queue_batches(id, label, ownerUserId, onFinishJson, createdAt) VALUES(?, ?, ?, ?, ?)
"""
_GREW = "UPDATE queue_batches SET total=total+?2, pending=pending+?2 WHERE id=?1"
_SEAL = """
UPDATE queue_batches SET sealedAt=?2, finishedAt=CASE WHEN pending=0 THEN ?2 END
WHERE id=?1 RETURNING *
"""
_COUNT = """
UPDATE queue_batches SET pending=pending-1, succeeded=succeeded+(?2='succeeded'),
  failed=failed+(?2='failed'), cancelled=cancelled+(?2='cancelled'),
  finishedAt=CASE WHEN pending=1 AND sealedAt IS NOT NULL THEN ?3 END
WHERE id=?1 RETURNING *
"""
_REOPEN = """
UPDATE queue_batches SET pending=pending+1, failed=failed-(?2='failed'),
  cancelled=cancelled-(?2='cancelled'), finishedAt=NULL WHERE id=?1
"""
_CALLED = "UPDATE queue_batches SET callbackJobId=?2 WHERE id=?1"


class Summary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A row of `queue_batches`; times are milliseconds since the epoch."""

    id: str
    label: str | None
    owner_user_id: str | None
    total: int
    pending: int
    succeeded: int
    failed: int
    cancelled: int
    sealed_at: int | None
    callback_job_id: str | None
    created_at: int
    finished_at: int | None


class Callback(msgspec.Struct, frozen=True):
    """The job to write when the last child has ended; `again` also after children were retried."""

    columns: dict[str, Any]
    again: bool


class Batch:
    """What `batch` gives: collects children until the block is left."""

    def __init__(self, on_finish: Payload | None) -> None:
        self.id = uuid7()
        self.on_finish = on_finish
        self.drafts: list[Draft] = []

    def add(self, payload: Payload, **options: Unpack[Options]) -> None:
        """Add a child. One that a live job makes unnecessary is not counted."""
        options["batch"] = self.id
        self.drafts.append(draft(payload, **options))


@asynccontextmanager
async def batch(
    *,
    label: str | None = None,
    owner: str | None = None,
    on_finish: Payload | None = None,
    on_refinish: bool = False,
) -> AsyncIterator[Batch]:
    """Collect jobs, then write them, 1,000 to a commit; a block that raises asks for nothing.

    `on_finish` runs once all have ended, whatever way; its job's subject is `("batch", id)` unless
    it has its own. With `on_refinish` it runs again when children were retried and ended again.
    """
    made = Batch(on_finish)
    yield made
    callback = None
    if made.on_finish:
        wish = draft(made.on_finish, dedupe=f"batch:{made.id}", owner=owner).columns
        if wish["subjectType"] is None:
            wish |= {"subjectType": "batch", "subjectId": made.id}
        callback = msgspec.json.encode(Callback(wish, on_refinish)).decode()
    about = (made.id, label, owner, callback, clock.ms())
    chunks = [made.drafts[at : at + CHUNK] for at in range(0, len(made.drafts), CHUNK)] or [[]]
    for number, chunk in enumerate(chunks):
        opening = about if number == 0 else None
        sealing = made.id if number == len(chunks) - 1 else None
        await DB.write(partial(_write, opening=opening, drafts=chunk, sealing=sealing))


async def get(batch_id: str) -> Summary | None:
    """One batch with its counts."""
    row = await DB.one("SELECT * FROM queue_batches WHERE id=?", (batch_id,))
    return msgspec.convert(row, Summary) if row else None


async def newest(limit: int = 50) -> list[Summary]:
    """The batches, newest first."""
    rows = await DB.all("SELECT * FROM queue_batches ORDER BY id DESC LIMIT ?", (limit,))
    return msgspec.convert(rows, list[Summary])


# ---- inside a write ----


def count(connection: apsw.Connection, row: Job, now: int) -> None:
    """A child has ended: count it, and write the callback after the last."""
    found = fetch(connection, _COUNT, (row.batch_id, row.state, now))
    if found:
        _finish(connection, found[0], now)


def reopen(connection: apsw.Connection, batch_id: str, state: str) -> None:
    """A child that ended as `state` is queued again."""
    execute(connection, _REOPEN, (batch_id, state))


def _write(
    connection: apsw.Connection,
    opening: tuple[Any, ...] | None,
    drafts: Sequence[Draft],
    sealing: str | None,
) -> None:
    if opening:
        execute(connection, _OPEN, opening)
    added = sum(not put(connection, each).deduped for each in drafts)
    if added:
        execute(connection, _GREW, (drafts[0].columns["batchId"], added))
    if sealing:
        now = clock.ms()
        _finish(connection, fetch(connection, _SEAL, (sealing, now))[0], now)


def _finish(connection: apsw.Connection, row: dict[str, Any], now: int) -> None:
    if row["finishedAt"] is None or row["onFinishJson"] is None:
        return
    callback = msgspec.json.decode(row["onFinishJson"], type=Callback)
    if row["callbackJobId"] is None or callback.again:
        done = put(connection, Draft({**callback.columns, "id": uuid7(), "runAt": now, "now": now}))
        execute(connection, _CALLED, (row["id"], done.id))
