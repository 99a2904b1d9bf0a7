"""Job types and rates: what the code says, what an admin has changed about it."""

from typing import Annotated

import msgspec

from app.core import audit
from app.core.errors import NotFound
from app.core.live import Viewer
from db import clock
from db.engine import DB
from jobs import history, rates
from jobs.rates import Bucket
from jobs.registry import REGISTRY

DAY_MS = 86_400_000

_PUT = """
INSERT INTO queue_types(type, paused, concurrency, maxAttempts, timeoutMs, updatedAt)
VALUES(?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT(type) DO UPDATE SET paused=?2, concurrency=?3, maxAttempts=?4, timeoutMs=?5,
  updatedAt=?6
"""


_LAST_FAILED = """
SELECT type, id, max(finishedAt) AS at FROM queueJobs
WHERE state = 'failed' AND finishedAt > ? GROUP BY +type
"""


class TypeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One type: limits in force (None = none), backlog, figures of the last day."""

    type: str
    lane: str
    paused: bool
    limit: int | None
    attempts: int
    timeout_s: float
    changed: bool
    rate_key: str
    waiting: int
    running: int
    done: int
    failed: int
    p95_ms: int | None
    here: bool
    spark: list[int]
    last_failed: str
    last_failed_at: int | None


class TypeWish(msgspec.Struct, kw_only=True):
    """An admin's word on a type; what is left out is as the code says."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    timeout_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] | None = None


class RateWish(msgspec.Struct, kw_only=True):
    """A bucket as an admin wants it."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    per_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    burst: Annotated[int, msgspec.Meta(ge=1, le=1000)]


async def list_types() -> list[TypeRow]:
    """Every type that is registered, and those that only have jobs."""
    overrides = {row["type"]: row for row in await DB.all("SELECT * FROM queue_types")}
    live = await DB.all(
        "SELECT type, sum(state='queued') AS waiting, sum(state='running') AS running FROM"
        " (SELECT type, state FROM queueJobs WHERE state = 'queued'"
        " UNION ALL SELECT type, state FROM queueJobs WHERE state = 'running') GROUP BY type"
    )
    counts = {row["type"]: row for row in live}
    since = clock.ms() - DAY_MS
    figures = await history.by_type(since)
    hours = await history.hours(since)
    failures = {row["type"]: row for row in await DB.all(_LAST_FAILED, (since,))}
    rows = []
    for name in sorted({*REGISTRY.handlers, *counts}):
        handler = REGISTRY.handlers.get(name)
        override = overrides.get(name, {})
        figure = figures.get(name, history.Cell())
        limit = override.get("concurrency") or (handler.limit if handler else None)
        timeout_s = handler.payload.TIMEOUT_S if handler else 0
        if override.get("timeoutMs") is not None:
            timeout_s = override["timeoutMs"] / 1000
        attempts = handler.payload.MAX_ATTEMPTS if handler else 0
        rows.append(
            TypeRow(
                type=name,
                lane=handler.lane if handler else "",
                paused=bool(override.get("paused")),
                limit=limit,
                attempts=override.get("maxAttempts") or attempts,
                timeout_s=timeout_s,
                changed=any(
                    override.get(each) is not None
                    for each in ("concurrency", "maxAttempts", "timeoutMs")
                ),
                rate_key=(handler.rate_key or "") if handler else "",
                waiting=counts.get(name, {}).get("waiting", 0),
                running=counts.get(name, {}).get("running", 0),
                done=figure.counts["succeeded"],
                failed=figure.counts["failed"],
                p95_ms=history.percentile(figure.hist.run, 0.95),
                here=handler is not None,
                spark=hours.get(name, []),
                last_failed=failures.get(name, {}).get("id", ""),
                last_failed_at=failures.get(name, {}).get("at"),
            )
        )
    return rows


async def pause_type(viewer: Viewer, name: str, on: bool, *, ip: str = "") -> None:
    """Start no more jobs of a type, or again."""
    async with DB.tx():
        row = await _override(name)
        kept = (row.get("concurrency"), row.get("maxAttempts"), row.get("timeoutMs"))
        await DB.execute(_PUT, (name, on, *kept, clock.ms()))
        action = "queue.type_paused" if on else "queue.type_resumed"
        await audit.record(
            action, actor_id=viewer.id, ip=ip, object_type="job_type", object_id=name
        )


async def put_type(viewer: Viewer, name: str, wish: TypeWish, *, ip: str = "") -> None:
    """Set a type's limits; acts from the next claim on."""
    async with DB.tx():
        paused = bool((await _override(name)).get("paused"))
        timeout_ms = None if wish.timeout_s is None else wish.timeout_s * 1000
        limits = (paused, wish.limit, wish.attempts, timeout_ms)
        await DB.execute(_PUT, (name, *limits, clock.ms()))
        await audit.record(
            "queue.type_limits",
            actor_id=viewer.id,
            ip=ip,
            object_type="job_type",
            object_id=name,
            detail=msgspec.to_builtins(wish),
        )


async def list_rates() -> list[Bucket]:
    """Every bucket."""
    return await rates.every()


def used(bucket: Bucket, now: int) -> int:
    """How many of a bucket's starts are taken at this moment."""
    every = -(-bucket.period_ms // bucket.limit_count)
    return min(bucket.burst, -(-max(0, bucket.tat - now) // every))


async def put_rate(viewer: Viewer, key: str, wish: RateWish, *, ip: str = "") -> None:
    """Set a bucket. Raises NotFound."""
    await _bucket(key)
    async with DB.tx():
        await rates.put(key, wish.limit, per_s=wish.per_s, burst=wish.burst)
        detail = msgspec.to_builtins(wish)
        await _note_rate("queue.rate_set", viewer, key, ip, detail)


async def release_rate(viewer: Viewer, key: str, *, ip: str = "") -> None:
    """Open a gate that a service's own word has closed. Raises NotFound."""
    await _bucket(key)
    async with DB.tx():
        await rates.release(key)
        await _note_rate("queue.rate_released", viewer, key, ip, {})


async def _bucket(key: str) -> Bucket:
    found = await rates.get(key)
    if found is None:
        raise NotFound
    return found


async def _override(name: str) -> dict[str, int | None]:
    if name not in REGISTRY.handlers:
        raise NotFound
    return await DB.one("SELECT * FROM queue_types WHERE type = ?", (name,)) or {}


async def _note_rate(
    action: str, viewer: Viewer, key: str, ip: str, detail: dict[str, object]
) -> None:
    await audit.record(
        action, actor_id=viewer.id, ip=ip, object_type="rate", object_id=key, detail=detail
    )
