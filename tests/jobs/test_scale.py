"""A claim takes as many steps of SQLite's machine with a great backlog as with none."""

import os

import apsw
import pytest

from tests.jobs.conftest import claim_steps, queue_in_memory

ROWS = int(os.environ.get("HOLDFAST_ROWS", "100000"))  # a million at night
NOW = 1000

_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<?1)
INSERT INTO queueJobs(id, type, state, runAt, serialKey, createdAt, updatedAt, finishedAt, lockedBy)
SELECT printf('%s-%s-%07d', ?2, ?3, i), ?2, ?3, ?4, ?5, 1, 1, ?6, ?7 FROM n
"""


def fill(connection: apsw.Connection, rows: int, type: str, **columns: object) -> None:
    """That many alike rows, due by now and queued unless said otherwise."""
    names = ("state", "runAt", "serialKey", "finishedAt", "lockedBy")
    usual = {"state": "queued", "runAt": 1}
    values = [{**usual, **columns}.get(name) for name in names]
    connection.execute(_FILL, (rows, type, *values)).fetchall()


@pytest.mark.feature("Q-72")
def test_a_claim_is_as_short_with_a_hundred_thousand_waiting() -> None:
    """Finished, at their type's limit, not yet due, and a thousand behind one serial key."""
    connection = queue_in_memory()
    fill(connection, 1, "mine", runAt=NOW - 1)
    may_run = ["mine", "lined"]
    may_run = ["mine", "lined", "later"]
    alone = claim_steps(connection, NOW, may_run)
    fill(connection, ROWS, "old", state="succeeded", finishedAt=1)
    fill(connection, ROWS, "full")
    fill(connection, ROWS, "later", runAt=NOW + 3_600_000)
    fill(connection, 1, "lined", state="running", serialKey="shelf", lockedBy="w2")
    fill(connection, 1000, "lined", serialKey="shelf")
    assert claim_steps(connection, NOW, may_run) < alone * 3
    connection.execute("DROP INDEX qj_ready")
    assert claim_steps(connection, NOW, may_run) > alone * 20, "the count would notice"
    connection.close()
