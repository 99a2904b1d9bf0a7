-- Campaigns: contacts, what they agreed to, what was sent to them and what came back.

-- An import and how far it came: it goes on from its checkpoint.
CREATE TABLE contact_imports (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    filename          TEXT NOT NULL,
    path              TEXT NOT NULL,
    size              INTEGER NOT NULL CHECK (size >= 0),
    sha256            TEXT CHECK (length(sha256) = 64),
    format            TEXT,
    encoding          TEXT,
    delimiter         TEXT,
    mapping           TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(mapping)),
    options           TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(options)),
    status            TEXT NOT NULL DEFAULT 'uploaded' CHECK (status IN (
        'uploaded', 'mapped', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    bytes_total       INTEGER NOT NULL DEFAULT 0,
    bytes_done        INTEGER NOT NULL DEFAULT 0,
    rows_done         INTEGER NOT NULL DEFAULT 0,
    rows_new          INTEGER NOT NULL DEFAULT 0,
    rows_updated      INTEGER NOT NULL DEFAULT 0,
    rows_same         INTEGER NOT NULL DEFAULT 0,
    rows_duplicate    INTEGER NOT NULL DEFAULT 0,
    rows_invalid      INTEGER NOT NULL DEFAULT 0,
    rows_optout       INTEGER NOT NULL DEFAULT 0,
    vehicles_new      INTEGER NOT NULL DEFAULT 0,
    checkpoint_row    INTEGER NOT NULL DEFAULT 0,
    checkpoint_offset INTEGER NOT NULL DEFAULT 0,
    error_path        TEXT,
    consent_source    TEXT,
    created_by        TEXT REFERENCES users (id) ON DELETE SET NULL,
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    started_at        TEXT CHECK (started_at GLOB '????-??-??T??:??:??.???Z'),
    completed_at      TEXT CHECK (completed_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX contact_imports_creator ON contact_imports (created_by) WHERE created_by IS NOT NULL;
CREATE TRIGGER contact_imports_touch AFTER UPDATE ON contact_imports WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE contact_imports SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- phone: E.164, `wa:` for a person without a visible number, `erased:` for one who was forgotten. An
-- imported number that cannot be repaired stays as it is with status invalid.
CREATE TABLE contacts (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    phone                TEXT NOT NULL UNIQUE,
    name                 TEXT,
    status               TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'opted_out', 'invalid')),
    created_at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    wa_user_id           TEXT UNIQUE,
    wa_username          TEXT,
    profile_name         TEXT,
    language             TEXT,
    attributes           TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(attributes)),
    consent_status       TEXT NOT NULL DEFAULT 'unknown' CHECK (consent_status IN ('unknown', 'opted_in', 'revoked')),
    consent_at           TEXT CHECK (consent_at GLOB '????-??-??T??:??:??.???Z'),
    consent_source       TEXT,
    last_inbound_at      TEXT CHECK (last_inbound_at GLOB '????-??-??T??:??:??.???Z'),
    last_outbound_at     TEXT CHECK (last_outbound_at GLOB '????-??-??T??:??:??.???Z'),
    invalid_reason       TEXT,
    bad_count            INTEGER NOT NULL DEFAULT 0 CHECK (bad_count >= 0),
    marketing_hold_until TEXT CHECK (marketing_hold_until GLOB '????-??-??T??:??:??.???Z'),
    import_id            INTEGER REFERENCES contact_imports (id) ON DELETE SET NULL,
    CHECK (status <> 'active' OR phone GLOB 'wa:?*' OR (
        phone GLOB '+[1-9]*' AND substr(phone, 2) NOT GLOB '*[^0-9]*' AND length(phone) BETWEEN 8 AND 16))
);
CREATE INDEX idx_contacts_status ON contacts (status);
CREATE INDEX idx_contacts_created_at ON contacts (created_at);
CREATE INDEX contacts_name ON contacts (name COLLATE NOCASE);
CREATE INDEX contacts_inbound ON contacts (last_inbound_at) WHERE last_inbound_at IS NOT NULL;
CREATE INDEX contacts_import ON contacts (import_id) WHERE import_id IS NOT NULL;
CREATE TRIGGER trg_contacts_updated_at AFTER UPDATE ON contacts WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE contacts SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Vehicles of a contact.
CREATE TABLE vehicles (
    id           INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    contact_id   INTEGER NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    make         TEXT NOT NULL,
    model        TEXT NOT NULL,
    year         INTEGER NOT NULL CHECK (year BETWEEN 1900 AND 2100),
    price        REAL CHECK (price >= 0),
    link         TEXT,
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    external_key TEXT
);
CREATE INDEX idx_vehicles_contact_id ON vehicles (contact_id);
CREATE INDEX idx_vehicles_make ON vehicles (make);
CREATE INDEX idx_vehicles_year ON vehicles (year);
-- importing one file twice must not double the vehicles
CREATE UNIQUE INDEX vehicles_same ON vehicles (contact_id, lower(make), lower(model), year, coalesce(link, ''));
CREATE TRIGGER trg_vehicles_updated_at AFTER UPDATE ON vehicles WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE vehicles SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- No foreign key on purpose: deleting a contact must not delete the refusal.
CREATE TABLE opt_outs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    phone        TEXT NOT NULL UNIQUE,
    opted_out_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (opted_out_at GLOB '????-??-??T??:??:??.???Z'),
    reason       TEXT,
    source       TEXT CHECK (source IN ('keyword', 'twilio', 'blocked', 'manual', 'import', 'link')),
    keyword      TEXT,
    message_sid  TEXT,
    campaign_id  INTEGER,
    wa_user_id   TEXT,
    created_by   TEXT
);
CREATE INDEX opt_outs_wa_user ON opt_outs (wa_user_id) WHERE wa_user_id IS NOT NULL;

-- Templates as the provider holds them.
CREATE TABLE message_templates (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    name             TEXT NOT NULL,
    body             TEXT NOT NULL DEFAULT '',
    content_sid      TEXT UNIQUE,
    language         TEXT,
    category         TEXT CHECK (category IN ('marketing', 'utility', 'authentication', 'service')),
    content_type     TEXT,
    types            TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(types)),
    variables        TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(variables)),
    approval_status  TEXT NOT NULL DEFAULT 'unsubmitted' CHECK (approval_status IN (
        'unsubmitted', 'received', 'pending', 'approved', 'rejected', 'paused', 'disabled')),
    rejection_reason TEXT,
    is_active        INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    synced_at        TEXT CHECK (synced_at GLOB '????-??-??T??:??:??.???Z'),
    created_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE TRIGGER message_templates_touch AFTER UPDATE ON message_templates WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE message_templates SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- Hot counters stand in campaign_counts: the trigger makes each UPDATE here two writes.
CREATE TABLE campaigns (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name               TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    status             TEXT NOT NULL DEFAULT 'draft' CHECK (status IN (
        'draft', 'scheduled', 'sending', 'paused', 'completed', 'failed', 'cancelled')),
    message_template   TEXT,
    started_at         TEXT CHECK (started_at GLOB '????-??-??T??:??:??.???Z'),
    completed_at       TEXT CHECK (completed_at GLOB '????-??-??T??:??:??.???Z'),
    total_recipients   INTEGER DEFAULT 0,
    sent_count         INTEGER DEFAULT 0,
    created_at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    type               TEXT NOT NULL DEFAULT 'twilio_template' CHECK (type IN ('twilio_template', 'custom_message')),
    scheduled_at       TEXT CHECK (scheduled_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    content_sid        TEXT CHECK (content_sid GLOB 'HX*' AND length(content_sid) = 34
        AND substr(content_sid, 3) NOT GLOB '*[^0-9a-fA-F]*'),
    filters            TEXT CHECK (json_valid(filters)),
    paused_at          TEXT CHECK (paused_at GLOB '????-??-??T??:??:??.???Z'),
    failed_at          TEXT CHECK (failed_at GLOB '????-??-??T??:??:??.???Z'),
    error_message      TEXT,
    template_id        INTEGER REFERENCES message_templates (id) ON DELETE SET NULL,
    variables          TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(variables)),
    category           TEXT CHECK (category IN ('marketing', 'utility', 'authentication', 'service')),
    timezone           TEXT,
    quiet_start        TEXT CHECK (quiet_start GLOB '[0-2][0-9]:[0-5][0-9]'),
    quiet_end          TEXT CHECK (quiet_end GLOB '[0-2][0-9]:[0-5][0-9]'),
    mps                REAL CHECK (mps > 0),
    hold_reason        TEXT CHECK (hold_reason IN (
        'quiet_hours', 'daily_cap', 'rate_limited', 'account', 'template', 'failure_rate', 'optout_rate',
        'late_start', 'job_failed', 'user')),
    resume_at          TEXT CHECK (resume_at GLOB '????-??-??T??:??:??.???Z'),
    prepared_at        TEXT CHECK (prepared_at GLOB '????-??-??T??:??:??.???Z'),
    cancelled_at       TEXT CHECK (cancelled_at GLOB '????-??-??T??:??:??.???Z'),
    cursor_contact_id  INTEGER,
    breaker_window     TEXT CHECK (json_valid(breaker_window)),
    parent_campaign_id INTEGER REFERENCES campaigns (id) ON DELETE SET NULL,
    created_by         TEXT REFERENCES users (id) ON DELETE SET NULL,
    started_by         TEXT REFERENCES users (id) ON DELETE SET NULL,
    lock_version       INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX idx_campaigns_status ON campaigns (status);
CREATE INDEX idx_campaigns_created_at ON campaigns (created_at);
CREATE INDEX idx_campaigns_type ON campaigns (type);
CREATE INDEX idx_campaigns_scheduled_at ON campaigns (scheduled_at);
CREATE INDEX campaigns_template ON campaigns (template_id) WHERE template_id IS NOT NULL;
CREATE INDEX campaigns_parent ON campaigns (parent_campaign_id) WHERE parent_campaign_id IS NOT NULL;
CREATE INDEX campaigns_creator ON campaigns (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX campaigns_starter ON campaigns (started_by) WHERE started_by IS NOT NULL;
CREATE TRIGGER trg_campaigns_updated_at AFTER UPDATE ON campaigns WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE campaigns SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;

-- One person in one campaign, and what became of the message.
CREATE TABLE campaign_recipients (
    id              INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    campaign_id     INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    contact_id      INTEGER NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    phone           TEXT NOT NULL,
    status          TEXT NOT NULL DEFAULT 'pending' CHECK (status IN (
        'pending', 'sending', 'unconfirmed', 'queued', 'sent', 'delivered', 'read', 'failed', 'cancelled',
        'skipped', 'skipped_optout', 'skipped_invalid', 'skipped_consent', 'skipped_window',
        'skipped_region', 'skipped_cap', 'skipped_variable', 'skipped_duplicate')),
    message_sid     TEXT,
    sent_at         TEXT CHECK (sent_at GLOB '????-??-??T??:??:??.???Z'),
    error_message   TEXT,
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    send_token      TEXT UNIQUE CHECK (length(send_token) = 22),
    attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    claimed_by      TEXT,
    claimed_at      TEXT CHECK (claimed_at GLOB '????-??-??T??:??:??.???Z'),
    next_attempt_at TEXT CHECK (next_attempt_at GLOB '????-??-??T??:??:??.???Z'),
    delivered_at    TEXT CHECK (delivered_at GLOB '????-??-??T??:??:??.???Z'),
    read_at         TEXT CHECK (read_at GLOB '????-??-??T??:??:??.???Z'),
    failed_at       TEXT CHECK (failed_at GLOB '????-??-??T??:??:??.???Z'),
    replied_at      TEXT CHECK (replied_at GLOB '????-??-??T??:??:??.???Z'),
    updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    error_code      INTEGER,
    variables       TEXT CHECK (json_valid(variables)),
    variant         TEXT,
    UNIQUE (campaign_id, contact_id),
    UNIQUE (campaign_id, phone)
);
CREATE INDEX idx_campaign_recipients_campaign_id ON campaign_recipients (campaign_id);
CREATE INDEX idx_campaign_recipients_contact_id ON campaign_recipients (contact_id);
CREATE INDEX idx_campaign_recipients_status ON campaign_recipients (status);
CREATE INDEX campaign_recipients_work ON campaign_recipients (campaign_id, status, id);
CREATE UNIQUE INDEX campaign_recipients_sid ON campaign_recipients (message_sid) WHERE message_sid IS NOT NULL;

-- Every message in and out.
CREATE TABLE messages (
    id                INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    direction         TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    contact_id        INTEGER REFERENCES contacts (id) ON DELETE SET NULL,
    campaign_id       INTEGER REFERENCES campaigns (id) ON DELETE SET NULL,
    phone             TEXT NOT NULL,
    body              TEXT,
    message_sid       TEXT UNIQUE,
    status            TEXT,
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z'),
    recipient_id      INTEGER REFERENCES campaign_recipients (id) ON DELETE SET NULL,
    kind              TEXT CHECK (kind IN ('campaign', 'test', 'reply', 'auto_reply', 'inbound')),
    content_sid       TEXT,
    content_variables TEXT CHECK (json_valid(content_variables)),
    error_code        INTEGER,
    error_message     TEXT,
    num_media         INTEGER NOT NULL DEFAULT 0 CHECK (num_media >= 0),
    media             TEXT CHECK (json_valid(media)),
    auto_reply        TEXT,
    optout_action     TEXT NOT NULL DEFAULT 'none'
        CHECK (optout_action IN ('none', 'stop', 'start', 'help', 'suspect')),
    sent_by           TEXT REFERENCES users (id) ON DELETE SET NULL,
    updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (updated_at GLOB '????-??-??T??:??:??.???Z'),
    read_by_us_at     TEXT CHECK (read_by_us_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX idx_messages_direction ON messages (direction);
CREATE INDEX idx_messages_contact_id ON messages (contact_id);
CREATE INDEX idx_messages_campaign_id ON messages (campaign_id);
CREATE INDEX idx_messages_created_at ON messages (created_at);
CREATE INDEX messages_conversation ON messages (phone, id);
CREATE INDEX messages_contact ON messages (contact_id, id);
CREATE INDEX messages_recipient ON messages (recipient_id) WHERE recipient_id IS NOT NULL;
CREATE INDEX messages_sender ON messages (sent_by) WHERE sent_by IS NOT NULL;

-- Search by words over the messages, kept in step by triggers.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    body, content = 'messages', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER messages_fts_insert AFTER INSERT ON messages
BEGIN
    INSERT INTO messages_fts (rowid, body) VALUES (NEW.id, NEW.body);
END;
CREATE TRIGGER messages_fts_delete AFTER DELETE ON messages
BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, body) VALUES ('delete', OLD.id, OLD.body);
END;
CREATE TRIGGER messages_fts_update AFTER UPDATE OF body ON messages
BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, body) VALUES ('delete', OLD.id, OLD.body);
    INSERT INTO messages_fts (rowid, body) VALUES (NEW.id, NEW.body);
END;

-- Saved filters.
CREATE TABLE segments (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT NOT NULL COLLATE NOCASE UNIQUE,
    filters         TEXT NOT NULL CHECK (json_valid(filters)),
    last_count      INTEGER,
    last_counted_at TEXT CHECK (last_counted_at GLOB '????-??-??T??:??:??.???Z'),
    created_by      TEXT REFERENCES users (id) ON DELETE SET NULL,
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX segments_creator ON segments (created_by) WHERE created_by IS NOT NULL;

-- The proof of what a person agreed to: append-only, except that a person can be forgotten.
CREATE TABLE consent_events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    phone       TEXT NOT NULL,
    contact_id  INTEGER,
    event       TEXT NOT NULL CHECK (event IN ('opt_in', 'opt_out', 'resubscribe', 'revoke', 'erase')),
    source      TEXT,
    detail      TEXT,
    message_sid TEXT,
    import_id   INTEGER,
    user_id     TEXT,
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (created_at GLOB '????-??-??T??:??:??.???Z')
);
CREATE INDEX consent_events_phone ON consent_events (phone, id);
CREATE TRIGGER consent_events_no_delete BEFORE DELETE ON consent_events
BEGIN
    SELECT RAISE(ABORT, 'consent_events is append-only');
END;
CREATE TRIGGER consent_events_no_update BEFORE UPDATE ON consent_events
WHEN NOT (
    NEW.phone GLOB 'erased:?*' AND NEW.contact_id IS NULL AND NEW.detail IS NULL
    AND NEW.id = OLD.id AND NEW.event = OLD.event AND NEW.source IS OLD.source
    AND NEW.message_sid IS OLD.message_sid AND NEW.import_id IS OLD.import_id
    AND NEW.user_id IS OLD.user_id AND NEW.created_at = OLD.created_at)
BEGIN
    SELECT RAISE(ABORT, 'consent_events is append-only');
END;

-- Raw callbacks: doubles fall out, early ones wait for their row.
CREATE TABLE message_events (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    message_sid     TEXT NOT NULL,
    status          TEXT NOT NULL,
    error_code      INTEGER,
    channel_message TEXT,
    received_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        CHECK (received_at GLOB '????-??-??T??:??:??.???Z'),
    applied         INTEGER NOT NULL DEFAULT 0 CHECK (applied IN (0, 1))
);
-- an expression, because a plain unique index lets callbacks without a code repeat
CREATE UNIQUE INDEX message_events_once ON message_events (message_sid, status, coalesce(error_code, 0));
CREATE INDEX message_events_waiting ON message_events (received_at) WHERE applied = 0;

-- Live counters, changed in the same transaction as the recipient.
CREATE TABLE campaign_counts (
    campaign_id INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    status      TEXT NOT NULL,
    n           INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, status)
) WITHOUT ROWID;

-- Counts per minute, so that charts never scan recipients.
CREATE TABLE campaign_series (
    campaign_id INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    minute      TEXT NOT NULL CHECK (minute GLOB '????-??-??T??:??:??.???Z'),
    queued      INTEGER NOT NULL DEFAULT 0,
    sent        INTEGER NOT NULL DEFAULT 0,
    delivered   INTEGER NOT NULL DEFAULT 0,
    read        INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    replies     INTEGER NOT NULL DEFAULT 0,
    optouts     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, minute)
) WITHOUT ROWID;

-- The numbers we send from.
CREATE TABLE wa_senders (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    address               TEXT NOT NULL UNIQUE CHECK (address GLOB 'whatsapp:+[1-9]*'),
    messaging_service_sid TEXT,
    sender_sid            TEXT,
    label                 TEXT,
    mps                   REAL NOT NULL DEFAULT 80 CHECK (mps > 0),
    mps_now               REAL CHECK (mps_now > 0),
    daily_cap             INTEGER CHECK (daily_cap >= 0),
    quality_rating        TEXT,
    messaging_limit       TEXT,
    status                TEXT,
    synced_at             TEXT CHECK (synced_at GLOB '????-??-??T??:??:??.???Z'),
    is_default            INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1))
);
CREATE UNIQUE INDEX wa_senders_default ON wa_senders (is_default) WHERE is_default = 1;
