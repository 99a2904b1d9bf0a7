-- Audiobooks: catalogue, requests, candidates, the library behind them, indexers and download clients.

-- Rights and quota of one person; no row or NULL = the global setting.
CREATE TABLE audiobook_rights (
    user_id                   TEXT PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    auto_approve_requests     INTEGER CHECK (auto_approve_requests IN (0, 1)),
    interactive_search_access INTEGER CHECK (interactive_search_access IN (0, 1)),
    request_quota_limit       INTEGER CHECK (request_quota_limit >= 0),
    request_quota_days        INTEGER CHECK (request_quota_days >= 1),
    updated_at                TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE TRIGGER audiobook_rights_touch AFTER UPDATE ON audiobook_rights WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE audiobook_rights SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE user_id = NEW.user_id;
END;

-- Catalogue metadata and discovery ranks.
CREATE TABLE audible_cache (
    id                TEXT PRIMARY KEY NOT NULL,
    asin              TEXT NOT NULL UNIQUE CHECK (length(asin) = 10 AND asin NOT GLOB '*[^A-Z0-9]*'),
    title             TEXT NOT NULL,
    author            TEXT NOT NULL,
    narrator          TEXT,
    description       TEXT,
    cover_art_url     TEXT,
    cached_cover_path TEXT CHECK (cached_cover_path NOT GLOB '*/*'),
    duration_minutes  INTEGER CHECK (duration_minutes > 0),
    release_date      TEXT CHECK (release_date GLOB '????-??-??'),
    rating            REAL CHECK (rating BETWEEN 0 AND 5),
    genres            TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(genres)),
    is_popular        INTEGER NOT NULL DEFAULT 0 CHECK (is_popular IN (0, 1)),
    is_new_release    INTEGER NOT NULL DEFAULT 0 CHECK (is_new_release IN (0, 1)),
    popular_rank      INTEGER CHECK (popular_rank >= 1),
    new_release_rank  INTEGER CHECK (new_release_rank >= 1),
    last_synced_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (last_synced_at GLOB '????-??-??T??:??:??.???Z'),
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    language          TEXT,
    series            TEXT,
    series_part       TEXT,
    series_asin       TEXT,
    subtitle          TEXT,
    isbn              TEXT,
    is_adult          INTEGER NOT NULL DEFAULT 0 CHECK (is_adult IN (0, 1)),
    CHECK (popular_rank IS NULL OR is_popular = 1),
    CHECK (new_release_rank IS NULL OR is_new_release = 1)
);
CREATE INDEX audible_cache_title ON audible_cache (title);
CREATE INDEX audible_cache_author ON audible_cache (author);
CREATE INDEX audible_cache_is_popular ON audible_cache (is_popular);
CREATE INDEX audible_cache_is_new_release ON audible_cache (is_new_release);
CREATE INDEX audible_cache_popular_rank ON audible_cache (popular_rank) WHERE is_popular = 1;
CREATE INDEX audible_cache_new_release_rank ON audible_cache (new_release_rank) WHERE is_new_release = 1;
CREATE TRIGGER audible_cache_touch AFTER UPDATE ON audible_cache WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE audible_cache SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Search by words over the catalogue, kept in step by triggers.
CREATE VIRTUAL TABLE audible_cache_fts USING fts5 (
    title, author, narrator, series, content = 'audible_cache', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER audible_cache_fts_insert AFTER INSERT ON audible_cache
BEGIN
    INSERT INTO audible_cache_fts (rowid, title, author, narrator, series)
    VALUES (NEW.rowid, NEW.title, NEW.author, NEW.narrator, NEW.series);
END;
CREATE TRIGGER audible_cache_fts_delete AFTER DELETE ON audible_cache
BEGIN
    INSERT INTO audible_cache_fts (audible_cache_fts, rowid, title, author, narrator, series)
    VALUES ('delete', OLD.rowid, OLD.title, OLD.author, OLD.narrator, OLD.series);
END;
CREATE TRIGGER audible_cache_fts_update AFTER UPDATE OF title, author, narrator, series ON audible_cache
BEGIN
    INSERT INTO audible_cache_fts (audible_cache_fts, rowid, title, author, narrator, series)
    VALUES ('delete', OLD.rowid, OLD.title, OLD.author, OLD.narrator, OLD.series);
    INSERT INTO audible_cache_fts (rowid, title, author, narrator, series)
    VALUES (NEW.rowid, NEW.title, NEW.author, NEW.narrator, NEW.series);
END;

-- A row exists once somebody asked for the book.
CREATE TABLE audiobooks (
    id               TEXT PRIMARY KEY NOT NULL,
    audible_asin     TEXT CHECK (length(audible_asin) = 10 AND audible_asin NOT GLOB '*[^A-Z0-9]*'),
    title            TEXT NOT NULL,
    author           TEXT NOT NULL,
    narrator         TEXT,
    description      TEXT,
    cover_art_url    TEXT,
    file_path        TEXT,
    file_format      TEXT CHECK (file_format IN ('m4b', 'm4a', 'mp3', 'flac', 'ogg', 'opus', 'mixed')),
    file_size_bytes  INTEGER CHECK (file_size_bytes >= 0),
    plex_guid        TEXT,
    plex_library_id  TEXT,
    status           TEXT NOT NULL DEFAULT 'requested'
        CHECK (status IN ('requested', 'downloading', 'processing', 'completed', 'failed')),
    created_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    completed_at     TEXT CHECK (completed_at GLOB '????-??-??T??:??:??.???Z'),
    year             INTEGER,
    series           TEXT,
    series_part      TEXT,
    language         TEXT,
    isbn             TEXT,
    duration_minutes INTEGER CHECK (duration_minutes > 0),
    release_date     TEXT CHECK (release_date GLOB '????-??-??'),
    narrators        TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(narrators)),
    files_hash       TEXT CHECK (length(files_hash) = 64),
    measured_minutes INTEGER CHECK (measured_minutes >= 0)
);
CREATE UNIQUE INDEX audiobooks_asin ON audiobooks (audible_asin) WHERE audible_asin IS NOT NULL;
CREATE INDEX audiobooks_plex_guid ON audiobooks (plex_guid);
CREATE INDEX audiobooks_title ON audiobooks (title);
CREATE INDEX audiobooks_author ON audiobooks (author);
CREATE INDEX audiobooks_status ON audiobooks (status);
CREATE TRIGGER audiobooks_touch AFTER UPDATE ON audiobooks WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE audiobooks SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Waiting for approval, denied and not yet released are no states: `approval` and `release_date` say them.
CREATE TABLE requests (
    id                  TEXT PRIMARY KEY NOT NULL,
    user_id             TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    audiobook_id        TEXT NOT NULL REFERENCES audiobooks (id) ON DELETE CASCADE,
    status              TEXT NOT NULL DEFAULT 'pending' CHECK (status IN (
        'pending', 'searching', 'downloading', 'processing', 'downloaded', 'available', 'failed',
        'cancelled', 'awaiting_search', 'awaiting_import', 'warn')),
    progress            INTEGER NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    priority            INTEGER NOT NULL DEFAULT 0,
    error_message       TEXT,
    search_attempts     INTEGER NOT NULL DEFAULT 0 CHECK (search_attempts >= 0),
    download_attempts   INTEGER NOT NULL DEFAULT 0 CHECK (download_attempts >= 0),
    import_attempts     INTEGER NOT NULL DEFAULT 0 CHECK (import_attempts >= 0),
    max_import_retries  INTEGER NOT NULL DEFAULT 5 CHECK (max_import_retries >= 0),
    last_search_at      TEXT CHECK (last_search_at GLOB '????-??-??T??:??:??.???Z'),
    last_import_at      TEXT CHECK (last_import_at GLOB '????-??-??T??:??:??.???Z'),
    created_at          TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at          TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    completed_at        TEXT CHECK (completed_at GLOB '????-??-??T??:??:??.???Z'),
    approval            TEXT NOT NULL DEFAULT 'approved' CHECK (approval IN ('approved', 'waiting', 'denied')),
    approved_by         TEXT REFERENCES users (id) ON DELETE SET NULL,
    approved_at         TEXT CHECK (approved_at GLOB '????-??-??T??:??:??.???Z'),
    selected_release_id TEXT REFERENCES audiobook_download_history (id) ON DELETE SET NULL,
    custom_search_terms TEXT CHECK (length(custom_search_terms) <= 200),
    release_date        TEXT CHECK (release_date GLOB '????-??-??'),
    leader_id           TEXT REFERENCES requests (id) ON DELETE SET NULL,
    next_search_at      TEXT CHECK (next_search_at GLOB '????-??-??T??:??:??.???Z'),
    UNIQUE (user_id, audiobook_id)
);
CREATE INDEX requests_audiobook ON requests (audiobook_id);
CREATE INDEX requests_status ON requests (status);
CREATE INDEX requests_created ON requests (created_at DESC);
CREATE INDEX requests_approver ON requests (approved_by) WHERE approved_by IS NOT NULL;
CREATE INDEX requests_selected ON requests (selected_release_id) WHERE selected_release_id IS NOT NULL;
CREATE INDEX requests_leader ON requests (leader_id) WHERE leader_id IS NOT NULL;
CREATE TRIGGER requests_touch AFTER UPDATE ON requests WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE requests SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Where releases are searched. api_key is sealed by the vault.
CREATE TABLE indexers (
    id               INTEGER PRIMARY KEY,
    kind             TEXT NOT NULL CHECK (kind IN ('prowlarr', 'torznab', 'newznab')),
    remote_id        INTEGER,
    name             TEXT NOT NULL,
    base_url         TEXT NOT NULL,
    api_key          TEXT,
    enabled          INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    priority         INTEGER NOT NULL DEFAULT 10 CHECK (priority BETWEEN 1 AND 25),
    categories       TEXT NOT NULL DEFAULT '[3030]' CHECK (json_valid(categories)),
    rss_enabled      INTEGER NOT NULL DEFAULT 0 CHECK (rss_enabled IN (0, 1)),
    min_seed_minutes INTEGER NOT NULL DEFAULT 0 CHECK (min_seed_minutes >= 0),
    min_ratio        REAL NOT NULL DEFAULT 0 CHECK (min_ratio >= 0),
    caps             TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(caps)),
    last_ok_at       TEXT CHECK (last_ok_at GLOB '????-??-??T??:??:??.???Z'),
    last_error       TEXT,
    disabled_until   TEXT CHECK (disabled_until GLOB '????-??-??T??:??:??.???Z')
);

-- What fetches them. password is sealed by the vault.
CREATE TABLE download_clients (
    id                   INTEGER PRIMARY KEY,
    type                 TEXT NOT NULL CHECK (type IN ('qbittorrent', 'transmission', 'sabnzbd')),
    name                 TEXT NOT NULL,
    enabled              INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    base_url             TEXT NOT NULL,
    username             TEXT,
    password             TEXT,
    verify_tls           INTEGER NOT NULL DEFAULT 1 CHECK (verify_tls IN (0, 1)),
    category             TEXT NOT NULL DEFAULT 'holdfast',
    remote_path          TEXT,
    local_path           TEXT,
    post_import_category TEXT,
    state                TEXT NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'auth_failed', 'unreachable')),
    last_error           TEXT,
    webapi_version       TEXT
);

-- Candidates and the selected one. The real address may carry a key and stands sealed in grab_url;
-- magnet_link and torrent_url are stripped before they are stored. A torrent must still be cleaned
-- after its request is gone, so the row outlives it.
CREATE TABLE audiobook_download_history (
    id                 TEXT PRIMARY KEY NOT NULL,
    request_id         TEXT REFERENCES requests (id) ON DELETE SET NULL,
    indexer_name       TEXT NOT NULL,
    torrent_name       TEXT,
    torrent_hash       TEXT CHECK (length(torrent_hash) = 40 AND torrent_hash NOT GLOB '*[^0-9a-f]*'),
    torrent_size_bytes INTEGER CHECK (torrent_size_bytes >= 0),
    magnet_link        TEXT,
    torrent_url        TEXT,
    seeders            INTEGER,
    leechers           INTEGER,
    quality_score      INTEGER,
    selected           INTEGER NOT NULL DEFAULT 0 CHECK (selected IN (0, 1)),
    download_client    TEXT CHECK (download_client IN ('qbittorrent', 'transmission', 'sabnzbd')),
    download_client_id TEXT,
    download_status    TEXT CHECK (download_status IN ('queued', 'downloading', 'completed', 'failed', 'stalled')),
    download_error     TEXT,
    started_at         TEXT CHECK (started_at GLOB '????-??-??T??:??:??.???Z'),
    completed_at       TEXT CHECK (completed_at GLOB '????-??-??T??:??:??.???Z'),
    created_at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    indexer_id         INTEGER REFERENCES indexers (id) ON DELETE SET NULL,
    client_id          INTEGER REFERENCES download_clients (id) ON DELETE SET NULL,
    guid               TEXT,
    score_json         TEXT CHECK (json_valid(score_json)),
    grab_url           TEXT,
    download_path      TEXT,
    client_state       TEXT,
    nzb_id             TEXT,
    progress           INTEGER CHECK (progress BETWEEN 0 AND 1000),
    speed              INTEGER CHECK (speed >= 0),
    eta_seconds        INTEGER,
    ratio              REAL,
    seeding_seconds    INTEGER CHECK (seeding_seconds >= 0),
    last_change_at     TEXT CHECK (last_change_at GLOB '????-??-??T??:??:??.???Z'),
    min_seed_minutes   INTEGER NOT NULL DEFAULT 0 CHECK (min_seed_minutes >= 0),
    min_ratio          REAL NOT NULL DEFAULT 0 CHECK (min_ratio >= 0),
    cleanup_state      TEXT NOT NULL DEFAULT 'none'
        CHECK (cleanup_state IN ('none', 'seeding', 'removed', 'kept', 'gone'))
);
CREATE INDEX audiobook_history_request ON audiobook_download_history (request_id);
CREATE INDEX audiobook_history_selected ON audiobook_download_history (selected);
CREATE INDEX audiobook_history_created ON audiobook_download_history (created_at DESC);
CREATE INDEX audiobook_history_hash ON audiobook_download_history (torrent_hash);
CREATE INDEX audiobook_history_client ON audiobook_download_history (client_id, download_status);
CREATE INDEX audiobook_history_indexer ON audiobook_download_history (indexer_id) WHERE indexer_id IS NOT NULL;
CREATE INDEX audiobook_history_seeding ON audiobook_download_history (cleanup_state) WHERE cleanup_state = 'seeding';

-- A Plex sign-in under way: token_hash is SHA-256 of the value the browser holds.
CREATE TABLE plex_sign_ins (
    token_hash    TEXT PRIMARY KEY NOT NULL CHECK (length(token_hash) = 64),
    pin_id        TEXT NOT NULL,
    code          TEXT NOT NULL,
    purpose       TEXT NOT NULL CHECK (purpose IN ('sign_in', 'link', 'pick_server')),
    user_id       TEXT REFERENCES users (id) ON DELETE CASCADE,
    account_token TEXT,
    wrong_pins    INTEGER NOT NULL DEFAULT 0 CHECK (wrong_pins >= 0),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    expires_at    TEXT NOT NULL CHECK (expires_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX plex_sign_ins_user ON plex_sign_ins (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX plex_sign_ins_expires ON plex_sign_ins (expires_at);

-- What the media server really has.
CREATE TABLE plex_library (
    id                TEXT PRIMARY KEY NOT NULL,
    plex_guid         TEXT NOT NULL UNIQUE,
    plex_rating_key   TEXT,
    title             TEXT NOT NULL,
    author            TEXT NOT NULL DEFAULT '',
    narrator          TEXT,
    summary           TEXT,
    duration_ms       INTEGER CHECK (duration_ms >= 0),
    year              INTEGER,
    user_rating       REAL,
    asin              TEXT,
    isbn              TEXT,
    file_path         TEXT,
    thumb_url         TEXT,
    cached_cover_path TEXT CHECK (cached_cover_path NOT GLOB '*/*'),
    plex_library_id   TEXT,
    added_at          TEXT CHECK (added_at GLOB '????-??-??T??:??:??.???Z'),
    last_scanned_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (last_scanned_at GLOB '????-??-??T??:??:??.???Z'),
    scan_id           TEXT,
    title_key         TEXT NOT NULL DEFAULT '',
    author_key        TEXT NOT NULL DEFAULT ''
);
CREATE INDEX plex_library_asin ON plex_library (asin) WHERE asin IS NOT NULL;
CREATE INDEX plex_library_isbn ON plex_library (isbn) WHERE isbn IS NOT NULL;
CREATE INDEX plex_library_keys ON plex_library (title_key, author_key);
CREATE INDEX plex_library_scan ON plex_library (plex_library_id, scan_id);

-- Matches that are likely, not certain: a person confirms.
CREATE TABLE library_match_suggestions (
    id           TEXT PRIMARY KEY NOT NULL,
    audiobook_id TEXT NOT NULL REFERENCES audiobooks (id) ON DELETE CASCADE,
    plex_guid    TEXT NOT NULL,
    score        REAL NOT NULL,
    reasons      TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(reasons)),
    state        TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'rejected')),
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    UNIQUE (audiobook_id, plex_guid)
);

-- Releases that failed once: never taken twice for the same request.
CREATE TABLE blocked_releases (
    id            TEXT PRIMARY KEY NOT NULL,
    request_id    TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    release_key   TEXT NOT NULL,
    release_hash  TEXT,
    indexer_id    INTEGER REFERENCES indexers (id) ON DELETE SET NULL,
    source        TEXT NOT NULL CHECK (source IN ('organize_fail', 'download_fail', 'manual')),
    reason        TEXT,
    reason_detail TEXT,
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    UNIQUE (request_id, release_key)
);
CREATE INDEX blocked_releases_indexer ON blocked_releases (indexer_id) WHERE indexer_id IS NOT NULL;

-- Cards that were suggested to one person.
CREATE TABLE bookdate_recommendations (
    id            TEXT PRIMARY KEY NOT NULL,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    batch_id      TEXT NOT NULL,
    position      INTEGER NOT NULL,
    title         TEXT NOT NULL,
    author        TEXT NOT NULL,
    narrator      TEXT,
    rating        REAL CHECK (rating BETWEEN 0 AND 5),
    description   TEXT,
    cover_url     TEXT,
    audnexus_asin TEXT,
    ai_reason     TEXT,
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX bookdate_recommendations_batch ON bookdate_recommendations (user_id, batch_id, position);

-- What the person answered.
CREATE TABLE bookdate_swipes (
    id                TEXT PRIMARY KEY NOT NULL,
    user_id           TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    recommendation_id TEXT UNIQUE REFERENCES bookdate_recommendations (id) ON DELETE SET NULL,
    book_title        TEXT NOT NULL,
    book_author       TEXT NOT NULL,
    action            TEXT NOT NULL CHECK (action IN ('left', 'right', 'up')),
    marked_as_known   INTEGER NOT NULL DEFAULT 0 CHECK (marked_as_known IN (0, 1)),
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX bookdate_swipes_user ON bookdate_swipes (user_id, created_at DESC);
