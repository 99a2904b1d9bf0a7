"""How time is written, read, and moved by tests: nobody else asks the system for the time.

Wall time is for what people read and what rows hold; monotonic time is for waiting and leases.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What tells the time: seconds since the epoch, and seconds that never go back."""

    def wall(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's own clocks."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime | None = None) -> None:
        self._wall = (start or datetime(2026, 11, 1, 12, tzinfo=UTC)).timestamp()
        self._monotonic = 1000.0

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass: both clocks move, and who waits is told."""
        self._wall += seconds
        self._monotonic += seconds
        _tell()

    def step(self, seconds: float) -> None:
        """Set the wall clock, as an administrator or NTP does; monotonic time stays."""
        self._wall += seconds
        _tell()


_clock: Clock = SystemClock()
_listeners: list[Callable[[], None]] = []


def now() -> datetime:
    """The present moment, aware, UTC."""
    return datetime.fromtimestamp(_clock.wall(), UTC)


def ms() -> int:
    """The present moment in whole milliseconds since the epoch, as the queue's tables hold it."""
    return int(_clock.wall() * 1000)


def monotonic() -> float:
    """Seconds for measuring and waiting; unmoved when somebody sets the wall clock."""
    return _clock.monotonic()


def text(moment: datetime | None = None) -> str:
    """`moment` (default: now) as the domain tables hold it: `YYYY-MM-DDTHH:MM:SS.sssZ`.

    Raises ValueError for a moment without a zone: nobody can say what it means.
    """
    if moment is None:
        moment = now()
    if moment.tzinfo is None:
        raise ValueError("a stored time needs a zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse(stored: str) -> datetime:
    """The aware UTC moment of a stored text; the inverse of `text`."""
    return datetime.fromisoformat(stored).astimezone(UTC)


def from_ms(stored: int) -> datetime:
    """The aware UTC moment of a queue table's milliseconds."""
    return datetime.fromtimestamp(stored / 1000, UTC)


def on_move(listener: Callable[[], None]) -> Callable[[], None]:
    """Call `listener` when a test moves the clock, so that timers re-arm; returns how to stop."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


@contextmanager
def use(clock: FakeClock) -> Iterator[FakeClock]:
    """Let the whole process live by `clock` inside the block."""
    global _clock  # noqa: PLW0603 - one process, one clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before


def _tell() -> None:
    for listener in list(_listeners):
        listener()
