"""The queue as a whole: how it stands, its pause, slots and settings, who works on it."""

from pathlib import Path
from typing import Annotated, Any

import msgspec

from app.core import audit
from app.core.errors import Invalid
from app.core.i18n import _
from app.core.live import Viewer
from app.ops.service.jobs import COUNT_LIMIT, FILTERS
from db import clock
from db.connection import Row
from db.engine import DB
from jobs import enqueue as queue
from jobs import history

SLOTS_MOST = 20
SILENT_MS = 30_000


DAY_MS = 86_400_000
SPANS = {
    "1h": (3_600_000, 60_000),
    "1d": (DAY_MS, 1_800_000),
    "7d": (7 * DAY_MS, 3 * 3_600_000),
    "90d": (90 * DAY_MS, 2 * DAY_MS),
}
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Charts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures by step; `wait` and `run` in ms by percentile."""

    at: list[int]
    done: list[int]
    failed: list[int]
    wait: dict[str, list[int]]
    run: dict[str, list[int]]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an admin."""

    keep_done_days: Annotated[int, msgspec.Meta(ge=1, le=365)]
    keep_failed_days: Annotated[int, msgspec.Meta(ge=1, le=365)]
    drain_s: Annotated[int, msgspec.Meta(ge=1, le=600)]
    io_slots: Annotated[int, msgspec.Meta(ge=1, le=256)]
    long_slots: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at a glance. `counts` stop at 10,000."""

    paused: bool
    paused_reason: str
    slots: int
    counts: dict[str, int]
    alive: bool
    draining: bool
    failing: list[Row]
    oldest_ready_s: float


async def get_overview() -> Overview:
    """Pause, slots, counters and what fails most."""
    settings = await DB.one("SELECT paused, pausedReason, concurrency FROM queueSettings")
    counts = {
        name: int(
            await DB.value(
                f"SELECT count(*) FROM (SELECT 1 FROM queueJobs WHERE {where} LIMIT {COUNT_LIMIT})"  # noqa: S608
            )
        )
        for name, where in FILTERS.items()
        if name
    }
    now = clock.ms()
    worker = await DB.one(
        "SELECT max(heartbeatAt) AS beat, max(drainingAt) AS draining FROM queue_workers"
    )
    failing = await DB.all(
        "SELECT type, count(*) AS count, max(errorCode) AS code FROM queueJobs"
        " WHERE state = 'failed' AND finishedAt > ? AND acknowledgedAt IS NULL"
        " GROUP BY +type ORDER BY count DESC LIMIT 5",
        (now - 86_400_000,),
    )
    oldest = await DB.value(
        "SELECT min(runAt) FROM queueJobs WHERE state = 'queued' AND runAt <= ?", (now,)
    )
    return Overview(
        paused=bool(settings and settings["paused"]),
        paused_reason=str((settings and settings["pausedReason"]) or ""),
        slots=int(settings["concurrency"]) if settings else 0,
        counts=counts,
        alive=bool(worker and worker["beat"] and now - worker["beat"] < SILENT_MS),
        draining=bool(worker and worker["draining"]),
        failing=failing,
        oldest_ready_s=(now - oldest) / 1000 if oldest else 0.0,
    )


async def get_charts(span: str) -> Charts:
    """Throughput and waits over 1 h, 1 d, 7 d or 90 d, in about 60 steps."""
    length, step = SPANS.get(span, SPANS["1h"])
    cells = await history.cells(clock.ms() - length, step)
    whole = [cell for _at, cell in cells]
    return Charts(
        at=[at for at, _cell in cells],
        done=[cell.counts["succeeded"] for cell in whole],
        failed=[cell.counts["failed"] + cell.counts["retried"] for cell in whole],
        wait={name: _points(whole, "wait", share) for name, share in SHARES.items()},
        run={name: _points(whole, "run", share) for name, share in SHARES.items()},
    )


async def list_workers() -> list[Row]:
    """The living processes, oldest first."""
    return await DB.all("SELECT * FROM queue_workers ORDER BY startedAt")


def writer_waiting() -> int:
    """How many writes stand in line."""
    return DB.writer.waiting()


def wal_bytes() -> int:
    """How long the write-ahead log is."""
    path = Path(f"{DB.path}-wal")
    return path.stat().st_size if path.exists() else 0


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


def _points(cells: list[history.Cell], which: str, share: float) -> list[int]:
    return [history.percentile(getattr(cell.hist, which), share) or 0 for cell in cells]


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
