"""Accounts and the core: who may sign in, their secrets and settings, audit, notices."""

from enum import StrEnum

from piccolo.columns import Integer, Serial, Text
from piccolo.table import Table

from db import clock
from db.engine import DB
from db.keys import uuid7


class Role(StrEnum):
    """What an account may do."""

    USER = "user"
    ADMIN = "admin"


class Locale(StrEnum):
    """The languages of the pages."""

    EN = "en"
    DE = "de"
    RU = "ru"
    ES = "es"


class Theme(StrEnum):
    """How pages look."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class LibraryScope(StrEnum):
    """Which books recommendations build on."""

    FULL = "full"
    RATED = "rated"


class ActorKind(StrEnum):
    """Who acted."""

    USER = "user"
    TOKEN = "token"  # noqa: S105 - a kind, not a token
    SYSTEM = "system"
    CLI = "cli"


class VaultKeyState(StrEnum):
    """Whether new values are sealed with a data key."""

    ACTIVE = "active"
    RETIRED = "retired"


class Level(StrEnum):
    """How much a notice matters."""

    INFO = "info"
    GOOD = "good"
    WARN = "warn"
    ERROR = "error"


class User(Table, tablename="users", db=DB):
    """One person. A soft-deleted one keeps the history and loses sessions and secrets."""

    id = Text(primary_key=True, default=uuid7)
    login = Text(help_text="unique without case")
    email = Text(null=True, default=None)
    password_hash = Text(
        null=True,
        default=None,
        secret=True,
        help_text="argon2id; NULL = signs in through Plex only",
    )
    role = Text(default=Role.USER, choices=Role)
    flags = Text(
        default="{}",
        help_text="JSON object, one key per domain; `domains` lists what this person may use",
    )
    locale = Text(default=Locale.EN, choices=Locale)
    is_active = Integer(default=1)
    is_setup_admin = Integer()
    invite_token = Text(null=True, default=None)
    invited_by = Text(null=True, default=None)
    device_profile = Text(null=True, default=None)
    output_dir = Text(null=True, default=None)
    auto_download_enabled = Integer()
    plex_id = Text(null=True, default=None)
    plex_home_user_id = Text(null=True, default=None)
    avatar_url = Text(null=True, default=None)
    auth_token = Text(null=True, default=None, secret=True, help_text="sealed by the vault")
    bookdate_library_scope = Text(default=LibraryScope.FULL, choices=LibraryScope)
    bookdate_custom_prompt = Text(null=True, default=None)
    bookdate_onboarding_complete = Integer()
    last_login_at = Text(null=True, default=None)
    created_at = Text(default=clock.text)
    updated_at = Text(default=clock.text)
    deleted_at = Text(null=True, default=None)


class UserSettings(Table, tablename="userSettings", db=DB):
    """What one person chose for all domains."""

    user_id = Text(primary_key=True, db_column_name="userId")
    openrouter_api_key = Text(
        null=True,
        default=None,
        secret=True,
        help_text="sealed by the vault",
        db_column_name="openrouterApiKey",
    )
    default_model = Text(null=True, default=None, db_column_name="defaultModel")
    time_zone = Text(null=True, default=None, db_column_name="timeZone")
    theme = Text(default=Theme.AUTO, choices=Theme)
    shortcuts = Integer(default=1)
    updated_at = Text(default=clock.text, db_column_name="updatedAt")


class Session(Table, tablename="sessions", db=DB):
    """One signed-in browser; only hashes of its tokens."""

    id = Text(primary_key=True, default=uuid7)
    user_id = Text(db_column_name="userId")
    token_hash = Text(secret=True, help_text="SHA-256 hex", db_column_name="tokenHash")
    expires_at = Text(db_column_name="expiresAt")
    created_at = Text(default=clock.text, db_column_name="createdAt")
    last_seen_at = Text(default=clock.text, db_column_name="lastSeenAt")
    rotated_at = Text(null=True, default=None, db_column_name="rotatedAt")
    prev_token_hash = Text(null=True, default=None, secret=True, db_column_name="prevTokenHash")
    prev_valid_until = Text(null=True, default=None, db_column_name="prevValidUntil")
    auth_level = Integer(
        help_text="0 second factor still to come, 1 signed in, 2 with second factor",
        db_column_name="authLevel",
    )
    reauth_at = Text(null=True, default=None, db_column_name="reauthAt")
    ip = Text(null=True, default=None)
    user_agent = Text(null=True, default=None, db_column_name="userAgent")
    remember = Integer()


class InviteToken(Table, tablename="invite_tokens", db=DB):
    """A way in: single use, expiring. The state is derived."""

    token = Text(primary_key=True, help_text="SHA-256 hex of the secret in the link")
    created_by = Text()
    used_by = Text(null=True, default=None)
    expires_at = Text()
    created_at = Text(default=clock.text)
    label = Text(null=True, default=None)
    email = Text(null=True, default=None)
    role = Text(default=Role.USER, choices=Role)
    domains = Text(null=True, default=None, help_text="JSON list, becomes users.flags.domains")
    used_at = Text(null=True, default=None)
    revoked_at = Text(null=True, default=None)


class Credential(Table, tablename="credentials", db=DB):
    """A login for a service outside, one per (owner, service)."""

    id = Text(primary_key=True, default=uuid7)
    owner_id = Text(null=True, default=None, help_text="NULL = the instance's own")
    service = Text()
    label = Text(null=True, default=None)
    login_name = Text(null=True, default=None)
    login_password_encrypted = Text(
        null=True, default=None, secret=True, help_text="sealed by the vault"
    )
    created_at = Text(default=clock.text)
    updated_at = Text(default=clock.text)


class Configuration(Table, tablename="configuration", db=DB):
    """A setting an admin changed."""

    id = Text(primary_key=True, default=uuid7)
    key = Text()
    value = Text(null=True, default=None, help_text="sealed by the vault where encrypted = 1")
    encrypted = Integer()
    category = Text(null=True, default=None)
    description = Text(null=True, default=None)
    created_at = Text(default=clock.text)
    updated_at = Text(default=clock.text)


class AuthThrottle(Table, tablename="auth_throttle", db=DB):
    """Failures counted per key: login and address, address, login."""

    key = Text(primary_key=True)
    kind = Text()
    failures = Integer()
    window_start = Text()
    blocked_until = Text(null=True, default=None)


class TotpSecret(Table, tablename="totp_secrets", db=DB):
    """A second factor by code; unconfirmed until the first good one."""

    user_id = Text(primary_key=True)
    secret = Text(secret=True, help_text="sealed by the vault")
    confirmed_at = Text(null=True, default=None)
    last_used_step = Integer(null=True, default=None)
    created_at = Text(default=clock.text)


class Passkey(Table, tablename="passkeys", db=DB):
    """A second factor by device."""

    id = Text(primary_key=True, default=uuid7)
    user_id = Text()
    credential_id = Text()
    public_key = Text()
    sign_count = Integer()
    transports = Text(default="[]")
    backup_eligible = Integer()
    backed_up = Integer()
    name = Text(default="")
    created_at = Text(default=clock.text)
    last_used_at = Text(null=True, default=None)


class RecoveryCode(Table, tablename="recovery_codes", db=DB):
    """A second factor for once."""

    code_hash = Text(primary_key=True, secret=True)
    user_id = Text()
    used_at = Text(null=True, default=None)
    created_at = Text(default=clock.text)


class ResetLink(Table, tablename="reset_links", db=DB):
    """A way back in that an admin made."""

    token_hash = Text(primary_key=True, secret=True)
    user_id = Text()
    created_by = Text(null=True, default=None)
    expires_at = Text()
    used_at = Text(null=True, default=None)
    created_at = Text(default=clock.text)


class ApiToken(Table, tablename="api_tokens", db=DB):
    """A key for /api/v1; never exceeds its owner."""

    id = Text(primary_key=True, help_text="the eight characters shown in the token")
    user_id = Text()
    secret_hash = Text(secret=True)
    name = Text()
    scopes = Text(default="[]")
    ip_list = Text(default="[]")
    expires_at = Text(null=True, default=None)
    revoked_at = Text(null=True, default=None)
    last_used_at = Text(null=True, default=None)
    created_at = Text(default=clock.text)


class AuditEntry(Table, tablename="audit_log", db=DB):
    """Who did what. Append-only, each row hashed with the one before."""

    id: Serial
    at = Text(default=clock.text)
    actor_id = Text(null=True, default=None)
    actor_kind = Text(choices=ActorKind)
    ip = Text(default="")
    action = Text()
    object_type = Text(default="")
    object_id = Text(default="")
    detail = Text(default="{}")
    request_id = Text(default="")
    prev_hash = Text(default="")
    hash = Text(default="")


class VaultKey(Table, tablename="vault_keys", db=DB):
    """A data key, wrapped by a master key that is never in this file."""

    id = Text(primary_key=True)
    kek_id = Text()
    wrapped = Text(secret=True)
    state = Text(default=VaultKeyState.ACTIVE, choices=VaultKeyState)
    created_at = Text(default=clock.text)


class VaultMeta(Table, tablename="vault_meta", db=DB):
    """The canary that tells whether a key ring opens this file."""

    key = Text(primary_key=True)
    value = Text()
    updated_at = Text(default=clock.text)


class Notification(Table, tablename="notifications", db=DB):
    """One line in the inbox of one person."""

    id = Text(primary_key=True, default=uuid7)
    user_id = Text()
    kind = Text()
    level = Text(default=Level.INFO, choices=Level)
    title = Text(help_text="key of the text; params fill it")
    params = Text(default="{}")
    link = Text(default="")
    dedupe = Text(null=True, default=None, help_text="the same notice only once")
    created_at = Text(default=clock.text)
    read_at = Text(null=True, default=None)


class NotificationTarget(Table, tablename="notification_targets", db=DB):
    """A channel to a person or, without an owner, to the admins."""

    id = Text(primary_key=True, default=uuid7)
    owner_id = Text(null=True, default=None)
    url = Text(secret=True, help_text="sealed by the vault")
    scheme = Text()
    kinds = Text(default="[]")
    quiet_from = Text(null=True, default=None)
    quiet_to = Text(null=True, default=None)
    last_ok_at = Text(null=True, default=None)
    last_error = Text(null=True, default=None)
    created_at = Text(default=clock.text)


TABLES: list[type[Table]] = [
    User,
    UserSettings,
    Session,
    InviteToken,
    Credential,
    Configuration,
    AuthThrottle,
    TotpSecret,
    Passkey,
    RecoveryCode,
    ResetLink,
    ApiToken,
    AuditEntry,
    VaultKey,
    VaultMeta,
    Notification,
    NotificationTarget,
]
