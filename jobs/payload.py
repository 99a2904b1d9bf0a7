"""What a job is told: one frozen struct per type, stored as JSON with the version of its shape."""

from datetime import timedelta
from typing import Any, ClassVar, Literal, Self, dataclass_transform

import msgspec

MAX_BYTES = 256 * 1024

OnDup = Literal["skip", "replace", "rerun", "raise"]


class BadPayload(ValueError):
    """The stored text is not a payload of this type: the job can never run."""


class NewerPayload(Exception):
    """Written by a newer version of the program: the row must wait, not fail."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Payload(msgspec.Struct, frozen=True):
    """Base of all payloads. Subclasses say `kw_only=True` and set TYPE.

    Fields are ids and choices: never secrets, never what can be looked up. A field may be added
    with a default; a changed shape raises VERSION and converts in `upgrade`; a changed meaning
    is a new type.
    """

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1
    PRIORITY: ClassVar[int] = 0
    MAX_ATTEMPTS: ClassVar[int] = 3
    TIMEOUT_S: ClassVar[float] = 60
    UNIQUE_FOR: ClassVar[timedelta | None] = None
    ON_DUP: ClassVar[OnDup] = "skip"
    SHARED: ClassVar[bool] = False  # others may wait for it too: who asked first cannot cancel it
    HIDDEN: ClassVar[tuple[str, ...]] = ()  # fields, also of the result, that no page shows

    def dedupe_key(self) -> str | None:
        """At most one live job per key."""
        return None

    def serial_key(self) -> str | None:
        """At most one running job per key."""
        return None

    def rate_key(self) -> str | None:
        """The bucket of `queue_rates` one start is taken from."""
        return None

    def subject(self) -> tuple[str, str] | None:
        """The domain row this is about: (singular noun, key)."""
        return None

    def label(self) -> str | None:
        """What people read in lists."""
        return None

    @classmethod
    def upgrade(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG003
        """Turn the fields of `version` into those of `version + 1`."""
        raise BadPayload(f"{cls.TYPE}: no way from version {version} to {version + 1}")

    def encode(self) -> str:
        """The stored text. Raises ValueError over 256 KiB: store a file and pass its id."""
        text = msgspec.json.encode({"v": self.VERSION, **msgspec.to_builtins(self)})
        if len(text) > MAX_BYTES:
            raise ValueError(f"payload of {self.TYPE} is {len(text)} bytes, over {MAX_BYTES}")
        return text.decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """The payload behind a stored text, upgraded to this version where it is older."""
        try:
            fields = msgspec.json.decode(text, type=dict[str, Any])
            version = int(fields.pop("v", 1))
            if version > cls.VERSION:
                raise NewerPayload(f"{cls.TYPE}: version {version}, known is {cls.VERSION}")
            for old in range(version, cls.VERSION):
                fields = cls.upgrade(old, fields)
            return msgspec.convert(fields, cls)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise BadPayload(str(error)) from error
