"""The five errors a person can meet.

Services raise them, the web face and the queue read `status` and `retry`.
"""

from typing import ClassVar


class AppError(Exception):
    """What went wrong in words that may be shown. `retry` says whether trying again can help."""

    status: ClassVar[int] = 500
    retry: bool = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class NotFound(AppError):
    """No such thing, or not yours: the two look the same from outside."""

    status = 404


class Invalid(AppError):
    """Input that cannot be taken. `fields` maps each field to its sentence."""

    status = 422

    def __init__(self, **fields: str) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in fields.items()))
        self.fields = fields


class Conflict(AppError):
    """The thing is not in a state that allows this now."""

    status = 409


class Denied(AppError):
    """Known, but not allowed. For admin areas only; rows of others are `NotFound`."""

    status = 403


class Upstream(AppError):
    """A service outside failed. Clients turn every fault of theirs into this one."""

    status = 502

    def __init__(self, message: str, *, retry: bool = True, code: str = "") -> None:
        super().__init__(message)
        self.retry = retry
        self.code = code
