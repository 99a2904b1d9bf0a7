"""How long writes wait for their commit: the worst of the last minute, and a histogram for good."""

import time
from bisect import bisect_left

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOT_S = 5
SLOTS = 12


class Waits:
    """Noted on the writer's thread, read on the loop: an answer may be one commit old."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)  # the last: longer than every bound
        self.sum_s = 0.0
        self._worst = [(0, 0.0)] * SLOTS

    def note(self, seconds: float) -> None:
        """One commit, by the write of it that waited longest."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds
        slot = int(time.monotonic()) // SLOT_S
        kept, worst = self._worst[slot % SLOTS]
        if kept != slot or seconds > worst:
            self._worst[slot % SLOTS] = (slot, seconds)

    def worst_ms(self) -> float:
        """The longest of the last minute; 0 where nothing was written."""
        since = int(time.monotonic()) // SLOT_S - SLOTS
        found = [seconds for slot, seconds in self._worst if slot > since]
        return round(1000 * max(found, default=0.0), 1)
