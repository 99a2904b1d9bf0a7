"""Connections to the byte server, counted for the whole instance: downloads share them fairly."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_S = 0.5


class Lines:
    """So many connections at once, however many downloads run."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.limit = 1
        self._members = 0
        self.total = 0

    @contextmanager
    def join(self, limit: int) -> Iterator["Share"]:
        """Take part with one download; the limit last said is in force."""
        with self.lock:
            self.limit = limit
            self._members += 1
        share = Share(self)
        try:
            yield share
        finally:
            with self.lock:
                self._members -= 1
                self.lock.notify_all()

    def fair(self) -> int:
        """How many each download may have, one at least."""
        return max(1, self.limit // max(1, self._members))


class Share:
    """What one download has of the connections."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._used = 0

    def take(self, stopping: Callable[[], bool]) -> bool:
        """Wait for a connection; False where the download stops first."""
        lines = self._lines
        with lines.lock:
            while self._used >= lines.fair() or lines.total >= lines.limit:
                if stopping():
                    return False
                lines.lock.wait(LOOK_S)
            self._used += 1
            lines.total += 1
            return True

    def give(self) -> None:
        """Hand it back."""
        with self._lines.lock:
            self._used -= 1
            self._lines.total -= 1
            self._lines.lock.notify_all()

    @property
    def over(self) -> bool:
        """Whether another download came and this one holds more than its part by now."""
        return self._used > self._lines.fair()


LINES = Lines()
