"""Which function runs which payload, and how. Registration is import."""

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack

import msgspec

from jobs.cron import Times
from jobs.payload import Payload

if TYPE_CHECKING:
    from jobs.context import Context

Lane = Literal["heavy", "io", "long"]
Where = Literal["anywhere", "serve"]
CatchUp = Literal["skip", "one", "all"]
Overlap = Literal["skip", "queue"]
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


class Recurring(TypedDict, total=False):
    """What `schedule` may be told beside its times; see `Registry.schedule`."""

    timezone: str
    catch_up: CatchUp
    overlap: Overlap
    jitter_s: float


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

    @property
    def rate_key(self) -> str | None:
        """The rate key all jobs of this type share; None where it depends on the payload."""
        try:
            return self.payload.rate_key(_NOBODY)  # type: ignore[arg-type]
        except AttributeError:
            return None


_NOBODY = object()  # a payload without fields: a key that can be told from it is the type's own


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """`limit` starts or calls per `per_s` seconds, evenly spread; `burst` of them at once."""

    limit: int
    per_s: float
    burst: int = 1

    def __post_init__(self) -> None:
        if min(self.limit, self.burst) < 1 or self.per_s <= 0:
            raise ValueError("a rate needs a limit, a period and a burst above 0")


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Recurring work as the code declares it: `cron` or `every_s`, exactly one."""

    name: str
    payload: Payload
    cron: str | None = None
    every_s: float | None = None
    timezone: str = "UTC"
    catch_up: CatchUp = "one"
    overlap: Overlap = "skip"
    jitter_s: float = 0


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A function the worker calls every so often, without a job row."""

    name: str
    call: Callable[[], Awaitable[Any]]
    every_s: float
    where: Where = "anywhere"


class Registry:
    """The table of job types. The program has one, `REGISTRY`; tests make their own."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.schedules: dict[str, Schedule] = {}
        self.ticks: dict[str, Tick] = {}
        self.rates: dict[str, Rate] = {}

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

    def schedule(
        self,
        name: str,
        payload: Payload,
        *,
        cron: str | None = None,
        every_s: float | None = None,
        **options: Unpack[Recurring],
    ) -> None:
        """Ask for `payload` again and again: by five cron fields, or every so many seconds (>= 60).

        `catch_up` says what becomes of times missed while the program was down: one run for all of
        them, none, or all (100 at most); `overlap="queue"` asks even while the last run goes on.
        """
        every_ms = None if every_s is None else round(every_s * 1000)
        given = Schedule(name=name, payload=payload, cron=cron, every_s=every_s, **options)
        if name in self.schedules:
            raise ValueError(f"two schedules named {name}")
        if (cron is None) == (every_s is None):
            raise ValueError(f"{name}: either cron or every_s")
        if every_s is not None and every_s < 60:
            raise ValueError(f"{name}: more often than once a minute is a tick")
        Times(cron=cron, every_ms=every_ms, timezone=given.timezone).check()
        self.schedules[name] = given

    def tick(
        self, *, every_s: float, where: Where = "anywhere"
    ) -> Callable[[Callable[[], R]], Callable[[], R]]:
        """Let the worker call the decorated coroutine function every so many seconds.

        It leaves no row; it may read, and enqueue or update what is due in one guarded statement,
        so that two processes ticking at once do no harm.
        """

        def register(call: Callable[[], R]) -> Callable[[], R]:
            name = f"{call.__module__.split('.')[-2]}.{call.__name__}"
            if name in self.ticks:
                raise ValueError(f"two ticks named {name}")
            self.ticks[name] = Tick(name=name, call=call, every_s=every_s, where=where)  # type: ignore[arg-type]
            return call

        return register

    def rate(self, key: str, limit: int, *, per_s: float, burst: int = 1) -> None:
        """Declare the bucket of a key, or of all keys of a kind: `rate("indexer:*", 1, per_s=2)`.

        An admin may change it; the key is what a payload's `rate_key` or `ctx.rate` names.
        """
        if key in self.rates:
            raise ValueError(f"two rates for {key}")
        self.rates[key] = Rate(limit=limit, per_s=per_s, burst=burst)

    def check(self, payloads: Iterable[type[Payload]]) -> list[str]:
        """Everything wrong with the registration, as sentences; empty when all is well."""
        known = {handler.payload for handler in self.handlers.values()}
        wrong = [f"{payload.TYPE}: no handler" for payload in payloads if payload not in known]
        for handler in self.handlers.values():
            folder = handler.call.__module__.split(".")[-2:-1]
            if folder != [handler.type.split(".")[0]]:
                wrong.append(f"{handler.type}: handled in {handler.call.__module__}")
        for name, schedule in self.schedules.items():
            if schedule.payload.TYPE not in self.handlers:
                wrong.append(f"schedule {name}: no handler for {schedule.payload.TYPE}")
        return wrong


REGISTRY = Registry()
handles = REGISTRY.handles
tick = REGISTRY.tick
