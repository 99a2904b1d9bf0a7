-- Firmware: versions and their files, queries by IMEI, devices that are watched, who waits for what.

-- One row per firmware version.
CREATE TABLE firmware (
    id                  INTEGER PRIMARY KEY,
    version_code        TEXT NOT NULL UNIQUE
        CHECK (length(version_code) - length(replace(version_code, '/', '')) = 3),
    filename            TEXT NOT NULL,
    path                TEXT NOT NULL,
    size_bytes          INTEGER NOT NULL,
    logic_value_factory TEXT NOT NULL,
    latest_fw_version   TEXT NOT NULL,
    -- milestones: they stay 1 after the files are gone; what lies on disk now is in `state`
    downloaded          INTEGER NOT NULL DEFAULT 0 CHECK (downloaded IN (0, 1)),
    decrypted           INTEGER NOT NULL DEFAULT 0 CHECK (decrypted IN (0, 1)),
    extracted           INTEGER NOT NULL DEFAULT 0 CHECK (extracted IN (0, 1)),
    created_at          TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at          TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    state               TEXT NOT NULL DEFAULT 'new' CHECK (state IN (
        'new', 'queued', 'downloading', 'paused', 'verifying', 'partial', 'ready', 'failed', 'evicted')),
    crc32               INTEGER CHECK (crc32 BETWEEN 0 AND 4294967295),
    enc_version         INTEGER NOT NULL DEFAULT 4 CHECK (enc_version IN (2, 4)),
    binary_nature       INTEGER NOT NULL DEFAULT 1 CHECK (binary_nature IN (0, 1)),
    model               TEXT,
    csc                 TEXT,
    model_type          TEXT,
    os_name             TEXT,
    display_name        TEXT,
    released_at         TEXT,
    bytes_done          INTEGER NOT NULL DEFAULT 0 CHECK (bytes_done >= 0),
    zip_present         INTEGER NOT NULL DEFAULT 0 CHECK (zip_present IN (0, 1)),
    content_md5         TEXT CHECK (length(content_md5) = 32),
    last_used_at        TEXT CHECK (last_used_at GLOB '????-??-??T??:??:??.???Z'),
    pinned              INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
    error_code          TEXT,
    error_text          TEXT
);
CREATE INDEX idx_firmware_version ON firmware (version_code);
CREATE INDEX idx_firmware_filename ON firmware (filename);
CREATE INDEX firmware_state ON firmware (state, last_used_at);
CREATE TRIGGER trg_firmware_updated_at AFTER UPDATE ON firmware WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE firmware SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Two rows a query, joined by request_id: 'unknown' when the version was found, the outcome later.
CREATE TABLE imei_log (
    id             INTEGER PRIMARY KEY,
    imei           TEXT NOT NULL,
    model          TEXT NOT NULL,
    csc            TEXT NOT NULL CHECK (length(csc) BETWEEN 3 AND 5),
    version_code   TEXT NOT NULL
        CHECK (length(version_code) - length(replace(version_code, '/', '')) = 3),
    status_fus     TEXT NOT NULL DEFAULT 'unknown'
        CHECK (status_fus IN ('ok', 'error', 'denied', 'unauthorized', 'throttled', 'unknown')),
    status_upgrade TEXT NOT NULL DEFAULT 'unknown'
        CHECK (status_upgrade IN ('queued', 'in_progress', 'ok', 'failed', 'skipped', 'unknown')),
    created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    upgrade_at     TEXT CHECK (upgrade_at GLOB '????-??-??T??:??:??.???Z'),
    csc_all        TEXT,
    user_id        TEXT REFERENCES users (id) ON DELETE SET NULL,
    firmware_id    INTEGER REFERENCES firmware (id) ON DELETE SET NULL,
    request_id     TEXT,
    device_version TEXT,
    serial_number  TEXT,
    lock_status    TEXT,
    aid            TEXT,
    cc             TEXT,
    fus_code       TEXT,
    anonymised_at  TEXT CHECK (anonymised_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX idx_imei_log__imei_created ON imei_log (imei, created_at DESC);
CREATE INDEX idx_imei_log__model_csc_created ON imei_log (model, csc, created_at DESC);
CREATE INDEX idx_imei_log__model_csc_version ON imei_log (model, csc, version_code);
CREATE INDEX idx_imei_log__created_at ON imei_log (created_at);
CREATE INDEX idx_imei_log__upgrade_at ON imei_log (upgrade_at);
CREATE INDEX imei_log_user ON imei_log (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX imei_log_firmware ON imei_log (firmware_id) WHERE firmware_id IS NOT NULL;
CREATE UNIQUE INDEX imei_log_asked ON imei_log (request_id) WHERE status_fus = 'unknown';
CREATE UNIQUE INDEX imei_log_answered ON imei_log (request_id) WHERE status_fus <> 'unknown';

-- What a version consists of; `present` is what lies on disk now.
CREATE TABLE firmware_components (
    id          INTEGER PRIMARY KEY,
    firmware_id INTEGER NOT NULL REFERENCES firmware (id) ON DELETE CASCADE,
    filename    TEXT NOT NULL,
    part        TEXT NOT NULL CHECK (part IN ('BL', 'AP', 'CP', 'CSC', 'HOME_CSC', 'USERDATA', 'OTHER')),
    size_bytes  INTEGER NOT NULL CHECK (size_bytes >= 0),
    packed_size INTEGER CHECK (packed_size >= 0),
    zip_offset  INTEGER CHECK (zip_offset >= 0),
    method      INTEGER,
    zip_crc32   INTEGER CHECK (zip_crc32 BETWEEN 0 AND 4294967295),
    md5sum      TEXT CHECK (length(md5sum) = 32),
    md5sum_file TEXT CHECK (length(md5sum_file) = 32),
    md5_ok      INTEGER CHECK (md5_ok IN (0, 1)),
    present     INTEGER NOT NULL DEFAULT 0 CHECK (present IN (0, 1)),
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    UNIQUE (firmware_id, filename)
);

-- Progress of each connection, so that a download goes on after a crash.
CREATE TABLE firmware_segments (
    firmware_id INTEGER NOT NULL REFERENCES firmware (id) ON DELETE CASCADE,
    idx         INTEGER NOT NULL CHECK (idx >= 0),
    start       INTEGER NOT NULL CHECK (start >= 0),
    length      INTEGER NOT NULL CHECK (length > 0),
    done        INTEGER NOT NULL DEFAULT 0 CHECK (done BETWEEN 0 AND length),
    crc32       INTEGER NOT NULL DEFAULT 0 CHECK (crc32 BETWEEN 0 AND 4294967295),
    PRIMARY KEY (firmware_id, idx),
    CHECK (done % 16 = 0 OR done = length)
) WITHOUT ROWID;

-- One version serves several models and regions.
CREATE TABLE firmware_targets (
    firmware_id INTEGER NOT NULL REFERENCES firmware (id) ON DELETE CASCADE,
    model       TEXT NOT NULL,
    csc         TEXT NOT NULL,
    last_seen   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (last_seen GLOB '????-??-??T??:??:??.???Z'),
    PRIMARY KEY (firmware_id, model, csc)
) WITHOUT ROWID;
CREATE INDEX firmware_targets_device ON firmware_targets (model, csc);

-- Devices somebody watches.
CREATE TABLE firmware_devices (
    id              INTEGER PRIMARY KEY,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    nickname        TEXT,
    model           TEXT NOT NULL,
    csc             TEXT NOT NULL CHECK (length(csc) BETWEEN 3 AND 5),
    imei            TEXT,
    serial          TEXT,
    device_version  TEXT,
    watch           INTEGER NOT NULL DEFAULT 0 CHECK (watch IN (0, 1)),
    auto_fetch      INTEGER NOT NULL DEFAULT 0 CHECK (auto_fetch IN (0, 1)),
    last_checked_at TEXT CHECK (last_checked_at GLOB '????-??-??T??:??:??.???Z'),
    latest_seen     TEXT,
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
-- an expression, because a plain unique index lets devices without an IMEI repeat
CREATE UNIQUE INDEX firmware_devices_own ON firmware_devices (user_id, model, csc, coalesce(imei, ''));
CREATE INDEX firmware_devices_watched ON firmware_devices (model, csc) WHERE watch = 1;

-- Who waits for what; several people share one download.
CREATE TABLE firmware_requests (
    id             INTEGER PRIMARY KEY,
    user_id        TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    firmware_id    INTEGER REFERENCES firmware (id) ON DELETE SET NULL,
    device_id      INTEGER REFERENCES firmware_devices (id) ON DELETE SET NULL,
    model          TEXT NOT NULL,
    csc            TEXT NOT NULL,
    wanted_version TEXT,
    parts          TEXT NOT NULL DEFAULT 'all',
    query_id       TEXT, -- the pair of imei_log rows this belongs to; none without an IMEI
    status         TEXT NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'ready', 'failed', 'cancelled')),
    job_id         TEXT,
    created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    finished_at    TEXT CHECK (finished_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX firmware_requests_user ON firmware_requests (user_id, created_at DESC);
CREATE INDEX firmware_requests_firmware ON firmware_requests (firmware_id) WHERE firmware_id IS NOT NULL;
CREATE INDEX firmware_requests_device ON firmware_requests (device_id) WHERE device_id IS NOT NULL;

-- Versions the servers listed, kept for look-up.
CREATE TABLE firmware_versions (
    model        TEXT NOT NULL,
    csc          TEXT NOT NULL,
    version_code TEXT NOT NULL,
    sequence     INTEGER,
    os_name      TEXT,
    opened_at    TEXT,
    kind         TEXT NOT NULL DEFAULT 'stable' CHECK (kind IN ('stable', 'beta', 'unreleased')),
    source       TEXT NOT NULL CHECK (source IN ('history', 'fota')),
    seen_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (seen_at GLOB '????-??-??T??:??:??.???Z'),
    PRIMARY KEY (model, csc, version_code)
) WITHOUT ROWID;
