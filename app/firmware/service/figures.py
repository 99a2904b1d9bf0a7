"""Speed and place of the downloads this process runs, for the pages; the tables hold the rest."""

from collections import deque

from app.firmware.pipeline.state import Figures
from db import clock

KEEP = 120
EVERY_S = 1.0


class Board:
    """The newest figures of each download, and a speed a second for two minutes."""

    def __init__(self) -> None:
        self._now: dict[int, Figures] = {}
        self._speeds: dict[int, deque[int]] = {}
        self._at: dict[int, float] = {}

    def put(self, firmware_id: int, figures: Figures) -> None:
        """Keep the newest."""
        self._now[firmware_id] = figures
        if clock.monotonic() - self._at.get(firmware_id, 0.0) >= EVERY_S:
            self._at[firmware_id] = clock.monotonic()
            speeds = self._speeds.setdefault(firmware_id, deque(maxlen=KEEP))
            speeds.append(round(figures.rate))

    def get(self, firmware_id: int) -> Figures | None:
        """The newest, None where this process downloads nothing."""
        return self._now.get(firmware_id)

    def speeds(self, firmware_id: int) -> list[int]:
        """Bytes a second, oldest first."""
        return list(self._speeds.get(firmware_id, ()))

    def drop(self, firmware_id: int) -> None:
        """It has ended."""
        for each in (self._now, self._speeds, self._at):
            each.pop(firmware_id, None)


BOARD = Board()
