"""How an attempt can end: what a handler may raise, and what any other exception means."""

import msgspec

from jobs.registry import Rate


class Retry(Exception):
    """Try again, after this many seconds if given (a Retry-After header wins over the policy)."""

    def __init__(self, after_s: float | None = None, reason: str = "asked to be retried") -> None:
        super().__init__(reason)
        self.after_s = after_s


class Snooze(Exception):
    """Come back later; this attempt is not counted."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"snoozed for {delay_s:g} s")
        self.delay_s = delay_s


class RateBlocked(Snooze):
    """The service said not to call for a while: this job snoozes and its rate key is closed."""

    def __init__(self, delay_s: float, gate: tuple[str, Rate | None]) -> None:
        super().__init__(delay_s)
        self.gate = gate


class Fail(Exception):
    """Permanent: no retry will help. `code` is what lists group by."""

    def __init__(self, reason: str, code: str = "failed") -> None:
        super().__init__(reason)
        self.code = code


class Cancel(Exception):
    """The work has become pointless; ends as cancelled, not as failed."""


class Cancelled(Cancel):
    """Somebody asked this job to stop. Raised by `ctx.check()`; let it pass."""


class GivenBack(Exception):
    """The worker shuts down; the job goes back to the queue uncounted. Raised by `ctx.check()`."""


class TimedOut(Exception):
    """The attempt ran over its time limit."""


class Exited(Exception):
    """The handler raised what is meant to end a program: SystemExit, KeyboardInterrupt."""


class LeaseLost(Exception):
    """The job belongs to another worker by now: whatever this one wrote must roll back."""


class WorkerLost(Exception):
    """The worker died while running the job."""


class Failure(msgspec.Struct, frozen=True):
    """What an exception means for its job."""

    retryable: bool
    code: str
    after_s: float | None = None


def judge(error: BaseException, permanent: tuple[type[BaseException], ...] = ()) -> Failure:
    """Read an exception of a handler. One with an attribute `retry` decides for itself."""
    match error:
        case Retry():
            return Failure(retryable=True, code="retry", after_s=error.after_s)
        case Fail():
            return Failure(retryable=False, code=error.code)
        case TimedOut():
            return Failure(retryable=True, code="timeout")
    retryable = bool(getattr(error, "retry", True)) and not isinstance(error, permanent)
    code = getattr(error, "code", "")
    return Failure(retryable=retryable, code=str(code or type(error).__name__))
