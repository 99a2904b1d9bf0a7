"""When recurring work is due: five cron fields in a time zone, or an interval, in milliseconds.

A local time that does not exist fires at the first valid moment after it; one that occurs twice
fires at its first occurrence, unless the hour is free (`30 * * * *`), where both are hours.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from db import clock

NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
AT_BOOT = "@reboot"
MOST = 100  # missed times that are told apart


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """A cron expression with its time zone, or an interval."""

    cron: str | None = None
    every_ms: int | None = None
    timezone: str = "UTC"

    def check(self) -> None:
        """Raises ValueError, with what is wrong in words."""
        try:
            self.after(clock.ms())
        except (CronSimError, StopIteration, ZoneInfoNotFoundError) as error:
            raise ValueError(str(error) or f"{self.cron} never comes") from error

    def after(self, moment: int) -> int | None:
        """The first time after `moment`; None for what runs at boot only."""
        if self.every_ms is not None:
            return moment + self.every_ms
        if self.cron == AT_BOOT:
            return None
        return next(each for each in self._walk(moment, back=False) if each > moment)

    def upcoming(self, moment: int, count: int) -> list[int]:
        """The next `count` times after `moment`."""
        found: list[int] = []
        while len(found) < count and (at := self.after(found[-1] if found else moment)):
            found.append(at)
        return found

    def between(self, first: int, last: int) -> list[int]:
        """The times from `first` (itself one) to `last`, in order; of very many the newest 100."""
        if self.every_ms is not None:
            newest = last - (last - first) % self.every_ms
            oldest = max(first, newest - (MOST - 1) * self.every_ms)
            return list(range(oldest, newest + 1, self.every_ms))
        if self.cron == AT_BOOT:
            return [first]
        back = (each for each in self._walk(last + 1000, back=True) if each <= last)
        found = list(islice(takewhile(lambda each: each > first, back), MOST))[::-1]
        return [first, *found][-MOST:]

    def _walk(self, moment: int, *, back: bool) -> Iterator[int]:
        """Times on from `moment` or back from it, the doubled hour of autumn told once."""
        fields = NAMED.get(self.cron or "", self.cron or "")
        free_hour = fields.split()[1:2] == ["*"]
        if len(fields.split()) != 5:
            raise CronSimError("five fields: minute, hour, day, month, weekday")
        start = datetime.fromtimestamp(moment // 1000, UTC).astimezone(ZoneInfo(self.timezone))
        for each in CronSim(fields, start, reverse=back):
            if free_hour or not each.fold:
                yield round(each.timestamp() * 1000)
