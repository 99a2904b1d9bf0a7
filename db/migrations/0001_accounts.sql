-- Accounts and the core: who may sign in, their secrets and settings, audit, notices.
-- Times are UTC text in one format, so that text order is time order.

-- One person. A soft-deleted account keeps its history and loses sessions and secrets.
CREATE TABLE users (
    id             TEXT PRIMARY KEY NOT NULL,
    login          TEXT NOT NULL COLLATE NOCASE UNIQUE CHECK (length(login) BETWEEN 1 AND 254),
    email          TEXT COLLATE NOCASE CHECK (length(email) BETWEEN 3 AND 254),
    password_hash  TEXT,
    role           TEXT NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    flags          TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(flags)),
    locale         TEXT NOT NULL DEFAULT 'en' CHECK (locale IN ('en', 'de', 'ru', 'es')),
    is_active      INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    is_setup_admin INTEGER NOT NULL DEFAULT 0 CHECK (is_setup_admin IN (0, 1)),
    invite_token   TEXT,
    invited_by     TEXT REFERENCES users (id) ON DELETE SET NULL,
    device_profile TEXT,
    output_dir     TEXT,
    auto_download_enabled INTEGER NOT NULL DEFAULT 0 CHECK (auto_download_enabled IN (0, 1)),
    plex_id        TEXT UNIQUE,
    plex_home_user_id TEXT,
    avatar_url     TEXT,
    auth_token     TEXT,
    bookdate_library_scope TEXT NOT NULL DEFAULT 'full' CHECK (bookdate_library_scope IN ('full', 'rated')),
    bookdate_custom_prompt TEXT CHECK (length(bookdate_custom_prompt) <= 1000),
    bookdate_onboarding_complete INTEGER NOT NULL DEFAULT 0 CHECK (bookdate_onboarding_complete IN (0, 1)),
    last_login_at  TEXT CHECK (last_login_at GLOB '????-??-??T??:??:??.???Z'),
    created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    deleted_at     TEXT CHECK (deleted_at GLOB '????-??-??T??:??:??.???Z'),
    CHECK (is_setup_admin = 0 OR role = 'admin')
);
CREATE UNIQUE INDEX users_email ON users (email) WHERE email IS NOT NULL AND deleted_at IS NULL;
CREATE UNIQUE INDEX users_setup_admin ON users (is_setup_admin) WHERE is_setup_admin = 1;
CREATE INDEX users_role ON users (role);
CREATE INDEX users_active ON users (is_active, deleted_at);
CREATE INDEX users_auto_download ON users (auto_download_enabled) WHERE is_active = 1 AND deleted_at IS NULL;
CREATE INDEX users_invited_by ON users (invited_by) WHERE invited_by IS NOT NULL;
CREATE TRIGGER users_touch AFTER UPDATE ON users WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE users SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;
-- The first admin keeps the role, whoever writes: otherwise an instance could lose its last admin.
CREATE TRIGGER users_setup_admin_role BEFORE UPDATE OF role ON users
WHEN OLD.is_setup_admin = 1 AND NEW.role <> OLD.role
BEGIN
    SELECT RAISE(ABORT, 'the role of the setup admin cannot be changed');
END;

-- What one person chose for all domains. openrouterApiKey is sealed by the vault.
CREATE TABLE userSettings (
    userId           TEXT PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    openrouterApiKey TEXT,
    defaultModel     TEXT,
    timeZone         TEXT,
    theme            TEXT NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark')),
    shortcuts        INTEGER NOT NULL DEFAULT 1 CHECK (shortcuts IN (0, 1)),
    updatedAt        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updatedAt GLOB '????-??-??T??:??:??.???Z')
);
CREATE TRIGGER userSettings_touch AFTER UPDATE ON userSettings WHEN NEW.updatedAt = OLD.updatedAt
BEGIN
    UPDATE userSettings SET updatedAt = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE userId = NEW.userId;
END;

-- tokenHash is SHA-256 hex: this file never holds a token that could be used.
CREATE TABLE sessions (
    id             TEXT PRIMARY KEY NOT NULL,
    userId         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tokenHash      TEXT NOT NULL UNIQUE CHECK (length(tokenHash) = 64),
    expiresAt      TEXT NOT NULL CHECK (expiresAt GLOB '????-??-??T??:??:??.???Z'),
    createdAt      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (createdAt GLOB '????-??-??T??:??:??.???Z'),
    lastSeenAt     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (lastSeenAt GLOB '????-??-??T??:??:??.???Z'),
    rotatedAt      TEXT CHECK (rotatedAt GLOB '????-??-??T??:??:??.???Z'),
    prevTokenHash  TEXT CHECK (length(prevTokenHash) = 64),
    prevValidUntil TEXT CHECK (prevValidUntil GLOB '????-??-??T??:??:??.???Z'),
    authLevel      INTEGER NOT NULL DEFAULT 0 CHECK (authLevel IN (0, 1, 2)),
    reauthAt       TEXT CHECK (reauthAt GLOB '????-??-??T??:??:??.???Z'),
    ip             TEXT,
    userAgent      TEXT,
    remember       INTEGER NOT NULL DEFAULT 0 CHECK (remember IN (0, 1))
);
CREATE INDEX sessions_user ON sessions (userId);
CREATE INDEX sessions_expires ON sessions (expiresAt);
CREATE UNIQUE INDEX sessions_prev ON sessions (prevTokenHash) WHERE prevTokenHash IS NOT NULL;

-- token is SHA-256 hex of the secret in the link. used_by is checked at COMMIT, so that redeeming may
-- mark the invite and make the account in either order. No cascade: a used invite stays as evidence.
CREATE TABLE invite_tokens (
    token      TEXT PRIMARY KEY NOT NULL CHECK (length(token) = 64),
    created_by TEXT NOT NULL REFERENCES users (id),
    used_by    TEXT UNIQUE REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,
    expires_at TEXT NOT NULL CHECK (expires_at GLOB '????-??-??T??:??:??.???Z'),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    label      TEXT CHECK (length(label) <= 80),
    email      TEXT COLLATE NOCASE,
    role       TEXT NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    domains    TEXT CHECK (json_valid(domains)),
    used_at    TEXT CHECK (used_at GLOB '????-??-??T??:??:??.???Z'),
    revoked_at TEXT CHECK (revoked_at GLOB '????-??-??T??:??:??.???Z'),
    CHECK ((used_by IS NULL) = (used_at IS NULL))
);
CREATE INDEX invite_tokens_expires ON invite_tokens (expires_at);
CREATE INDEX invite_tokens_creator ON invite_tokens (created_by);

-- One login per (owner, service); without an owner it is the instance's own.
CREATE TABLE credentials (
    id         TEXT PRIMARY KEY NOT NULL,
    owner_id   TEXT REFERENCES users (id) ON DELETE CASCADE,
    service    TEXT NOT NULL,
    label      TEXT,
    login_name TEXT,
    login_password_encrypted TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE UNIQUE INDEX credentials_owner_service ON credentials (coalesce(owner_id, ''), service);
CREATE INDEX credentials_owner ON credentials (owner_id) WHERE owner_id IS NOT NULL;
CREATE TRIGGER credentials_touch AFTER UPDATE ON credentials WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE credentials SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- What an admin set; every other setting has its default. encrypted = 1: value is sealed by the
-- vault.
CREATE TABLE configuration (
    id          TEXT PRIMARY KEY NOT NULL,
    key         TEXT NOT NULL UNIQUE,
    value       TEXT,
    encrypted   INTEGER NOT NULL DEFAULT 0 CHECK (encrypted IN (0, 1)),
    category    TEXT,
    description TEXT,
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX configuration_category ON configuration (category);
CREATE TRIGGER configuration_touch AFTER UPDATE ON configuration WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE configuration SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Failed sign-ins counted per key: login and address, address, login.
CREATE TABLE auth_throttle (
    key           TEXT PRIMARY KEY NOT NULL,
    kind          TEXT NOT NULL,
    failures      INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    window_start  TEXT NOT NULL CHECK (window_start GLOB '????-??-??T??:??:??.???Z'),
    blocked_until TEXT CHECK (blocked_until GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX auth_throttle_window ON auth_throttle (window_start);

-- Second factor by code; counts only once confirmed.
CREATE TABLE totp_secrets (
    user_id        TEXT PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret         TEXT NOT NULL,
    confirmed_at   TEXT CHECK (confirmed_at GLOB '????-??-??T??:??:??.???Z'),
    last_used_step INTEGER,
    created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);

-- Second factor by device.
CREATE TABLE passkeys (
    id              TEXT PRIMARY KEY NOT NULL,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id   TEXT NOT NULL UNIQUE,
    public_key      TEXT NOT NULL,
    sign_count      INTEGER NOT NULL DEFAULT 0 CHECK (sign_count >= 0),
    transports      TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(transports)),
    backup_eligible INTEGER NOT NULL DEFAULT 0 CHECK (backup_eligible IN (0, 1)),
    backed_up       INTEGER NOT NULL DEFAULT 0 CHECK (backed_up IN (0, 1)),
    name            TEXT NOT NULL DEFAULT '',
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    last_used_at    TEXT CHECK (last_used_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX passkeys_user ON passkeys (user_id);

-- Second factor for one use each; only hashes.
CREATE TABLE recovery_codes (
    code_hash  TEXT PRIMARY KEY NOT NULL CHECK (length(code_hash) = 64),
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    used_at    TEXT CHECK (used_at GLOB '????-??-??T??:??:??.???Z'),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX recovery_codes_user ON recovery_codes (user_id);

-- One-time ways back in that an admin made; only hashes.
CREATE TABLE reset_links (
    token_hash TEXT PRIMARY KEY NOT NULL CHECK (length(token_hash) = 64),
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_by TEXT REFERENCES users (id) ON DELETE SET NULL,
    expires_at TEXT NOT NULL CHECK (expires_at GLOB '????-??-??T??:??:??.???Z'),
    used_at    TEXT CHECK (used_at GLOB '????-??-??T??:??:??.???Z'),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX reset_links_user ON reset_links (user_id);
CREATE INDEX reset_links_creator ON reset_links (created_by) WHERE created_by IS NOT NULL;

-- Keys for /api/v1; only hashes.
CREATE TABLE api_tokens (
    id           TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 8),
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret_hash  TEXT NOT NULL UNIQUE CHECK (length(secret_hash) = 64),
    name         TEXT NOT NULL,
    scopes       TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(scopes)),
    ip_list      TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(ip_list)),
    expires_at   TEXT CHECK (expires_at GLOB '????-??-??T??:??:??.???Z'),
    revoked_at   TEXT CHECK (revoked_at GLOB '????-??-??T??:??:??.???Z'),
    last_used_at TEXT CHECK (last_used_at GLOB '????-??-??T??:??:??.???Z'),
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);

-- A chain: each hash covers the row before it. Rows are never changed; retention cuts from the old end.
CREATE TABLE audit_log (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (at GLOB '????-??-??T??:??:??.???Z'),
    actor_id    TEXT,
    actor_kind  TEXT NOT NULL CHECK (actor_kind IN ('user', 'token', 'system', 'cli')),
    ip          TEXT NOT NULL DEFAULT '',
    action      TEXT NOT NULL,
    object_type TEXT NOT NULL DEFAULT '',
    object_id   TEXT NOT NULL DEFAULT '',
    detail      TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(detail)),
    request_id  TEXT NOT NULL DEFAULT '',
    prev_hash   TEXT NOT NULL DEFAULT '',
    hash        TEXT NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_at ON audit_log (at, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_object ON audit_log (object_type, object_id, id);
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;

-- Data keys, each wrapped by a master key that is never in this file.
CREATE TABLE vault_keys (
    id         TEXT PRIMARY KEY NOT NULL,
    kek_id     TEXT NOT NULL,
    wrapped    TEXT NOT NULL,
    state      TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retired')),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE UNIQUE INDEX vault_keys_active ON vault_keys (state) WHERE state = 'active';

-- The canary that tells whether a key ring opens this file.
CREATE TABLE vault_meta (
    key        TEXT PRIMARY KEY NOT NULL,
    value      TEXT NOT NULL,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE TRIGGER vault_meta_touch AFTER UPDATE ON vault_meta WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE vault_meta SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE key = NEW.key;
END;

-- The inbox: one line for one person, the same notice only once.
CREATE TABLE notifications (
    id         TEXT PRIMARY KEY NOT NULL,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    level      TEXT NOT NULL DEFAULT 'info' CHECK (level IN ('info', 'good', 'warn', 'error')),
    title      TEXT NOT NULL,
    params     TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(params)),
    link       TEXT NOT NULL DEFAULT '',
    dedupe     TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    read_at    TEXT CHECK (read_at GLOB '????-??-??T??:??:??.???Z'),
    UNIQUE (user_id, kind, dedupe)
);
CREATE INDEX notifications_list ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;

-- Where notices go besides the inbox; without an owner: the admins. url is sealed by the vault.
CREATE TABLE notification_targets (
    id         TEXT PRIMARY KEY NOT NULL,
    owner_id   TEXT REFERENCES users (id) ON DELETE CASCADE,
    url        TEXT NOT NULL,
    scheme     TEXT NOT NULL,
    kinds      TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(kinds)),
    quiet_from TEXT CHECK (quiet_from GLOB '[0-2][0-9]:[0-5][0-9]'),
    quiet_to   TEXT CHECK (quiet_to GLOB '[0-2][0-9]:[0-5][0-9]'),
    last_ok_at TEXT CHECK (last_ok_at GLOB '????-??-??T??:??:??.???Z'),
    last_error TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
);
CREATE INDEX notification_targets_owner ON notification_targets (owner_id) WHERE owner_id IS NOT NULL;
