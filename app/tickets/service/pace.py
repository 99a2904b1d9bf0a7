"""How gently the portal is treated: its pace, a pause it asked for, a pause an admin made.

One row of `queue_rates` holds all of it, so there is one truth: while `blockedUntil` lies in the
future no portal job is claimed, and waiting uses up no attempt.
"""

from datetime import datetime, timedelta
from functools import partial

import msgspec

from app.core import audit
from app.tickets.outcomes import Outcome
from app.tickets.payloads import PORTAL
from db import clock
from db.engine import DB
from jobs import rates
from jobs.registry import Rate

PACE = Rate(limit=12, per_s=60, burst=1)  # a login every five seconds
LONGEST_PAUSE = timedelta(days=30)
TROUBLE = {Outcome.MAINTENANCE.value, Outcome.PORTAL_5XX.value}
TROUBLES = 5
SHORT_S, LONG_S = 600, 7200
DEFAULT_WAIT_S = 900


class Pace(msgspec.Struct, frozen=True):
    """What holds for the portal now. `paused_until` is None while nothing is paused."""

    limit: int
    period_s: float
    paused_until: datetime | None


async def hold(seconds: float) -> None:
    """No portal job is claimed for so long; a longer pause already there stays."""
    until = clock.ms() + round(seconds * 1000)
    await DB.write(partial(rates.close, key=PORTAL, rate=PACE, until=until))


async def pause(admin_id: str, hours: float, *, ip: str = "") -> None:
    """Pause by hand, audited."""
    until = clock.now() + min(timedelta(hours=hours), LONGEST_PAUSE)
    async with DB.tx():
        await rates.block(PORTAL, until)
        detail = {"until": clock.text(until)}
        await audit.record("tickets.paused", actor_id=admin_id, ip=ip, detail=detail)


async def resume(admin_id: str, *, ip: str = "") -> None:
    """End any pause, audited; the pace itself goes on."""
    async with DB.tx():
        await rates.release(PORTAL)
        await audit.record("tickets.resumed", actor_id=admin_id, ip=ip)


async def get_pace() -> Pace:
    """The pace and the pause in force."""
    bucket = await rates.get(PORTAL)
    if bucket is None:
        return Pace(PACE.limit, PACE.per_s, None)
    blocked = bucket.blocked_until > clock.ms()
    until = clock.from_ms(bucket.blocked_until) if blocked else None
    return Pace(bucket.limit_count, bucket.period_ms / 1000, until)


async def note_trouble() -> None:
    """After five outside faults in a row, by whomever: a pause that doubles with each further one.

    The first run after the pause is the probe.
    """
    rows = await DB.all(
        "SELECT outcome FROM ticket_download_history WHERE status <> 'skipped'"
        " ORDER BY downloaded_at DESC, id DESC LIMIT ?",
        (TROUBLES + 5,),
    )
    streak = 0
    for row in rows:
        if row["outcome"] not in TROUBLE:
            break
        streak += 1
    if streak >= TROUBLES:
        await hold(min(SHORT_S * 2 ** (streak - TROUBLES), LONG_S))
