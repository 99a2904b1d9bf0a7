-- Semester tickets: portal logins, browser profiles, ticket versions, every attempt, the base ticket.

-- The portal login of one person, its password sealed by the vault, and how its last use went.
CREATE TABLE user_credentials (
    user_id               TEXT PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    uk_number             TEXT NOT NULL CHECK (length(uk_number) BETWEEN 2 AND 64),
    uk_password_encrypted TEXT NOT NULL,
    -- about the login alone; how the ticket fared stands in ticket_download_history
    last_login_status     TEXT CHECK (last_login_status IN (
        'ok', 'wrong_password', 'locked', 'password_expired', 'mfa_required', 'consent_required',
        'terms_required', 'captcha', 'unreachable')),
    last_login_error      TEXT,
    last_login_at         TEXT CHECK (last_login_at GLOB '????-??-??T??:??:??.???Z'),
    created_at            TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at            TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    last_attempt_at       TEXT CHECK (last_attempt_at GLOB '????-??-??T??:??:??.???Z'),
    failure_streak        INTEGER NOT NULL DEFAULT 0 CHECK (failure_streak >= 0),
    blocked_at            TEXT CHECK (blocked_at GLOB '????-??-??T??:??:??.???Z'),
    block_reason          TEXT,
    posts_since_ok        INTEGER NOT NULL DEFAULT 0 CHECK (posts_since_ok >= 0),
    posts_window_start    TEXT CHECK (posts_window_start GLOB '????-??-??T??:??:??.???Z'),
    revision              INTEGER NOT NULL DEFAULT 1 CHECK (revision >= 1)
);
CREATE TRIGGER user_credentials_touch AFTER UPDATE ON user_credentials WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE user_credentials SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE user_id = NEW.user_id;
END;

-- Browser profiles people made for themselves.
CREATE TABLE device_profiles (
    id                    TEXT PRIMARY KEY NOT NULL,
    user_id               TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name                  TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    user_agent            TEXT NOT NULL CHECK (length(user_agent) BETWEEN 1 AND 512 AND user_agent NOT GLOB '*[^ -~]*'),
    viewport_width        INTEGER NOT NULL CHECK (viewport_width BETWEEN 1 AND 10000),
    viewport_height       INTEGER NOT NULL CHECK (viewport_height BETWEEN 1 AND 10000),
    locale                TEXT NOT NULL DEFAULT 'de-DE' CHECK (locale GLOB '[A-Za-z][A-Za-z]*' AND locale NOT GLOB '*[^A-Za-z0-9-]*'),
    timezone              TEXT NOT NULL DEFAULT 'Europe/Berlin' CHECK (length(timezone) > 0),
    -- a login for the proxy is a secret and stands in proxy_auth_encrypted
    proxy_url             TEXT CHECK (proxy_url GLOB '*?://?*:[0-9]*' AND proxy_url NOT LIKE '%@%'),
    geolocation_latitude  REAL CHECK (geolocation_latitude BETWEEN -90 AND 90),
    geolocation_longitude REAL CHECK (geolocation_longitude BETWEEN -180 AND 180),
    created_at            TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at            TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    proxy_auth_encrypted  TEXT,
    is_mobile             INTEGER NOT NULL DEFAULT 0 CHECK (is_mobile IN (0, 1)),
    has_touch             INTEGER NOT NULL DEFAULT 0 CHECK (has_touch IN (0, 1)),
    device_scale_factor   REAL NOT NULL DEFAULT 1 CHECK (device_scale_factor BETWEEN 0.5 AND 4),
    UNIQUE (user_id, name),
    CHECK ((geolocation_latitude IS NULL) = (geolocation_longitude IS NULL))
);
CREATE TRIGGER device_profiles_touch AFTER UPDATE ON device_profiles WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE device_profiles SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;
CREATE TRIGGER device_profiles_unused AFTER DELETE ON device_profiles
BEGIN
    UPDATE users SET device_profile = NULL WHERE id = OLD.user_id AND device_profile = OLD.id;
END;

-- One row per version of a ticket; file_path is relative to the data folder.
CREATE TABLE tickets (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id           TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    ticket_version    TEXT NOT NULL,
    content_hash      TEXT NOT NULL CHECK (length(content_hash) = 64),
    file_path         TEXT NOT NULL CHECK (file_path NOT GLOB '/*'),
    status            TEXT NOT NULL CHECK (status IN ('success', 'error')),
    error_message     TEXT,
    validation_status TEXT CHECK (validation_status IN ('valid', 'partial', 'rejected')),
    downloaded_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (downloaded_at GLOB '????-??-??T??:??:??.???Z'),
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    valid_from        TEXT CHECK (valid_from GLOB '????-??-??'),
    valid_to          TEXT CHECK (valid_to GLOB '????-??-??'),
    holder_name       TEXT,
    ticket_number     TEXT,
    product           TEXT,
    validation_json   TEXT CHECK (json_valid(validation_json)),
    barcode_format    TEXT,
    barcode_hash      TEXT,
    driver            TEXT,
    size_bytes        INTEGER CHECK (size_bytes >= 0),
    has_pdf           INTEGER NOT NULL DEFAULT 0 CHECK (has_pdf IN (0, 1)),
    UNIQUE (user_id, ticket_version)
);
CREATE INDEX tickets_newest ON tickets (user_id, downloaded_at DESC);
CREATE INDEX tickets_valid ON tickets (user_id, valid_to DESC);
CREATE INDEX tickets_barcode ON tickets (barcode_hash);

-- Every attempt, append-only. job_id is no foreign key: jobs are pruned earlier than their history.
CREATE TABLE ticket_download_history (
    id             INTEGER PRIMARY KEY,
    user_id        TEXT REFERENCES users (id) ON DELETE SET NULL,
    device_profile TEXT,
    ticket_version TEXT,
    status         TEXT NOT NULL CHECK (status IN ('success', 'duplicate', 'error', 'skipped')),
    message        TEXT,
    error_message  TEXT,
    file_path      TEXT,
    downloaded_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (downloaded_at GLOB '????-??-??T??:??:??.???Z'),
    outcome        TEXT,
    job_id         TEXT,
    ticket_id      INTEGER REFERENCES tickets (id) ON DELETE SET NULL,
    driver         TEXT,
    "trigger"      TEXT CHECK ("trigger" IN ('manual', 'auto', 'base', 'admin', 'verify', 'import')),
    duration_ms    INTEGER CHECK (duration_ms >= 0),
    steps_json     TEXT CHECK (json_valid(steps_json))
);
CREATE INDEX ticket_history_user ON ticket_download_history (user_id, downloaded_at DESC, id DESC);
CREATE INDEX ticket_history_newest ON ticket_download_history (downloaded_at DESC, id DESC);
CREATE INDEX ticket_history_status ON ticket_download_history (status, downloaded_at DESC);
CREATE INDEX ticket_history_ticket ON ticket_download_history (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE TRIGGER ticket_history_no_update BEFORE UPDATE OF
    id, device_profile, ticket_version, status, message, error_message, file_path, downloaded_at,
    outcome, job_id, driver, "trigger", duration_ms, steps_json ON ticket_download_history
BEGIN
    SELECT RAISE(ABORT, 'ticket_download_history is append-only');
END;
CREATE TRIGGER ticket_history_links BEFORE UPDATE OF user_id, ticket_id ON ticket_download_history
WHEN (NEW.user_id IS NOT NULL AND NEW.user_id IS NOT OLD.user_id)
  OR (NEW.ticket_id IS NOT NULL AND NEW.ticket_id IS NOT OLD.ticket_id)
BEGIN
    SELECT RAISE(ABORT, 'ticket_download_history is append-only');
END;
CREATE TRIGGER ticket_history_no_delete BEFORE DELETE ON ticket_download_history
WHEN OLD.downloaded_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')
BEGIN
    SELECT RAISE(ABORT, 'ticket_download_history keeps 30 days');
END;

-- The single row: which base ticket the portal showed last.
CREATE TABLE base_ticket_state (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    base_ticket_hash TEXT,
    effective_from   TEXT CHECK (effective_from GLOB '????-??-??T??:??:??.???Z'),
    last_checked_at  TEXT CHECK (last_checked_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    last_ok_at       TEXT CHECK (last_ok_at GLOB '????-??-??T??:??:??.???Z'),
    failure_streak   INTEGER NOT NULL DEFAULT 0 CHECK (failure_streak >= 0),
    last_outcome     TEXT,
    base_valid_from  TEXT CHECK (base_valid_from GLOB '????-??-??'),
    base_valid_to    TEXT CHECK (base_valid_to GLOB '????-??-??'),
    volatile_json    TEXT CHECK (json_valid(volatile_json)),
    page_skeleton_hash TEXT
);
INSERT INTO base_ticket_state (id) VALUES (1);
CREATE TRIGGER base_ticket_state_touch AFTER UPDATE ON base_ticket_state WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE base_ticket_state SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;
