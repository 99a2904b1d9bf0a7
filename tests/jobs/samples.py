"""Payloads and small handlers the queue's tests share; also run by the child processes."""

from typing import ClassVar

from jobs.payload import OnDup, Payload


class Note(Payload, kw_only=True):
    """A job that does next to nothing."""

    TYPE: ClassVar[str] = "samples.note"
    text: str = ""


class Slow(Payload, kw_only=True):
    """A job that takes as long as the test wants."""

    TYPE: ClassVar[str] = "samples.slow"
    MAX_ATTEMPTS: ClassVar[int] = 5
    text: str = ""


class Scan(Payload, kw_only=True):
    """One at a time per library."""

    TYPE: ClassVar[str] = "samples.scan"
    ON_DUP: ClassVar[OnDup] = "skip"
    library: str = "main"
    depth: int = 1

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.library}"

    def serial_key(self) -> str:
        return f"library:{self.library}"


class Aged(Payload, kw_only=True):
    """Its second version: `name` was `title` in the first."""

    TYPE: ClassVar[str] = "samples.aged"
    VERSION: ClassVar[int] = 2
    name: str

    @classmethod
    def upgrade(cls, version: int, fields: dict[str, object]) -> dict[str, object]:
        return {"name": fields["title"]} if version == 1 else super().upgrade(version, fields)
