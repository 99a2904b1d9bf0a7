"""What the ticket jobs are told."""

from typing import ClassVar

from jobs.payload import Payload

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
        return "Download semester ticket"
