"""The queue: impossible states are refused, and the view `jobs` keeps the former words."""

from typing import Any

import apsw
import pytest

from db.keys import uuid7
from tests.db.constraints.rows import a_job, a_project, a_user, ask, insert, refused


@pytest.mark.parametrize(
    "values",
    [
        {"state": "stuck"},
        {"priority": 101},
        {"maxAttempts": 0},
        {"progress": 101},
        {"state": "running"},  # without a lock
        {"lockedBy": "w1"},  # without running
        {"state": "succeeded"},  # without its end
        {"finishedAt": 1},  # without a final state
    ],
)
def test_an_impossible_job_is_refused(live: apsw.Connection, values: dict[str, Any]) -> None:
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        a_job(live, **values)


def test_a_dedupe_key_is_held_while_its_job_lives(live: apsw.Connection) -> None:
    a_job(live, dedupeKey="k", state="failed", finishedAt=1)
    a_job(live, dedupeKey="k")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        a_job(live, dedupeKey="k", state="running", lockedBy="w1")


def test_one_running_job_per_serial_key(live: apsw.Connection) -> None:
    a_job(live, serialKey="s")
    a_job(live, serialKey="s", state="running", lockedBy="w1")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        a_job(live, serialKey="s", state="running", lockedBy="w2")


def test_log_lines_go_with_their_job_and_a_job_outlives_its_project(live: apsw.Connection) -> None:
    project = a_project(live, a_user(live))
    job = a_job(live, projectId=project)
    insert(live, "job_events", id=uuid7(), job_id=job, level="info", message="began", created_at=0)
    ask(live, "DELETE FROM projects")
    assert ask(live, "SELECT projectId FROM queueJobs") == [(None,)]
    ask(live, "DELETE FROM queueJobs")
    assert ask(live, "SELECT count(*) FROM job_events") == [(0,)]


def test_there_is_one_row_of_settings(live: apsw.Connection) -> None:
    row = ask(live, "SELECT paused, concurrency, ioConcurrency, longConcurrency FROM queueSettings")
    assert row == [(0, 2, 20, 4)]
    assert "CHECK" in refused(live, "INSERT INTO queueSettings (id, updatedAt) VALUES (2, 0)")
    assert "CHECK" in refused(live, "UPDATE queueSettings SET concurrency = 65")


@pytest.mark.feature("Q-95")
@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "pending"),
        ({"runAt": 2**45}, "delayed"),
        ({"state": "running", "lockedBy": "w1", "lockExpiresAt": 2**45}, "active"),
        ({"state": "running", "lockedBy": "w1", "lockExpiresAt": 1}, "stuck"),
        ({"state": "succeeded", "finishedAt": 1}, "completed"),
        ({"state": "failed", "finishedAt": 1}, "failed"),
        ({"state": "cancelled", "finishedAt": 1}, "failed"),
    ],
)
def test_the_view_jobs_speaks_the_former_words(
    live: apsw.Connection, values: dict[str, Any], word: str
) -> None:
    a_job(live, **values)
    assert ask(live, "SELECT status FROM jobs") == [(word,)]


@pytest.mark.feature("Q-95")
def test_the_view_jobs_has_the_former_columns(live: apsw.Connection) -> None:
    made = 1_790_000_000_123
    row = {"type": "audiobooks.search_indexers", "state": "cancelled", "createdAt": made}
    done = {"finishedAt": 1, "maxAttempts": 5, "payloadJson": '{"a":1}', "resultJson": "2"}
    a_job(live, subjectType="audiobook_request", subjectId="r1", **row, **done)
    who = "SELECT bull_job_id, request_id, type, error_message, created_at, started_at FROM jobs"
    times = ("2026-09-21T14:13:20.123Z", None)
    assert ask(live, who) == [(None, "r1", "search_indexers", "cancelled", *times)]
    what = ask(live, "SELECT max_attempts, payload, result FROM jobs")
    assert what == [(5, '{"a":1}', "2")]
    with pytest.raises(apsw.SQLError, match="view"):
        ask(live, "DELETE FROM jobs")
