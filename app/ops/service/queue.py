"""The queue as a whole: how it stands, its pause, slots and settings."""

from typing import Annotated, Any

import msgspec

from app.core import audit
from app.core.errors import Invalid
from app.core.i18n import _
from app.core.live import Viewer
from app.ops.service import watch
from app.ops.service.jobs import count_states
from db import clock
from db.connection import Row
from db.engine import DB
from jobs import enqueue as queue
from jobs import history

SLOTS_MOST = 20
DAY_MS = 86_400_000
SPANS = {
    "1h": (3_600_000, 60_000),
    "1d": (DAY_MS, 1_800_000),
    "7d": (7 * DAY_MS, 3 * 3_600_000),
    "30d": (30 * DAY_MS, DAY_MS // 2),
    "90d": (90 * DAY_MS, 2 * DAY_MS),
}
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

_NEXT = """
SELECT (SELECT min(runAt) FROM queueJobs WHERE state='queued' AND runAt>?1
         AND attempts=0 AND snoozes=0) AS scheduled,
  (SELECT min(runAt) FROM queueJobs WHERE state='queued' AND attempts>0) AS retrying
"""
_FAILING = """
SELECT type, count(*) AS count, max(errorCode) AS code FROM queueJobs
WHERE state = 'failed' AND finishedAt > ? AND acknowledgedAt IS NULL
GROUP BY +type ORDER BY count DESC LIMIT 5
"""
_WORKERS = """
SELECT max(heartbeatAt) AS beat, min(drainingAt IS NOT NULL) AS draining FROM queue_workers
"""


class Charts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures by step: `wait` and `run` in ms by percentile, None where nothing ran.

    `age_s`: of the oldest job that could start.
    """

    at: list[int]
    done: list[int]
    failed: list[int]
    wait: dict[str, list[int | None]]
    run: dict[str, list[int | None]]
    age_s: list[float]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an admin."""

    keep_done_days: Annotated[int, msgspec.Meta(ge=1, le=365)]
    keep_failed_days: Annotated[int, msgspec.Meta(ge=1, le=365)]
    drain_s: Annotated[int, msgspec.Meta(ge=1, le=600)]
    io_slots: Annotated[int, msgspec.Meta(ge=1, le=256)]
    long_slots: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at a glance. `counts`: by state as people see it, of ended ones up to 10,000.

    `next_at`: when the next scheduled, and the next retrying job is due. `done_day`: in 24 hours.
    """

    paused: bool
    paused_reason: str
    slots: int
    counts: dict[str, int]
    alive: bool
    late_ms: float
    draining: bool
    failing: list[Row]
    oldest_ready_s: float
    next_at: dict[str, int | None]
    done_day: int


async def get_overview() -> Overview:
    """Pause, slots, counters and what fails most."""
    settings = await get_settings()
    now = clock.ms()
    worker = await DB.one(_WORKERS) or {}
    pulse = await watch.pulse()
    day = history.total((await history.by_type(now - DAY_MS)).values())
    return Overview(
        paused=bool(settings["paused"]),
        paused_reason=str(settings["pausedReason"] or ""),
        slots=int(settings["concurrency"]),
        counts=await count_states(),
        alive=bool(worker["beat"]) and now - worker["beat"] < watch.SILENT_MS,
        late_ms=pulse.late_ms,
        draining=bool(worker["draining"]),
        failing=await DB.all(_FAILING, (now - DAY_MS,)),
        oldest_ready_s=pulse.oldest_ready_ms / 1000,
        next_at=await DB.one(_NEXT, (now,)) or {},
        done_day=day.counts["succeeded"],
    )


async def get_charts(span: str) -> Charts:
    """Throughput, waits and the backlog over 1 h to 90 d, in about 60 steps."""
    length, step = SPANS.get(span, SPANS["1h"])
    since = clock.ms() - length
    cells = await history.cells(since, step)
    ages = await watch.ages(since, step)
    whole = [cell for _at, cell in cells]
    return Charts(
        at=[at for at, _cell in cells],
        done=[cell.counts["succeeded"] for cell in whole],
        failed=[cell.counts["failed"] + cell.counts["retried"] for cell in whole],
        wait={name: _points(whole, "wait", share) for name, share in SHARES.items()},
        run={name: _points(whole, "run", share) for name, share in SHARES.items()},
        age_s=[round(ages.get(at, 0) / 1000, 1) for at, _cell in cells],
    )


async def get_settings() -> Row:
    """The one row of settings."""
    return await DB.one("SELECT * FROM queueSettings WHERE id = 1") or {}


async def put_settings(viewer: Viewer, wish: Wish, *, ip: str = "") -> None:
    """How long ended jobs stay, how long a shutdown waits, the slots of the other lanes."""
    what = (
        f"keepSucceededMs = {wish.keep_done_days * DAY_MS:d},"
        f" keepCancelledMs = {wish.keep_done_days * DAY_MS:d},"
        f" keepFailedMs = {wish.keep_failed_days * DAY_MS:d},"
        f" drainTimeoutMs = {wish.drain_s * 1000:d},"
        f" ioConcurrency = {wish.io_slots:d}, longConcurrency = {wish.long_slots:d}"
    )
    await _set(viewer, what, "queue.settings", ip, msgspec.to_builtins(wish))


async def pause_queue(viewer: Viewer, *, stop: bool = False, ip: str = "") -> None:
    """Start no more jobs; running ones go on, or with `stop` are asked to end."""
    async with DB.tx():
        await _set(viewer, "paused = 1, pausedAt = :now", "queue.paused", ip, {"stop": stop})
        if stop:
            for row in await DB.all("SELECT id FROM queueJobs WHERE state = 'running'"):
                await queue.cancel(id=row["id"])


async def resume_queue(viewer: Viewer, *, ip: str = "") -> None:
    """Start jobs again."""
    await _set(viewer, "paused = 0, pausedAt = NULL, pausedReason = NULL", "queue.resumed", ip)


async def set_slots(viewer: Viewer, slots: int, *, ip: str = "") -> None:
    """How many ordinary jobs run at once, 1 to 20; acts at once. Raises Invalid."""
    if not 1 <= slots <= SLOTS_MOST:
        raise Invalid(slots=_("Choose 1 to %(n)s slots.", n=SLOTS_MOST))
    await _set(viewer, f"concurrency = {slots:d}", "queue.slots", ip, {"slots": slots})


async def _set(
    viewer: Viewer, what: str, action: str, ip: str, detail: dict[str, Any] | None = None
) -> None:
    async with DB.tx():
        await DB.execute(
            f"UPDATE queueSettings SET {what}, updatedAt = :now, updatedBy = :who WHERE id = 1",  # noqa: S608
            {"now": clock.ms(), "who": viewer.id},
        )
        await audit.record(
            action, actor_id=viewer.id, ip=ip, object_type="queue", object_id="1", detail=detail
        )


def _points(cells: list[history.Cell], which: str, share: float) -> list[int | None]:
    return [history.percentile(getattr(cell.hist, which), share) for cell in cells]
