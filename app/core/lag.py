"""How late the event loop is: whoever keeps it busy holds up every page and every job."""

import asyncio
from collections import deque

from db import clock

EVERY_S = 0.5
KEPT = 120  # a minute of samples


class Lag:
    """Samples of one loop. `worst_ms` is 0 while it has not begun."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin on the running loop."""
        self._late.clear()
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """End."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def worst_ms(self, seconds: float = 60) -> float:
        """The longest delay of the last so many seconds, a minute at most."""
        newest = list(self._late)[-max(1, round(seconds / EVERY_S)) :]
        return round(1000 * max(newest, default=0.0), 1)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(EVERY_S, self._sample, loop, clock.monotonic() + EVERY_S)

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._late.append(max(0.0, clock.monotonic() - due))
        self._arm(loop)


LAG = Lag()
