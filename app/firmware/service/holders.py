"""Which versions somebody is saving right now: those are not evicted."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Holders:
    """Counts open file downloads per version. Lives on the event loop's thread."""

    def __init__(self) -> None:
        self._open: Counter[int] = Counter()

    @contextmanager
    def hold(self, firmware_id: int) -> Iterator[None]:
        """The version's files are in use inside the block."""
        self._open[firmware_id] += 1
        try:
            yield
        finally:
            self._open[firmware_id] -= 1

    def busy(self, firmware_id: int) -> bool:
        """Whether somebody saves a file of it."""
        return self._open[firmware_id] > 0


HOLDERS = Holders()
