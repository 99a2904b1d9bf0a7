"""What the account jobs are told."""

from typing import ClassVar

from app.core.i18n import mark
from jobs.payload import Payload


class Sweep(Payload, frozen=True, kw_only=True):
    """Delete sessions and throttle counts that are over."""

    TYPE: ClassVar[str] = "accounts.sweep"
    MAX_ATTEMPTS: ClassVar[int] = 5

    def dedupe_key(self) -> str:
        """One is enough."""
        return self.TYPE

    def label(self) -> str:
        """What people read in lists."""
        return mark("Sweep ended sessions")


class Export(Payload, frozen=True, kw_only=True):
    """Put everything of one person into an archive that they may fetch for a day."""

    TYPE: ClassVar[str] = "accounts.export"
    TIMEOUT_S: ClassVar[float] = 600
    user_id: str

    def dedupe_key(self) -> str:
        """One archive of a person at a time."""
        return f"{self.TYPE}:{self.user_id}"

    def subject(self) -> tuple[str, str]:
        """The person."""
        return ("user", self.user_id)

    def label(self) -> str:
        """What people read in lists."""
        return mark("Collect my data")


class Reencrypt(Payload, frozen=True, kw_only=True):
    """Seal every secret anew that is still under an older data key."""

    TYPE: ClassVar[str] = "accounts.vault_reencrypt"
    MAX_ATTEMPTS: ClassVar[int] = 20
    TIMEOUT_S: ClassVar[float] = 6 * 3600

    def dedupe_key(self) -> str:
        """One is enough: it looks for all of them."""
        return self.TYPE

    def label(self) -> str:
        """What people read in lists."""
        return mark("Seal all secrets with the new key")
