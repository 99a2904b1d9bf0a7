"""The durable queue: its jobs and what steers them. Times are INTEGER milliseconds since the epoch.

`job_fires` and `queue_stats` have keys of two columns, which Piccolo cannot say: they are read and
written as SQL alone.
"""

from enum import StrEnum

from piccolo.columns import Integer, Text
from piccolo.table import Table

from db.engine import DB
from db.keys import uuid7


class State(StrEnum):
    """The five states of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class EventLevel(StrEnum):
    """How much a log line matters."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class CatchUp(StrEnum):
    """What becomes of firings that were missed."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a firing while the last run still goes on."""

    SKIP = "skip"
    QUEUE = "queue"


class Source(StrEnum):
    """Where a schedule comes from."""

    CODE = "code"
    USER = "user"


class FireOutcome(StrEnum):
    """What became of one firing."""

    ENQUEUED = "enqueued"
    SKIPPED_OVERLAP = "skipped_overlap"
    SKIPPED_LATE = "skipped_late"
    DEDUPED = "deduped"
    MANUAL = "manual"


class QueueJob(Table, tablename="queueJobs", db=DB):
    """One durable job. Times are milliseconds; what is shown beside `state` is derived."""

    id = Text(primary_key=True, default=uuid7)
    type = Text()
    state = Text(default=State.QUEUED, choices=State)
    project_id = Text(null=True, default=None, db_column_name="projectId")
    payload_json = Text(default="{}", db_column_name="payloadJson")
    priority = Integer()
    attempts = Integer(help_text="raised by the claim, so that a crash counts")
    run_at = Integer(db_column_name="runAt")
    dedupe_key = Text(
        null=True,
        default=None,
        help_text="unique while queued or running",
        db_column_name="dedupeKey",
    )
    max_attempts = Integer(default=3, db_column_name="maxAttempts")
    owner_user_id = Text(null=True, default=None, db_column_name="ownerUserId")
    subject_type = Text(null=True, default=None, db_column_name="subjectType")
    subject_id = Text(null=True, default=None, db_column_name="subjectId")
    label = Text(null=True, default=None)
    serial_key = Text(
        null=True,
        default=None,
        help_text="at most one running job per key",
        db_column_name="serialKey",
    )
    rate_key = Text(null=True, default=None, db_column_name="rateKey")
    timeout_ms = Integer(
        null=True, default=None, help_text="NULL = the type's, 0 = none", db_column_name="timeoutMs"
    )
    expires_at = Integer(null=True, default=None, db_column_name="expiresAt")
    batch_id = Text(null=True, default=None, db_column_name="batchId")
    parent_id = Text(null=True, default=None, db_column_name="parentId")
    schedule_id = Text(null=True, default=None, db_column_name="scheduleId")
    locked_by = Text(null=True, default=None, db_column_name="lockedBy")
    locked_at = Integer(null=True, default=None, db_column_name="lockedAt")
    lock_expires_at = Integer(null=True, default=None, db_column_name="lockExpiresAt")
    cancel_requested_at = Integer(null=True, default=None, db_column_name="cancelRequestedAt")
    cancelled_at = Integer(null=True, default=None, db_column_name="cancelledAt")
    rerun_json = Text(null=True, default=None, db_column_name="rerunJson")
    crashes = Integer()
    snoozes = Integer()
    acknowledged_at = Integer(null=True, default=None, db_column_name="acknowledgedAt")
    progress = Integer(null=True, default=None)
    progress_message = Text(null=True, default=None, db_column_name="progressMessage")
    checkpoint_json = Text(null=True, default=None, db_column_name="checkpointJson")
    result_json = Text(null=True, default=None, db_column_name="resultJson")
    last_error = Text(null=True, default=None, db_column_name="lastError")
    error_code = Text(null=True, default=None, db_column_name="errorCode")
    stack_trace = Text(null=True, default=None, db_column_name="stackTrace")
    healed_at = Integer(null=True, default=None, db_column_name="healedAt")
    heal_reason = Text(null=True, default=None, db_column_name="healReason")
    created_at = Integer(db_column_name="createdAt")
    updated_at = Integer(db_column_name="updatedAt")
    started_at = Integer(null=True, default=None, db_column_name="startedAt")
    finished_at = Integer(null=True, default=None, db_column_name="finishedAt")
    behind = Integer(help_text="1: another of its serial key, type and priority goes first")


class JobEvent(Table, tablename="job_events", db=DB):
    """A log line of a job; context `queue` is the engine itself."""

    id = Text(primary_key=True, default=uuid7)
    job_id = Text()
    level = Text(choices=EventLevel)
    context = Text(default="")
    message = Text()
    metadata = Text(null=True, default=None)
    attempt = Integer()
    created_at = Integer()


class JobSchedule(Table, tablename="job_schedules", db=DB):
    """Recurring work: cron or every_ms, exactly one."""

    id = Text(primary_key=True)
    type = Text()
    payload_json = Text(default="{}", db_column_name="payloadJson")
    cron = Text(null=True, default=None)
    every_ms = Integer(null=True, default=None, db_column_name="everyMs")
    timezone = Text(default="UTC")
    jitter_ms = Integer(db_column_name="jitterMs")
    catch_up = Text(default=CatchUp.ONE, choices=CatchUp, db_column_name="catchUp")
    overlap = Text(default=Overlap.SKIP, choices=Overlap)
    enabled = Integer(default=1)
    source = Text(default=Source.CODE, choices=Source)
    next_fire_at = Integer(null=True, default=None, db_column_name="nextFireAt")
    last_fire_at = Integer(null=True, default=None, db_column_name="lastFireAt")
    last_job_id = Text(null=True, default=None, db_column_name="lastJobId")
    updated_at = Integer(db_column_name="updatedAt")


class QueueBatch(Table, tablename="queue_batches", db=DB):
    """A fan-out with its counters."""

    id = Text(primary_key=True, default=uuid7)
    label = Text(null=True, default=None)
    owner_user_id = Text(null=True, default=None, db_column_name="ownerUserId")
    total = Integer()
    pending = Integer()
    succeeded = Integer()
    failed = Integer()
    cancelled = Integer()
    sealed_at = Integer(null=True, default=None, db_column_name="sealedAt")
    on_finish_json = Text(null=True, default=None, db_column_name="onFinishJson")
    callback_job_id = Text(null=True, default=None, db_column_name="callbackJobId")
    created_at = Integer(db_column_name="createdAt")
    finished_at = Integer(null=True, default=None, db_column_name="finishedAt")


class QueueUnique(Table, tablename="queue_unique", db=DB):
    """A key that may be used once per period."""

    key = Text(primary_key=True)
    job_id = Text(db_column_name="jobId")
    expires_at = Integer(db_column_name="expiresAt")


class QueueRate(Table, tablename="queue_rates", db=DB):
    """The token bucket of one outside service."""

    key = Text(primary_key=True)
    limit_count = Integer(db_column_name="limitCount")
    period_ms = Integer(db_column_name="periodMs")
    burst = Integer(default=1)
    tat = Integer()
    blocked_until = Integer(db_column_name="blockedUntil")
    source = Text(default=Source.CODE, choices=Source)
    updated_at = Integer(db_column_name="updatedAt")


class QueueType(Table, tablename="queue_types", db=DB):
    """What an admin changed about a type; NULL = as registered."""

    type = Text(primary_key=True)
    paused = Integer()
    concurrency = Integer(null=True, default=None)
    max_attempts = Integer(null=True, default=None, db_column_name="maxAttempts")
    timeout_ms = Integer(null=True, default=None, db_column_name="timeoutMs")
    updated_at = Integer(db_column_name="updatedAt")


class QueueWorker(Table, tablename="queue_workers", db=DB):
    """A living process."""

    id = Text(primary_key=True)
    pid = Integer()
    host = Text()
    version = Text(null=True, default=None)
    boot_id = Text(null=True, default=None, db_column_name="bootId")
    started_at = Integer(db_column_name="startedAt")
    heartbeat_at = Integer(db_column_name="heartbeatAt")
    draining_at = Integer(null=True, default=None, db_column_name="drainingAt")


class QueueBacklog(Table, tablename="queue_backlog", db=DB):
    """How old the oldest job that could start was, at worst in a minute; no row: none waited."""

    minute = Integer(primary_key=True)
    age_ms = Integer(db_column_name="ageMs")


class QueueSettings(Table, tablename="queueSettings", db=DB):
    """The single row."""

    id = Integer(primary_key=True)
    paused = Integer()
    concurrency = Integer(default=2)
    io_concurrency = Integer(default=20, db_column_name="ioConcurrency")
    long_concurrency = Integer(default=4, db_column_name="longConcurrency")
    paused_at = Integer(null=True, default=None, db_column_name="pausedAt")
    paused_reason = Text(null=True, default=None, db_column_name="pausedReason")
    keep_succeeded_ms = Integer(default=604800000, db_column_name="keepSucceededMs")
    keep_failed_ms = Integer(default=2592000000, db_column_name="keepFailedMs")
    keep_cancelled_ms = Integer(default=604800000, db_column_name="keepCancelledMs")
    keep_events_per_job = Integer(default=1000, db_column_name="keepEventsPerJob")
    drain_timeout_ms = Integer(default=25000, db_column_name="drainTimeoutMs")
    updated_at = Integer(db_column_name="updatedAt")
    updated_by = Text(null=True, default=None, db_column_name="updatedBy")


TABLES: list[type[Table]] = [
    QueueJob,
    JobEvent,
    JobSchedule,
    QueueBatch,
    QueueUnique,
    QueueRate,
    QueueType,
    QueueWorker,
    QueueBacklog,
    QueueSettings,
]
