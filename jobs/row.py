"""One row of the queue as a typed value."""

from typing import Literal

import apsw
import msgspec

from db.connection import Args

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Job(msgspec.Struct, frozen=True, rename="camel"):
    """A row of `queueJobs`, its columns in their order; times are milliseconds since the epoch."""

    id: str
    type: str
    state: State
    project_id: str | None
    payload_json: str
    priority: int
    attempts: int
    run_at: int
    dedupe_key: str | None
    max_attempts: int
    owner_user_id: str | None
    subject_type: str | None
    subject_id: str | None
    label: str | None
    serial_key: str | None
    rate_key: str | None
    timeout_ms: int | None
    expires_at: int | None
    batch_id: str | None
    parent_id: str | None
    schedule_id: str | None
    locked_by: str | None
    locked_at: int | None
    lock_expires_at: int | None
    cancel_requested_at: int | None
    cancelled_at: int | None
    rerun_json: str | None
    crashes: int
    snoozes: int
    acknowledged_at: int | None
    progress: int | None
    progress_message: str | None
    checkpoint_json: str | None
    result_json: str | None
    last_error: str | None
    error_code: str | None
    stack_trace: str | None
    healed_at: int | None
    heal_reason: str | None
    created_at: int
    updated_at: int
    started_at: int | None
    finished_at: int | None
    behind: int

    @property
    def subject(self) -> tuple[str, str] | None:
        """The domain row this job is about, as (noun, key)."""
        if self.subject_type is None or self.subject_id is None:
            return None
        return (self.subject_type, self.subject_id)


def jobs(connection: apsw.Connection, sql: str, args: Args = ()) -> list[Job]:
    """Run a statement that gives whole rows of `queueJobs`, to its end."""
    return [Job(*row) for row in connection.execute(sql, args)]


def job(connection: apsw.Connection, sql: str, args: Args = ()) -> Job | None:
    """The first row of such a statement, or None."""
    found = jobs(connection, sql, args)
    return found[0] if found else None
