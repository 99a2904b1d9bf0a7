-- Projects: built by an agent, previewed and put into production. Columns are camelCase, as the seed's are.

-- One web project with its preview and production state.
CREATE TABLE projects (
    id                     TEXT PRIMARY KEY NOT NULL,
    -- RESTRICT: a job removes files and processes first, then the row
    ownerUserId            TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    name                   TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    slug                   TEXT NOT NULL UNIQUE CHECK (
        length(slug) BETWEEN 1 AND 50 AND slug NOT GLOB '*[^a-z0-9-]*'
        AND slug NOT GLOB '-*' AND slug NOT GLOB '*-'),
    prompt                 TEXT NOT NULL CHECK (length(prompt) BETWEEN 1 AND 20000),
    model                  TEXT,
    devPort                INTEGER NOT NULL UNIQUE CHECK (devPort BETWEEN 1 AND 65535),
    opencodePort           INTEGER NOT NULL UNIQUE CHECK (opencodePort BETWEEN 1 AND 65535),
    status                 TEXT NOT NULL DEFAULT 'created' CHECK (status IN (
        'created', 'starting', 'running', 'stopping', 'stopped', 'error', 'deleting')),
    pathOnDisk             TEXT NOT NULL CHECK (pathOnDisk NOT GLOB '/*' AND pathOnDisk NOT GLOB '*..*'),
    deletedAt              TEXT CHECK (deletedAt GLOB '????-??-??T??:??:??.???Z'),
    currentModelProviderID TEXT,
    currentModelID         TEXT,
    productionPort         INTEGER UNIQUE CHECK (productionPort BETWEEN 1 AND 65535),
    productionUrl          TEXT,
    productionStatus       TEXT NOT NULL DEFAULT 'stopped'
        CHECK (productionStatus IN ('stopped', 'queued', 'building', 'running', 'failed')),
    productionStartedAt    TEXT CHECK (productionStartedAt GLOB '????-??-??T??:??:??.???Z'),
    productionError        TEXT CHECK (length(productionError) <= 2000),
    createdAt              TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    updatedAt              TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updatedAt GLOB '????-??-??T??:??:??.???Z'),
    statusError            TEXT,
    statusChangedAt        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (statusChangedAt GLOB '????-??-??T??:??:??.???Z'),
    bootstrapSessionId     TEXT,
    initialPromptSent      INTEGER NOT NULL DEFAULT 0 CHECK (initialPromptSent IN (0, 1)),
    userPromptMessageId    TEXT,
    userPromptCompleted    INTEGER NOT NULL DEFAULT 0 CHECK (userPromptCompleted IN (0, 1)),
    productionHash         TEXT,
    template               TEXT NOT NULL DEFAULT 'vite-static',
    desiredState           TEXT NOT NULL DEFAULT 'stopped' CHECK (desiredState IN ('running', 'stopped')),
    budgetUsdMonth         REAL CHECK (budgetUsdMonth >= 0),
    lastViewedAt           TEXT CHECK (lastViewedAt GLOB '????-??-??T??:??:??.???Z'),
    spaFallback            INTEGER NOT NULL DEFAULT 0 CHECK (spaFallback IN (0, 1))
);
CREATE INDEX projects_owner ON projects (ownerUserId, deletedAt, updatedAt DESC);
CREATE INDEX projects_status ON projects (status);
CREATE TRIGGER projects_touch AFTER UPDATE ON projects WHEN NEW.updatedAt = OLD.updatedAt
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;
CREATE TRIGGER projects_prompt BEFORE UPDATE OF prompt ON projects WHEN NEW.prompt <> OLD.prompt
BEGIN
    SELECT RAISE(ABORT, 'the prompt of a project cannot be changed');
END;

-- A port belongs to one project and kind; taking one is an insert, so two can never hold the same.
CREATE TABLE projectPorts (
    port      INTEGER PRIMARY KEY CHECK (port BETWEEN 1 AND 65535),
    projectId TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    kind      TEXT NOT NULL CHECK (kind IN ('dev', 'opencode', 'production')),
    UNIQUE (projectId, kind)
);

-- startTicks and bootId tell our process from a stranger that got its number.
CREATE TABLE projectProcesses (
    id           TEXT PRIMARY KEY NOT NULL,
    projectId    TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL CHECK (kind IN ('preview', 'agent', 'production', 'task')),
    runtime      TEXT NOT NULL,
    pid          INTEGER,
    pgid         INTEGER,
    startTicks   INTEGER,
    bootId       TEXT,
    internalPort INTEGER CHECK (internalPort BETWEEN 1 AND 65535),
    startedAt    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (startedAt GLOB '????-??-??T??:??:??.???Z'),
    exitCode     INTEGER,
    exitedAt     TEXT CHECK (exitedAt GLOB '????-??-??T??:??:??.???Z'),
    reason       TEXT
);
CREATE INDEX projectProcesses_project ON projectProcesses (projectId, kind);
CREATE INDEX projectProcesses_alive ON projectProcesses (projectId) WHERE exitedAt IS NULL;

-- ownerUserId is the project's: a change of a chat then names who may hear of it.
CREATE TABLE projectSessions (
    id          TEXT PRIMARY KEY NOT NULL,
    projectId   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    ownerUserId TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    title       TEXT,
    status      TEXT NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'busy', 'retry', 'interrupted')),
    createdAt   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    updatedAt   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updatedAt GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX projectSessions_project ON projectSessions (projectId, updatedAt DESC);
CREATE INDEX projectSessions_owner ON projectSessions (ownerUserId);
CREATE TRIGGER projectSessions_touch AFTER UPDATE ON projectSessions WHEN NEW.updatedAt = OLD.updatedAt
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Chat history, with cost and the commits of each turn.
CREATE TABLE projectMessages (
    id           TEXT PRIMARY KEY NOT NULL,
    sessionId    TEXT NOT NULL REFERENCES projectSessions (id) ON DELETE CASCADE,
    projectId    TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role         TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    createdAt    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    completedAt  TEXT CHECK (completedAt GLOB '????-??-??T??:??:??.???Z'),
    modelID      TEXT,
    providerID   TEXT,
    costUsd      REAL NOT NULL DEFAULT 0 CHECK (costUsd >= 0),
    tokensIn     INTEGER NOT NULL DEFAULT 0 CHECK (tokensIn >= 0),
    tokensOut    INTEGER NOT NULL DEFAULT 0 CHECK (tokensOut >= 0),
    errorName    TEXT,
    errorMessage TEXT,
    commitBefore TEXT,
    commitAfter  TEXT
);
CREATE INDEX projectMessages_session ON projectMessages (sessionId, createdAt, id);
CREATE INDEX projectMessages_project ON projectMessages (projectId);

-- The parts of a message as the agent wrote them, at most 64 KiB each.
CREATE TABLE projectParts (
    id        TEXT PRIMARY KEY NOT NULL,
    messageId TEXT NOT NULL REFERENCES projectMessages (id) ON DELETE CASCADE,
    ordinal   INTEGER NOT NULL,
    type      TEXT NOT NULL,
    json      TEXT NOT NULL CHECK (json_valid(json) AND length(CAST(json AS BLOB)) <= 65536)
);
CREATE INDEX projectParts_message ON projectParts (messageId, ordinal);

-- Prompts typed while the agent is busy: they can still be changed, and survive a restart.
CREATE TABLE projectPrompts (
    id              TEXT PRIMARY KEY NOT NULL,
    projectId       TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    sessionId       TEXT REFERENCES projectSessions (id) ON DELETE CASCADE,
    text            TEXT NOT NULL,
    attachmentsJson TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(attachmentsJson)),
    state           TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'cancelled')),
    createdAt       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    createdBy       TEXT REFERENCES users (id) ON DELETE SET NULL,
    sentAt          TEXT CHECK (sentAt GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX projectPrompts_project ON projectPrompts (projectId, state, createdAt);
CREATE INDEX projectPrompts_session ON projectPrompts (sessionId) WHERE sessionId IS NOT NULL;
CREATE INDEX projectPrompts_creator ON projectPrompts (createdBy) WHERE createdBy IS NOT NULL;

-- What the agent asked and waits for.
CREATE TABLE projectAsks (
    id         TEXT PRIMARY KEY NOT NULL,
    projectId  TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    sessionId  TEXT NOT NULL REFERENCES projectSessions (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('permission', 'question')),
    json       TEXT NOT NULL CHECK (json_valid(json)),
    state      TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'answered', 'rejected', 'expired')),
    createdAt  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    answeredAt TEXT CHECK (answeredAt GLOB '????-??-??T??:??:??.???Z'),
    answeredBy TEXT REFERENCES users (id) ON DELETE SET NULL
);
CREATE INDEX projectAsks_project ON projectAsks (projectId, state);
CREATE INDEX projectAsks_session ON projectAsks (sessionId, state);
CREATE INDEX projectAsks_answerer ON projectAsks (answeredBy) WHERE answeredBy IS NOT NULL;

-- Every attempt to put a version into production; at most one is live.
CREATE TABLE deployments (
    id        TEXT PRIMARY KEY NOT NULL,
    projectId TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    hash      TEXT,
    state     TEXT NOT NULL DEFAULT 'queued' CHECK (state IN (
        'queued', 'building', 'checking', 'live', 'superseded', 'failed', 'cancelled')),
    commitSha TEXT,
    kind      TEXT CHECK (kind IN ('static', 'node')),
    sizeBytes INTEGER CHECK (sizeBytes >= 0),
    fileCount INTEGER CHECK (fileCount >= 0),
    buildMs   INTEGER CHECK (buildMs >= 0),
    error     TEXT,
    logPath   TEXT,
    createdAt TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    liveAt    TEXT CHECK (liveAt GLOB '????-??-??T??:??:??.???Z'),
    createdBy TEXT REFERENCES users (id) ON DELETE SET NULL
);
CREATE INDEX deployments_project ON deployments (projectId, createdAt DESC);
CREATE UNIQUE INDEX deployments_live ON deployments (projectId) WHERE state = 'live';
CREATE INDEX deployments_creator ON deployments (createdBy) WHERE createdBy IS NOT NULL;

-- Environment of build and production, values sealed by the vault.
CREATE TABLE projectEnv (
    projectId TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name      TEXT NOT NULL CHECK (name GLOB '[A-Za-z_]*' AND name NOT GLOB '*[^A-Za-z0-9_]*'),
    value     TEXT NOT NULL,
    updatedAt TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updatedAt GLOB '????-??-??T??:??:??.???Z'),
    PRIMARY KEY (projectId, name)
) WITHOUT ROWID;

-- Good versions to come back to.
CREATE TABLE projectBookmarks (
    id        TEXT PRIMARY KEY NOT NULL,
    projectId TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    commitSha TEXT NOT NULL,
    label     TEXT NOT NULL DEFAULT '',
    createdAt TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    UNIQUE (projectId, commitSha)
);

-- Requests, tokens and cost per day and model.
CREATE TABLE projectUsage (
    projectId TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    day       TEXT NOT NULL CHECK (day GLOB '????-??-??'),
    modelID   TEXT NOT NULL,
    requests  INTEGER NOT NULL DEFAULT 0 CHECK (requests >= 0),
    tokensIn  INTEGER NOT NULL DEFAULT 0 CHECK (tokensIn >= 0),
    tokensOut INTEGER NOT NULL DEFAULT 0 CHECK (tokensOut >= 0),
    costUsd   REAL NOT NULL DEFAULT 0 CHECK (costUsd >= 0),
    PRIMARY KEY (projectId, day, modelID)
) WITHOUT ROWID;

-- Uploaded files.
CREATE TABLE projectAssets (
    projectId TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    path      TEXT NOT NULL CHECK (path NOT GLOB '/*'),
    size      INTEGER NOT NULL CHECK (size >= 0),
    mime      TEXT NOT NULL,
    sha256    TEXT NOT NULL CHECK (length(sha256) = 64),
    createdAt TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    PRIMARY KEY (projectId, path)
) WITHOUT ROWID;
CREATE INDEX projectAssets_same ON projectAssets (projectId, sha256);

-- The list of models, kept for a day.
CREATE TABLE modelCatalog (
    id        TEXT PRIMARY KEY NOT NULL,
    json      TEXT NOT NULL CHECK (json_valid(json)),
    fetchedAt TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (fetchedAt GLOB '????-??-??T??:??:??.???Z')
);

-- Rows without an owner wake the row that has one: pages learn of a change by that row's name.
CREATE TRIGGER projectMessages_insert_wakes AFTER INSERT ON projectMessages
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.sessionId;
END;
CREATE TRIGGER projectMessages_update_wakes AFTER UPDATE ON projectMessages
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.sessionId;
END;
CREATE TRIGGER projectMessages_delete_wakes AFTER DELETE ON projectMessages
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = OLD.sessionId;
END;
CREATE TRIGGER projectPrompts_insert_wakes AFTER INSERT ON projectPrompts
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.sessionId;
END;
CREATE TRIGGER projectPrompts_update_wakes AFTER UPDATE ON projectPrompts
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.sessionId;
END;
CREATE TRIGGER projectPrompts_delete_wakes AFTER DELETE ON projectPrompts
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = OLD.sessionId;
END;
CREATE TRIGGER projectAsks_insert_wakes AFTER INSERT ON projectAsks
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.sessionId;
END;
CREATE TRIGGER projectAsks_update_wakes AFTER UPDATE ON projectAsks
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.sessionId;
END;
CREATE TRIGGER projectAsks_delete_wakes AFTER DELETE ON projectAsks
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = OLD.sessionId;
END;
CREATE TRIGGER projectParts_insert_wakes AFTER INSERT ON projectParts
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    WHERE id = (SELECT sessionId FROM projectMessages WHERE id = NEW.messageId);
END;
CREATE TRIGGER projectParts_update_wakes AFTER UPDATE ON projectParts
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    WHERE id = (SELECT sessionId FROM projectMessages WHERE id = NEW.messageId);
END;
CREATE TRIGGER projectParts_delete_wakes AFTER DELETE ON projectParts
BEGIN
    UPDATE projectSessions SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    WHERE id = (SELECT sessionId FROM projectMessages WHERE id = OLD.messageId);
END;
CREATE TRIGGER deployments_insert_wakes AFTER INSERT ON deployments
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.projectId;
END;
CREATE TRIGGER deployments_update_wakes AFTER UPDATE ON deployments
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.projectId;
END;
CREATE TRIGGER deployments_delete_wakes AFTER DELETE ON deployments
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = OLD.projectId;
END;
CREATE TRIGGER projectAssets_insert_wakes AFTER INSERT ON projectAssets
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.projectId;
END;
CREATE TRIGGER projectAssets_update_wakes AFTER UPDATE ON projectAssets
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.projectId;
END;
CREATE TRIGGER projectAssets_delete_wakes AFTER DELETE ON projectAssets
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = OLD.projectId;
END;
CREATE TRIGGER projectUsage_insert_wakes AFTER INSERT ON projectUsage
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.projectId;
END;
CREATE TRIGGER projectUsage_update_wakes AFTER UPDATE ON projectUsage
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.projectId;
END;
CREATE TRIGGER projectUsage_delete_wakes AFTER DELETE ON projectUsage
BEGIN
    UPDATE projects SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = OLD.projectId;
END;
