"""What the ticket jobs are told."""

from typing import ClassVar

from app.core.i18n import mark
from jobs.payload import OnDup, Payload

PORTAL = "nvv"


class Download(Payload, frozen=True, kw_only=True):
    """Log in as one student, fetch the ticket, store it if it is new."""

    TYPE: ClassVar[str] = "tickets.download"
    PRIORITY: ClassVar[int] = 30
    MAX_ATTEMPTS: ClassVar[int] = 5
    TIMEOUT_S: ClassVar[float] = 180
    user_id: str
    revision: int
    trigger: str = "auto"

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.user_id}"

    def serial_key(self) -> str:
        return f"{PORTAL}:{self.user_id}"

    def rate_key(self) -> str:
        return PORTAL

    def subject(self) -> tuple[str, str]:
        return ("user", self.user_id)

    def label(self) -> str:
        return mark("Download semester ticket")


class VerifyLogin(Payload, frozen=True, kw_only=True):
    """Log in as one student and look no further. `again`: although the login is blocked."""

    TYPE: ClassVar[str] = "tickets.verify_login"
    PRIORITY: ClassVar[int] = 90
    MAX_ATTEMPTS: ClassVar[int] = 1
    TIMEOUT_S: ClassVar[float] = 180
    user_id: str
    revision: int
    again: bool = False

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.user_id}"

    def serial_key(self) -> str:
        return f"{PORTAL}:{self.user_id}"

    def rate_key(self) -> str:
        return PORTAL

    def subject(self) -> tuple[str, str]:
        return ("user", self.user_id)

    def label(self) -> str:
        return mark("Check university login")


class CheckBase(Payload, frozen=True, kw_only=True):
    """Fetch the base ticket with the login an admin gave; a change starts a fan-out."""

    TYPE: ClassVar[str] = "tickets.check_base"
    PRIORITY: ClassVar[int] = 40
    MAX_ATTEMPTS: ClassVar[int] = 4
    TIMEOUT_S: ClassVar[float] = 180
    trigger: str = "auto"

    def dedupe_key(self) -> str:
        return self.TYPE

    def serial_key(self) -> str:
        return f"{PORTAL}:base"

    def rate_key(self) -> str:
        return PORTAL

    def label(self) -> str:
        return mark("Check base ticket")


class FanOut(Payload, frozen=True, kw_only=True):
    """Queue a download for everybody who opted in."""

    TYPE: ClassVar[str] = "tickets.fan_out"
    PRIORITY: ClassVar[int] = 50
    MAX_ATTEMPTS: ClassVar[int] = 4
    reason: str
    hash: str = ""

    def dedupe_key(self) -> str:
        return self.TYPE

    def label(self) -> str:
        return mark("Queue everybody's ticket")


class Calendar(Payload, frozen=True, kw_only=True):
    """Queue those whose ticket ends soon or was not fetched for long."""

    TYPE: ClassVar[str] = "tickets.calendar"
    PRIORITY: ClassVar[int] = 20

    def dedupe_key(self) -> str:
        return self.TYPE

    def label(self) -> str:
        return mark("Queue tickets by the calendar")


class ExpiryScan(Payload, frozen=True, kw_only=True):
    """Tell people whose ticket ends soon."""

    TYPE: ClassVar[str] = "tickets.expiry_scan"
    PRIORITY: ClassVar[int] = 10

    def dedupe_key(self) -> str:
        return self.TYPE

    def label(self) -> str:
        return mark("Look for tickets that end soon")


class PushCopy(Payload, frozen=True, kw_only=True):
    """Put a copy of a ticket where its owner wants it."""

    TYPE: ClassVar[str] = "tickets.push_copy"
    PRIORITY: ClassVar[int] = 20
    MAX_ATTEMPTS: ClassVar[int] = 5
    ON_DUP: ClassVar[OnDup] = "rerun"
    user_id: str
    ticket_id: int

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.user_id}"

    def subject(self) -> tuple[str, str]:
        return ("user", self.user_id)

    def label(self) -> str:
        return mark("Copy ticket to own cloud")


class Prune(Payload, frozen=True, kw_only=True):
    """Remove what nobody keeps: orphan folders, files of closed accounts, old history."""

    TYPE: ClassVar[str] = "tickets.prune"
    PRIORITY: ClassVar[int] = 5
    MAX_ATTEMPTS: ClassVar[int] = 1
    TIMEOUT_S: ClassVar[float] = 600

    def dedupe_key(self) -> str:
        return self.TYPE

    def label(self) -> str:
        return mark("Tidy up tickets")
