"""Which function runs which payload, and how. Registration is import."""

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack

import msgspec

from jobs.payload import Payload

if TYPE_CHECKING:
    from jobs.context import Context

Lane = Literal["heavy", "io", "long"]
Where = Literal["anywhere", "serve"]
Delay = Callable[[int], float]
OnFailed = Callable[[Any, BaseException, Any], Awaitable[None]]

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


class Backoff(msgspec.Struct, frozen=True):
    """Exponential delay in seconds. `jitter` is the random share: 0.5 = half fixed, half random."""

    base_s: float = 5
    cap_s: float = 3600
    factor: float = 2
    jitter: float = 0.5

    def __call__(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt` (1, 2, ...)."""
        # The exponent is bounded: past 64 doublings every delay is the cap, and floats overflow.
        delay = self.base_s * self.factor ** min(attempt - 1, 64)
        return _jittered(min(self.cap_s, delay), self.jitter)


class Steps:
    """A fixed list of delays in seconds; the last one repeats."""

    def __init__(self, *delays_s: float, jitter: float = 0.5) -> None:
        self.delays_s = delays_s
        self.jitter = jitter

    def __call__(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt` (1, 2, ...)."""
        return _jittered(self.delays_s[min(attempt, len(self.delays_s)) - 1], self.jitter)


def _jittered(delay_s: float, jitter: float) -> float:
    return delay_s * (1 - jitter * random.random())  # noqa: S311  spreads load, guards nothing


class Running(TypedDict, total=False):
    """What `handles` may be told; see `Registry.handles`."""

    lane: Lane
    limit: int
    backoff: Delay
    permanent: tuple[type[BaseException], ...]
    thread: bool
    where: Where
    on_failed: OnFailed


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """One registered job type."""

    payload: type[Payload]
    call: Callable[[Any, Any], Any]
    lane: Lane = "heavy"
    limit: int | None = None
    backoff: Delay = Backoff()
    permanent: tuple[type[BaseException], ...] = ()
    thread: bool = False
    where: Where = "anywhere"
    on_failed: OnFailed | None = None

    @property
    def type(self) -> str:
        """The stored name."""
        return self.payload.TYPE


class Registry:
    """The table of job types. The program has one, `REGISTRY`; tests make their own."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def handles(
        self, payload: type[P], **options: Unpack[Running]
    ) -> "Callable[[Callable[[P, Context], R]], Callable[[P, Context], R]]":
        """Register the decorated function for `payload`.

        `lane` and `limit` bound how many run at once, `backoff` spaces retries, `permanent` lists
        exceptions that no retry helps, `thread=True` runs a plain function in a thread,
        `where="serve"` keeps the type to the process that serves pages, and `on_failed(job, error,
        tx)` runs in the transaction that ends the job badly.
        """

        def register(call: "Callable[[P, Context], R]") -> "Callable[[P, Context], R]":
            if payload.TYPE in self.handlers:
                raise ValueError(f"two handlers for {payload.TYPE}")
            self.handlers[payload.TYPE] = Handler(payload=payload, call=call, **options)
            return call

        return register

    def check(self, payloads: Iterable[type[Payload]]) -> list[str]:
        """Everything wrong with the registration, as sentences; empty when all is well."""
        known = {handler.payload for handler in self.handlers.values()}
        wrong = [f"{payload.TYPE}: no handler" for payload in payloads if payload not in known]
        for handler in self.handlers.values():
            folder = handler.call.__module__.split(".")[-2:-1]
            if folder != [handler.type.split(".")[0]]:
                wrong.append(f"{handler.type}: handled in {handler.call.__module__}")
        return wrong


REGISTRY = Registry()
handles = REGISTRY.handles
