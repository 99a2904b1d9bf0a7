"""Noticing when nothing moves: the backlog by minute, and a word to the admins."""

import apsw
import msgspec

from app.core import notify
from app.core.i18n import mark
from app.core.lag import LAG
from db import clock
from db.connection import fetch, fetch_value
from db.engine import DB
from jobs.why import STATES, situation

SILENT_MS = 30_000
LATE_MS = 1_000  # of the event loop
OLD_MS = 60_000
HOUR_MS = 3_600_000

BACKLOG = mark("A job that could start has been waiting for %(n)s s. Does the worker keep up?")
STALLED = mark("A worker has given no sign of life for %(n)s s.")
LATE = mark("The program was held up for %(n)s ms: pages and jobs had to wait.")

_OLDEST = f"""
SELECT j.runAt FROM queueJobs j INDEXED BY qj_due WHERE {STATES["ready"]} ORDER BY j.runAt LIMIT 1
"""  # noqa: S608 - our words
_BEATS = "SELECT min(heartbeatAt) FROM queue_workers"
_KEEP = """
INSERT INTO queue_backlog(minute, ageMs) VALUES(?1, ?2)
ON CONFLICT(minute) DO UPDATE SET ageMs=max(ageMs, excluded.ageMs)
"""
_ADMINS = "SELECT id FROM users WHERE role='admin' AND is_active=1 AND deleted_at IS NULL"
_AGES = """
SELECT minute*60000 AS at, ageMs FROM queue_backlog WHERE minute>=?1 ORDER BY minute
"""


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """How the work goes: `oldest_ready_ms` 0: nothing waits that could start.

    `silent_ms`: since the quietest worker gave a sign; None: there is none.
    """

    oldest_ready_ms: int
    silent_ms: int | None
    late_ms: float

    @property
    def stalled(self) -> bool:
        """Nobody works, or somebody who should does not move."""
        return self.silent_ms is None or self.silent_ms > SILENT_MS or self.late_ms > LATE_MS


async def pulse() -> Pulse:
    """How it stands now."""

    def read(connection: apsw.Connection) -> Pulse:
        now = situation(connection)
        oldest = fetch_value(connection, _OLDEST, now.args)
        beat = fetch_value(connection, _BEATS)
        return Pulse(
            oldest_ready_ms=now.now - oldest if oldest is not None else 0,
            silent_ms=None if beat is None else now.now - beat,
            late_ms=LAG.worst_ms(),
        )

    return await DB.read(read)


async def look() -> None:
    """Keep the backlog's age, and tell the admins what stands still, once an hour at most."""
    found = await pulse()
    now = clock.ms()
    wrong = []
    if found.oldest_ready_ms > OLD_MS:
        wrong.append(("queue.backlog", BACKLOG, found.oldest_ready_ms // 1000))
    if found.silent_ms is not None and found.silent_ms > SILENT_MS:
        wrong.append(("queue.stalled", STALLED, found.silent_ms // 1000))
    if found.late_ms > LATE_MS:
        wrong.append(("queue.late", LATE, round(found.late_ms)))
    if found.oldest_ready_ms >= 1000:
        await DB.execute(_KEEP, (now // 60_000, found.oldest_ready_ms))
    if not wrong:
        return
    async with DB.tx():
        for admin in await DB.all(_ADMINS):
            for kind, title, n in wrong:
                await notify.tell(
                    admin["id"],
                    kind,
                    title,
                    level="error",
                    link="/admin/queue",
                    dedupe=str(now // HOUR_MS),
                    params={"n": n},
                )


async def ages(since_ms: int, step_ms: int) -> dict[int, int]:
    """The worst age in ms of each step since then that had any."""
    found: dict[int, int] = {}
    for row in await DB.read(lambda conn: fetch(conn, _AGES, (since_ms // 60_000,))):
        step = row["at"] - row["at"] % step_ms
        found[step] = max(found.get(step, 0), row["ageMs"])
    return found
