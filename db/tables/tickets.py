"""Semester tickets: portal logins, browser profiles, versions, every attempt, the base ticket."""

from enum import StrEnum

from piccolo.columns import Integer, Real, Serial, Text
from piccolo.table import Table

from db import clock
from db.engine import DB
from db.keys import uuid7


class LoginStatus(StrEnum):
    """How the portal answered a login."""

    OK = "ok"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a state
    LOCKED = "locked"
    PASSWORD_EXPIRED = "password_expired"  # noqa: S105 - a state
    MFA_REQUIRED = "mfa_required"
    CONSENT_REQUIRED = "consent_required"
    TERMS_REQUIRED = "terms_required"
    CAPTCHA = "captcha"
    UNREACHABLE = "unreachable"


class TicketStatus(StrEnum):
    """A usable ticket, or a document kept for inspection."""

    SUCCESS = "success"
    ERROR = "error"


class ValidationStatus(StrEnum):
    """What the checks said of a document."""

    VALID = "valid"
    PARTIAL = "partial"
    REJECTED = "rejected"


class DownloadStatus(StrEnum):
    """How an attempt ended."""

    SUCCESS = "success"
    DUPLICATE = "duplicate"
    ERROR = "error"
    SKIPPED = "skipped"


class Trigger(StrEnum):
    """What asked for a run."""

    MANUAL = "manual"
    AUTO = "auto"
    BASE = "base"
    ADMIN = "admin"
    VERIFY = "verify"
    IMPORT = "import"


class UserCredential(Table, tablename="user_credentials", db=DB):
    """The portal login of one person, and how its last use went."""

    user_id = Text(primary_key=True)
    uk_number = Text(help_text="shown masked")
    uk_password_encrypted = Text(secret=True, help_text="sealed by the vault")
    last_login_status = Text(null=True, default=None, choices=LoginStatus)
    last_login_error = Text(null=True, default=None)
    last_login_at = Text(
        null=True, default=None, help_text="the last success; a failure never clears it"
    )
    created_at = Text(default=clock.text)
    updated_at = Text(default=clock.text)
    last_attempt_at = Text(null=True, default=None)
    failure_streak = Integer()
    blocked_at = Text(null=True, default=None)
    block_reason = Text(null=True, default=None)
    posts_since_ok = Integer()
    posts_window_start = Text(null=True, default=None)
    revision = Integer(
        default=1,
        help_text="+1 on each save: a run with an old password must not overwrite the new state",
    )


class DeviceProfile(Table, tablename="device_profiles", db=DB):
    """A browser profile of somebody."""

    id = Text(primary_key=True, default=uuid7)
    user_id = Text()
    name = Text()
    user_agent = Text()
    viewport_width = Integer()
    viewport_height = Integer()
    locale = Text(default="de-DE")
    timezone = Text(default="Europe/Berlin")
    proxy_url = Text(null=True, default=None)
    geolocation_latitude = Real(null=True, default=None)
    geolocation_longitude = Real(null=True, default=None)
    created_at = Text(default=clock.text)
    updated_at = Text(default=clock.text)
    proxy_auth_encrypted = Text(
        null=True, default=None, secret=True, help_text="sealed by the vault"
    )
    is_mobile = Integer()
    has_touch = Integer()
    device_scale_factor = Real(default=1)


class Ticket(Table, tablename="tickets", db=DB):
    """One version of one user's ticket; `(user_id, ticket_version)` is unique."""

    id: Serial
    user_id = Text()
    ticket_version = Text(help_text="SHA-256 of the canonical text, hex")
    content_hash = Text(help_text="SHA-256 of the stored bytes, hex")
    file_path = Text(help_text="relative to the data folder")
    status = Text(choices=TicketStatus)
    error_message = Text(null=True, default=None)
    validation_status = Text(null=True, default=None, choices=ValidationStatus)
    downloaded_at = Text(default=clock.text)
    created_at = Text(default=clock.text)
    valid_from = Text(null=True, default=None)
    valid_to = Text(null=True, default=None)
    holder_name = Text(null=True, default=None)
    ticket_number = Text(null=True, default=None)
    product = Text(null=True, default=None)
    validation_json = Text(null=True, default=None)
    barcode_format = Text(null=True, default=None)
    barcode_hash = Text(null=True, default=None)
    driver = Text(null=True, default=None)
    size_bytes = Integer(null=True, default=None)
    has_pdf = Integer()


class TicketDownload(Table, tablename="ticket_download_history", db=DB):
    """One attempt. Append-only."""

    id: Serial
    user_id = Text(null=True, default=None)
    device_profile = Text(null=True, default=None)
    ticket_version = Text(null=True, default=None)
    status = Text(choices=DownloadStatus)
    message = Text(null=True, default=None)
    error_message = Text(null=True, default=None)
    file_path = Text(null=True, default=None)
    downloaded_at = Text(default=clock.text)
    outcome = Text(null=True, default=None)
    job_id = Text(null=True, default=None, help_text="no foreign key: jobs are pruned earlier")
    ticket_id = Integer(null=True, default=None)
    driver = Text(null=True, default=None)
    trigger = Text(null=True, default=None, choices=Trigger)
    duration_ms = Integer(null=True, default=None)
    steps_json = Text(null=True, default=None, help_text="no bodies, no query strings, no cookies")


class BaseTicketState(Table, tablename="base_ticket_state", db=DB):
    """The single row: which base ticket the portal showed last."""

    id = Integer(primary_key=True)
    base_ticket_hash = Text(null=True, default=None)
    effective_from = Text(null=True, default=None, help_text="when the present hash was first seen")
    last_checked_at = Text(
        null=True, default=None, help_text="the last completed check, good or bad"
    )
    updated_at = Text(default=clock.text)
    last_ok_at = Text(null=True, default=None)
    failure_streak = Integer()
    last_outcome = Text(null=True, default=None)
    base_valid_from = Text(null=True, default=None)
    base_valid_to = Text(null=True, default=None)
    volatile_json = Text(null=True, default=None)
    page_skeleton_hash = Text(null=True, default=None)


TABLES: list[type[Table]] = [
    UserCredential,
    DeviceProfile,
    Ticket,
    TicketDownload,
    BaseTicketState,
]
