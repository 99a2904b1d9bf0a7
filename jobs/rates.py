"""Rate limits per outside service: a durable token bucket per key (GCRA), one gate for all.

A start takes one token in the claim's transaction; a handler that calls more than once asks
`ctx.rate` for each further call. What a service says itself (Retry-After) closes the gate for all.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import apsw
import msgspec

from db import clock
from db.connection import execute, fetch, fetch_value
from db.engine import DB
from jobs.insert import ms
from jobs.registry import REGISTRY, Rate, Registry

rate = REGISTRY.rate

# What a key nobody declared is held to: nothing but the gate.
UNDECLARED = Rate(limit=1000, per_s=1, burst=1000)

# One token every so many ms. A theoretical arrival time further ahead than a full bucket can put it
# was left there by a clock that went back: it heals.
_EVERY = "((periodMs+limitCount-1)/limitCount)"
_TAKE = f"""
UPDATE queue_rates SET updatedAt=?2,
  tat=CASE WHEN tat>?2+(burst+1)*{_EVERY} THEN ?2 ELSE max(tat,?2) END + ?3*{_EVERY}
WHERE key=?1 AND blockedUntil<=?2
  AND (tat<=?2+(burst-?3)*{_EVERY} OR tat>?2+(burst+1)*{_EVERY}) RETURNING tat
"""  # noqa: S608 - our own words
_OPENS = f"""
SELECT max(blockedUntil,
  CASE WHEN tat>?2+(burst+1)*{_EVERY} THEN 0 ELSE tat-(burst-?3)*{_EVERY} END)
FROM queue_rates WHERE key=?1
"""  # noqa: S608
_DECLARE = """
INSERT INTO queue_rates(key, limitCount, periodMs, burst, source, updatedAt)
VALUES(?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT(key) DO UPDATE SET limitCount=excluded.limitCount, periodMs=excluded.periodMs,
  burst=excluded.burst, source=excluded.source, updatedAt=excluded.updatedAt
WHERE excluded.source='user' OR (queue_rates.source='code'
  AND (queue_rates.limitCount, queue_rates.periodMs, queue_rates.burst)
    <>(excluded.limitCount, excluded.periodMs, excluded.burst))
"""
_BLOCK = "UPDATE queue_rates SET blockedUntil=?2, updatedAt=?3 WHERE key=?1"
_EXTEND = "UPDATE queue_rates SET blockedUntil=max(blockedUntil,?2), updatedAt=?3 WHERE key=?1"


class Bucket(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A row of `queue_rates` as it stands."""

    key: str
    limit_count: int
    period_ms: int
    burst: int
    tat: int
    blocked_until: int
    source: str
    updated_at: int


# ---- for services and pages ----


async def get(key: str) -> Bucket | None:
    """The bucket of a key; None while nobody has used it."""
    return next((bucket for bucket in await every() if bucket.key == key), None)


async def every() -> list[Bucket]:
    """All buckets, by key."""
    rows = await DB.all("SELECT * FROM queue_rates ORDER BY key")
    return msgspec.convert(rows, list[Bucket])


async def put(key: str, limit: int, *, per_s: float, burst: int = 1) -> None:
    """Set the limit of a key for good: an admin's word, or that of the row the key belongs to."""
    given = Rate(limit=limit, per_s=per_s, burst=burst)
    await DB.write(partial(_declare, key=key, rate=given, source="user"))


async def block(key: str, until: datetime | int) -> None:
    """Close the gate: no job of this key starts before `until`. The one place where a pause is."""
    declared = declared_for(REGISTRY.rates, key)
    await DB.write(partial(close, key=key, rate=declared, until=ms(until) or 0, extend=False))


async def release(key: str) -> None:
    """Open the gate now."""
    await DB.execute(_BLOCK, (key, 0, clock.ms()))


# ---- inside a write ----


def sync(connection: apsw.Connection, registry: Registry) -> None:
    """Write what the code declares; what an admin has set stays."""
    for key, declared in registry.rates.items():
        if not key.endswith("*"):
            _declare(connection, key, declared, "code")


def take(
    connection: apsw.Connection, rates: Mapping[str, Rate], key: str, now: int, n: int = 1
) -> int | None:
    """Take `n` tokens (at most a full bucket); None if they were there, else when they will be."""
    if connection.execute(_TAKE, (key, now, n)).fetchall():
        return None
    opens = opens_at(connection, key, now, n)
    if opens is None:
        declared = declared_for(rates, key)
        if declared is None:
            return None
        _declare(connection, key, declared, "code")
        return take(connection, rates, key, now, n)
    return opens


def opens_at(connection: apsw.Connection, key: str, now: int, n: int = 1) -> int | None:
    """When `n` tokens of a key can be had (not after now: at once); None where it has no bucket."""
    found: int | None = fetch_value(connection, _OPENS, (key, now, n))
    return found


def closed(connection: apsw.Connection, now: int) -> dict[str, int]:
    """The keys that nothing may start for now, and when each opens."""
    keys = [str(key) for (key,) in connection.execute("SELECT key FROM queue_rates").fetchall()]
    opens = {key: opens_at(connection, key, now) for key in keys}
    return {key: moment for key, moment in opens.items() if moment is not None and moment > now}


def close(
    connection: apsw.Connection, key: str, rate: Rate | None, until: int, extend: bool = True
) -> None:
    """Close the gate of a key; with `extend` one that is closed for longer stays so."""
    if not fetch(connection, "SELECT 1 FROM queue_rates WHERE key=?", (key,)):
        _declare(connection, key, rate or UNDECLARED, "code")
    execute(connection, _EXTEND if extend else _BLOCK, (key, until, clock.ms()))


def declared_for(rates: Mapping[str, Rate], key: str) -> Rate | None:
    """What the code says of a key: by its name, or by a pattern `indexer:*`."""
    return rates.get(key) or rates.get(f"{key.partition(':')[0]}:*")


def _declare(connection: apsw.Connection, key: str, rate: Rate, source: str) -> None:
    args = (key, rate.limit, round(rate.per_s * 1000), rate.burst, source, clock.ms())
    execute(connection, _DECLARE, args)
