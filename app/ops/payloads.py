"""What the operations' jobs are told."""

from typing import ClassVar

from app.core.i18n import mark
from jobs.payload import Payload


class Prune(Payload, frozen=True, kw_only=True):
    """Delete jobs and what belongs to them once they are past their time."""

    TYPE: ClassVar[str] = "ops.queue_prune"
    PRIORITY: ClassVar[int] = 5

    def dedupe_key(self) -> str:
        return self.TYPE

    def serial_key(self) -> str:
        return "upkeep"

    def label(self) -> str:
        return mark("Tidy the queue")


class FoldStats(Payload, frozen=True, kw_only=True):
    """Turn figures by minute into figures by hour after a week."""

    TYPE: ClassVar[str] = "ops.stats_fold"
    PRIORITY: ClassVar[int] = 5

    def dedupe_key(self) -> str:
        return self.TYPE

    def serial_key(self) -> str:
        return "upkeep"

    def label(self) -> str:
        return mark("Fold the queue's figures")


class BulkAction(Payload, frozen=True, kw_only=True):
    """Do one thing to all jobs that matched a filter when the button was pressed."""

    TYPE: ClassVar[str] = "ops.bulk_action"
    PRIORITY: ClassVar[int] = 60
    TIMEOUT_S: ClassVar[float] = 3600
    action: str
    state: str
    q: str
    newest: str
    actor: str

    def label(self) -> str:
        return mark("Act on many jobs")


class Notify(Payload, frozen=True, kw_only=True):
    """Carry a notice to one target; `held`: with everything that came since, as one message."""

    TYPE: ClassVar[str] = "ops.notify"
    PRIORITY: ClassVar[int] = 70
    MAX_ATTEMPTS: ClassVar[int] = 6
    notice_id: str
    target_id: str
    held: bool = False

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.target_id}:{'held' if self.held else self.notice_id}"

    def rate_key(self) -> str:
        return f"notify:{self.target_id}"

    def subject(self) -> tuple[str, str]:
        return ("target", self.target_id)

    def label(self) -> str:
        return mark("Send a notice")
