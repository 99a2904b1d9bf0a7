-- The durable queue. Times are INTEGER milliseconds since the epoch, because the claim compares them.

-- One durable row per job. Live rows are found through partial indexes, whose predicates must be written
-- out literally in every statement: a bound parameter would not use them.
CREATE TABLE queueJobs (
    id                TEXT PRIMARY KEY NOT NULL,
    type              TEXT NOT NULL,
    state             TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued','running','succeeded','failed','cancelled')),
    projectId         TEXT REFERENCES projects (id) ON DELETE SET NULL,
    payloadJson       TEXT NOT NULL DEFAULT '{}',
    priority          INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
    attempts          INTEGER NOT NULL DEFAULT 0,
    runAt             INTEGER NOT NULL,
    dedupeKey         TEXT,
    maxAttempts       INTEGER NOT NULL DEFAULT 3 CHECK (maxAttempts >= 1),
    ownerUserId       TEXT,
    subjectType       TEXT,
    subjectId         TEXT,
    label             TEXT,
    serialKey         TEXT,
    rateKey           TEXT,
    timeoutMs         INTEGER,
    expiresAt         INTEGER,
    batchId           TEXT,
    parentId          TEXT,
    scheduleId        TEXT,
    lockedBy          TEXT,
    lockedAt          INTEGER,
    lockExpiresAt     INTEGER,
    cancelRequestedAt INTEGER,
    cancelledAt       INTEGER,
    rerunJson         TEXT,
    crashes           INTEGER NOT NULL DEFAULT 0,
    snoozes           INTEGER NOT NULL DEFAULT 0,
    acknowledgedAt    INTEGER,
    progress          INTEGER CHECK (progress BETWEEN 0 AND 100),
    progressMessage   TEXT,
    checkpointJson    TEXT,
    resultJson        TEXT,
    lastError         TEXT,
    errorCode         TEXT,
    stackTrace        TEXT,
    healedAt          INTEGER,
    healReason        TEXT,
    createdAt         INTEGER NOT NULL,
    updatedAt         INTEGER NOT NULL,
    startedAt         INTEGER,
    finishedAt        INTEGER,
    behind            INTEGER NOT NULL DEFAULT 0 CHECK (behind IN (0, 1)),
    CHECK ((finishedAt IS NOT NULL) = (state IN ('succeeded','failed','cancelled'))),
    CHECK ((lockedBy IS NOT NULL) = (state = 'running'))
);
CREATE INDEX qj_ready ON queueJobs (type, priority DESC, runAt, id, serialKey) WHERE state = 'queued' AND behind = 0;
CREATE INDEX qj_due ON queueJobs (runAt, type) WHERE state = 'queued';
CREATE INDEX qj_running ON queueJobs (lockExpiresAt, lockedBy, type) WHERE state = 'running';
CREATE UNIQUE INDEX qj_serial ON queueJobs (serialKey) WHERE state = 'running' AND serialKey IS NOT NULL;
CREATE UNIQUE INDEX qj_dedupe ON queueJobs (dedupeKey) WHERE dedupeKey IS NOT NULL AND state IN ('queued','running');
CREATE INDEX qj_done ON queueJobs (state, finishedAt) WHERE finishedAt IS NOT NULL;
-- Who waits for one serial key, in the order in which they may go.
CREATE INDEX qj_waiting ON queueJobs (serialKey, type, priority, runAt, id) WHERE state = 'queued' AND serialKey IS NOT NULL;
CREATE INDEX qj_type ON queueJobs (type, id);
CREATE INDEX qj_owner ON queueJobs (ownerUserId, id) WHERE ownerUserId IS NOT NULL;
CREATE INDEX qj_project ON queueJobs (projectId, id) WHERE projectId IS NOT NULL;
CREATE INDEX qj_subject ON queueJobs (subjectType, subjectId, id) WHERE subjectId IS NOT NULL;
CREATE INDEX qj_batch ON queueJobs (batchId, state) WHERE batchId IS NOT NULL;
CREATE INDEX qj_parent ON queueJobs (parentId) WHERE parentId IS NOT NULL;

-- Of the queued jobs with one serial key, type and priority only the first can be next, whatever the time
-- is: the others stand behind it and out of qj_ready, so that a claim never walks them. Whoever joins or
-- leaves such a line puts its head right.
CREATE TRIGGER queueJobs_joins_line AFTER INSERT ON queueJobs
WHEN NEW.serialKey IS NOT NULL AND NEW.state = 'queued'
BEGIN
    UPDATE queueJobs SET behind = 1 WHERE behind = 0 AND rowid IN (
        SELECT rowid FROM queueJobs WHERE state = 'queued' AND serialKey = NEW.serialKey AND type = NEW.type
        AND priority = NEW.priority ORDER BY runAt, id LIMIT 1 OFFSET 1);
    UPDATE queueJobs SET behind = 1 WHERE rowid = NEW.rowid AND rowid <> (
        SELECT rowid FROM queueJobs WHERE state = 'queued' AND serialKey = NEW.serialKey AND type = NEW.type
        AND priority = NEW.priority ORDER BY runAt, id LIMIT 1);
END;
CREATE TRIGGER queueJobs_moves_in_line AFTER UPDATE OF state, priority, runAt ON queueJobs
WHEN NEW.serialKey IS NOT NULL AND 'queued' IN (OLD.state, NEW.state)
BEGIN
    UPDATE queueJobs SET behind = 0 WHERE behind = 1 AND rowid IN (
        SELECT rowid FROM queueJobs WHERE state = 'queued' AND serialKey = OLD.serialKey AND type = OLD.type
        AND priority = OLD.priority ORDER BY runAt, id LIMIT 1);
    UPDATE queueJobs SET behind = 1 WHERE behind = 0 AND rowid IN (
        SELECT rowid FROM queueJobs WHERE state = 'queued' AND serialKey = NEW.serialKey AND type = NEW.type
        AND priority = NEW.priority ORDER BY runAt, id LIMIT 1 OFFSET 1);
    UPDATE queueJobs SET behind = rowid <> (
        SELECT rowid FROM queueJobs WHERE state = 'queued' AND serialKey = NEW.serialKey AND type = NEW.type
        AND priority = NEW.priority ORDER BY runAt, id LIMIT 1)
    WHERE rowid = NEW.rowid AND state = 'queued';
END;
CREATE TRIGGER queueJobs_leaves_line AFTER DELETE ON queueJobs
WHEN OLD.state = 'queued' AND OLD.serialKey IS NOT NULL
BEGIN
    UPDATE queueJobs SET behind = 0 WHERE behind = 1 AND rowid IN (
        SELECT rowid FROM queueJobs WHERE state = 'queued' AND serialKey = OLD.serialKey AND type = OLD.type
        AND priority = OLD.priority ORDER BY runAt, id LIMIT 1);
END;

-- Log lines, and one 'queue' line for each attempt that did not succeed.
CREATE TABLE job_events (
    id                TEXT PRIMARY KEY NOT NULL,
    job_id            TEXT NOT NULL REFERENCES queueJobs (id) ON DELETE CASCADE,
    level             TEXT NOT NULL CHECK (level IN ('info','warn','error')),
    context           TEXT NOT NULL DEFAULT '',
    message           TEXT NOT NULL,
    metadata          TEXT,
    attempt           INTEGER NOT NULL DEFAULT 0,
    created_at        INTEGER NOT NULL
);
CREATE INDEX je_job ON job_events (job_id, id);
CREATE INDEX je_created ON job_events (created_at);

-- Recurring work: cron or everyMs, exactly one of them.
CREATE TABLE job_schedules (
    id                TEXT PRIMARY KEY NOT NULL,
    type              TEXT NOT NULL,
    payloadJson       TEXT NOT NULL DEFAULT '{}',
    cron              TEXT,
    everyMs           INTEGER CHECK (everyMs >= 60000),
    timezone          TEXT NOT NULL DEFAULT 'UTC',
    jitterMs          INTEGER NOT NULL DEFAULT 0,
    catchUp           TEXT NOT NULL DEFAULT 'one' CHECK (catchUp IN ('skip','one','all')),
    overlap           TEXT NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip','queue')),
    enabled           INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    source            TEXT NOT NULL DEFAULT 'code' CHECK (source IN ('code','user')),
    nextFireAt        INTEGER,
    lastFireAt        INTEGER,
    lastJobId         TEXT,
    updatedAt         INTEGER NOT NULL,
    CHECK ((cron IS NULL) <> (everyMs IS NULL))
);

-- One row per firing: the proof that no schedule fired twice.
CREATE TABLE job_fires (
    scheduleId        TEXT NOT NULL,
    fireAt            INTEGER NOT NULL,
    jobId             TEXT,
    outcome           TEXT NOT NULL CHECK (outcome IN ('enqueued','skipped_overlap','skipped_late','deduped','manual')),
    firedAt           INTEGER NOT NULL,
    PRIMARY KEY (scheduleId, fireAt)
) WITHOUT ROWID;

-- Unique per period; outlives the job it was made for.
CREATE TABLE queue_unique (
    key               TEXT PRIMARY KEY NOT NULL,
    jobId             TEXT NOT NULL,
    expiresAt         INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX qu_exp ON queue_unique (expiresAt);

-- Fan-out with counters and one callback.
CREATE TABLE queue_batches (
    id                TEXT PRIMARY KEY NOT NULL,
    label             TEXT,
    ownerUserId       TEXT,
    total             INTEGER NOT NULL DEFAULT 0,
    pending           INTEGER NOT NULL DEFAULT 0,
    succeeded         INTEGER NOT NULL DEFAULT 0,
    failed            INTEGER NOT NULL DEFAULT 0,
    cancelled         INTEGER NOT NULL DEFAULT 0,
    sealedAt          INTEGER,
    onFinishJson      TEXT,
    callbackJobId     TEXT,
    createdAt         INTEGER NOT NULL,
    finishedAt        INTEGER
);

-- One token bucket per outside service (GCRA).
CREATE TABLE queue_rates (
    key               TEXT PRIMARY KEY NOT NULL,
    limitCount        INTEGER NOT NULL,
    periodMs          INTEGER NOT NULL,
    burst             INTEGER NOT NULL DEFAULT 1,
    tat               INTEGER NOT NULL DEFAULT 0,
    blockedUntil      INTEGER NOT NULL DEFAULT 0,
    source            TEXT NOT NULL DEFAULT 'code' CHECK (source IN ('code','user')),
    updatedAt         INTEGER NOT NULL
) WITHOUT ROWID;

-- What an admin changed about a type; NULL = as registered.
CREATE TABLE queue_types (
    type              TEXT PRIMARY KEY NOT NULL,
    paused            INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    concurrency       INTEGER,
    maxAttempts       INTEGER,
    timeoutMs         INTEGER,
    updatedAt         INTEGER NOT NULL
) WITHOUT ROWID;

-- One row per living process.
CREATE TABLE queue_workers (
    id                TEXT PRIMARY KEY NOT NULL,
    pid               INTEGER NOT NULL,
    host              TEXT NOT NULL,
    version           TEXT,
    bootId            TEXT,
    startedAt         INTEGER NOT NULL,
    heartbeatAt       INTEGER NOT NULL,
    drainingAt        INTEGER
) WITHOUT ROWID;

-- Counts and sums per minute and type, so that charts never scan jobs.
CREATE TABLE queue_stats (
    minute            INTEGER NOT NULL,
    type              TEXT NOT NULL,
    enqueued          INTEGER NOT NULL DEFAULT 0,
    succeeded         INTEGER NOT NULL DEFAULT 0,
    failed            INTEGER NOT NULL DEFAULT 0,
    cancelled         INTEGER NOT NULL DEFAULT 0,
    retried           INTEGER NOT NULL DEFAULT 0,
    rescued           INTEGER NOT NULL DEFAULT 0,
    waitMs            INTEGER NOT NULL DEFAULT 0,
    runMs             INTEGER NOT NULL DEFAULT 0,
    hist              TEXT,
    PRIMARY KEY (minute, type)
) WITHOUT ROWID;

-- How long the oldest job that could start had been waiting, at worst in each minute with any.
CREATE TABLE queue_backlog (
    minute            INTEGER PRIMARY KEY NOT NULL,
    ageMs             INTEGER NOT NULL
);


-- The single row.
CREATE TABLE queueSettings (
    id                INTEGER PRIMARY KEY CHECK (id = 1),
    paused            INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    concurrency       INTEGER NOT NULL DEFAULT 2 CHECK (concurrency BETWEEN 1 AND 64),
    ioConcurrency     INTEGER NOT NULL DEFAULT 20 CHECK (ioConcurrency BETWEEN 1 AND 256),
    longConcurrency   INTEGER NOT NULL DEFAULT 4 CHECK (longConcurrency BETWEEN 1 AND 64),
    pausedAt          INTEGER,
    pausedReason      TEXT,
    keepSucceededMs   INTEGER NOT NULL DEFAULT 604800000,
    keepFailedMs      INTEGER NOT NULL DEFAULT 2592000000,
    keepCancelledMs   INTEGER NOT NULL DEFAULT 604800000,
    keepEventsPerJob  INTEGER NOT NULL DEFAULT 1000,
    drainTimeoutMs    INTEGER NOT NULL DEFAULT 25000,
    updatedAt         INTEGER NOT NULL,
    updatedBy         TEXT
);
INSERT INTO queueSettings (id, updatedAt) VALUES (1, 0);

-- The rows under the names and words of the former job table: read-only.
CREATE VIEW jobs AS SELECT
  id, NULL AS bull_job_id,
  CASE WHEN subjectType = 'audiobook_request' THEN subjectId END AS request_id,
  CASE WHEN type LIKE 'audiobooks.%' THEN substr(type, 12) ELSE type END AS type,
  CASE state WHEN 'queued' THEN CASE WHEN runAt > now.ms THEN 'delayed' ELSE 'pending' END
             WHEN 'running' THEN CASE WHEN lockExpiresAt < now.ms THEN 'stuck' ELSE 'active' END
             WHEN 'succeeded' THEN 'completed' ELSE 'failed' END AS status,
  priority, attempts, maxAttempts AS max_attempts, payloadJson AS payload, resultJson AS result,
  CASE state WHEN 'cancelled' THEN coalesce(lastError, 'cancelled') ELSE lastError END AS error_message, stackTrace AS stack_trace,
  strftime('%Y-%m-%dT%H:%M:%fZ', startedAt / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', finishedAt / 1000.0, 'unixepoch') AS completed_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', createdAt / 1000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', updatedAt / 1000.0, 'unixepoch') AS updated_at
FROM queueJobs, (SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS ms) AS now;
