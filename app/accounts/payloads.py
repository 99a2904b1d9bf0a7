"""What the account jobs are told."""

from typing import ClassVar

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
        return "Sweep ended sessions"
