"""Jobs that wait for one serial key: only the head of the line is looked at, whatever happens."""

from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db import clock as time
from db.clock import FakeClock
from db.connection import execute, fetch
from db.engine import DB, ApswEngine
from db.keys import uuid7
from jobs import enqueue as queue
from jobs.claim import claim
from jobs.enqueue import enqueue, enqueue_many
from jobs.row import Job
from tests.jobs.conftest import claim_steps, queue_in_memory
from tests.jobs.samples import Note, Slow

pytestmark = pytest.mark.anyio

_HEADS = """
SELECT id, behind FROM queueJobs j WHERE state='queued' AND serialKey IS NOT NULL
AND behind <> (id <> (SELECT id FROM queueJobs x WHERE x.state='queued'
  AND x.serialKey=j.serialKey AND x.type=j.type AND x.priority=j.priority
  ORDER BY runAt, id LIMIT 1))
"""
_NAIVE = """
SELECT id FROM queueJobs j WHERE state='queued' AND runAt<=?1 AND (serialKey IS NULL OR NOT EXISTS
  (SELECT 1 FROM queueJobs r WHERE r.state='running' AND r.serialKey=j.serialKey))
ORDER BY priority DESC, runAt, id LIMIT 1
"""


def steps() -> st.SearchStrategy[list[tuple[str, int, int]]]:
    doing = st.sampled_from(["add", "claim", "end", "move", "raise", "cancel", "delete", "revive"])
    return st.lists(st.tuples(doing, st.integers(0, 5), st.integers(0, 2)), max_size=40)


def do(connection: apsw.Connection, step: str, pick: int, number: int) -> None:
    """One step in the life of a small queue: two types, three keys or none, three priorities."""
    states = {"end": "running", "revive": "cancelled"}
    rows = fetch(
        connection,
        "SELECT id FROM queueJobs WHERE state=? ORDER BY id",
        (states.get(step, "queued"),),
    )
    args: Any = {"now": 10, "n": number, "id": rows[pick % len(rows)]["id"] if rows else ""}
    ended = "state='cancelled', finishedAt=1, lockedBy=NULL"
    sql = {
        "end": f"UPDATE queueJobs SET {ended} WHERE id=:id",
        "move": "UPDATE queueJobs SET runAt=:n*6 WHERE id=:id",
        "raise": "UPDATE queueJobs SET priority=:n WHERE id=:id",
        "cancel": f"UPDATE queueJobs SET {ended} WHERE id=:id",
        "delete": "DELETE FROM queueJobs WHERE id=:id",
        "revive": "UPDATE queueJobs SET state='queued', finishedAt=NULL, runAt=:n WHERE id=:id",
    }
    if step == "add":
        row = (uuid7(), "ab"[pick % 2], number * 6, [None, "k", "l"][pick % 3], number % 2)
        columns = "id, type, runAt, serialKey, priority, createdAt, updatedAt"
        execute(connection, f"INSERT INTO queueJobs({columns}) VALUES(?,?,?,?,?,1,1)", row)
    elif step == "claim":
        naive = fetch(connection, _NAIVE, (10,))
        taken = claim(connection, "w", 10, 1000, ["a", "b"])
        assert [row["id"] for row in naive] == ([taken.id] if taken else [])
    else:
        execute(connection, sql[step], args)


@pytest.mark.feature("Q-17")
@given(steps())
@settings(max_examples=150, deadline=None)
def test_a_claim_takes_what_a_walk_over_all_rows_would(todo: list[tuple[str, int, int]]) -> None:
    connection = queue_in_memory()
    for step in todo:
        do(connection, *step)
        assert fetch(connection, _HEADS) == []
    connection.close()


async def take() -> Job | None:
    types = [Note.TYPE, Slow.TYPE]
    return await DB.write(lambda conn: claim(conn, "w", time.ms(), 1000, types))


@pytest.mark.feature("Q-17", "Q-72")
async def test_a_thousand_behind_one_key_are_not_walked(db: ApswEngine, clock: FakeClock) -> None:
    """Steps of SQLite's machine are counted, not time: as many as with nobody in the line."""
    await enqueue(Note(text="holder"), serial="shelf")
    assert await take() is not None
    await enqueue(Slow(), priority=-1)
    alone = await effort()
    await enqueue_many([Note() for _ in range(900)], serial="shelf", priority=50)
    assert await effort() < alone * 3
    await DB.execute("UPDATE queueJobs SET behind=0")
    assert await effort() > alone * 20, "the count would notice"


async def effort() -> int:
    """How many steps a claim takes, undone afterwards."""
    types = [Note.TYPE, Slow.TYPE]
    return await DB.write(lambda conn: claim_steps(conn, time.ms(), types))


async def test_the_next_in_line_moves_up_however_the_head_leaves(
    db: ApswEngine, clock: FakeClock
) -> None:
    asked = await enqueue_many([Note(text=str(n)) for n in range(4)], serial="shelf")
    await queue.cancel(id=asked[0].id)
    await queue.edit(asked[1].id, run_at=time.ms() + 60_000)
    await queue.edit(asked[3].id, priority=9)
    first = await take()
    assert first is not None
    assert first.id == asked[3].id
    await DB.execute(
        "UPDATE queueJobs SET state='failed', finishedAt=1, lockedBy=NULL WHERE id=?", [first.id]
    )
    second = await take()
    assert second is not None
    assert second.id == asked[2].id
