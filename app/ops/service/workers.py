"""Who does the work: the living processes, what they hold, and how the one writer fares."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from app.core import audit
from app.core.errors import Conflict
from app.core.i18n import _
from app.core.lag import LAG
from app.core.live import Viewer
from db import clock
from db.connection import Row
from db.engine import DB
from jobs.turn import LANES
from jobs.worker import Worker

_WORKERS = """
SELECT w.*, (SELECT count(*) FROM queueJobs j WHERE j.state='running' AND j.lockedBy=w.id) AS jobs
FROM queue_workers w ORDER BY w.startedAt
"""
_DRAINING = "UPDATE queue_workers SET drainingAt=?2 WHERE id=?1"


class Lane(msgspec.Struct, frozen=True):
    """One lane of this process: how many of its slots are taken."""

    name: str
    used: int
    slots: int


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """What this process knows of itself. Times in milliseconds, the worst of the last minute."""

    lanes: list[Lane]
    late_ms: float
    writes_waiting: int
    write_ms: float
    wal_bytes: int
    db_bytes: int
    looks: int


async def list_workers() -> list[Row]:
    """The living processes, oldest first, with how many jobs each runs."""
    return await DB.all(_WORKERS)


def get_engine(worker: Worker, settings: Mapping[str, int]) -> Engine:
    """How it stands here, with the slots of `settings` (the row of queueSettings)."""
    busy = Counter(run.handler.lane for run in worker.runs.values())
    return Engine(
        lanes=[Lane(lane, busy[lane], settings[column]) for lane, column in LANES.items()],
        late_ms=LAG.worst_ms(),
        writes_waiting=DB.writer.waiting(),
        write_ms=DB.writer.waits.worst_ms(),
        wal_bytes=size_of("-wal"),
        db_bytes=size_of(),
        looks=worker.turns,
    )


async def rest_worker(worker: Worker, viewer: Viewer, on: bool, *, ip: str = "") -> None:
    """Let this process take no more jobs, or again; what runs goes on. Raises Conflict."""
    if worker.draining:
        raise Conflict(_("The server is shutting down."))
    await rest(worker, on)
    await audit.record(
        "worker.drained" if on else "worker.resumed",
        actor_id=viewer.id,
        ip=ip,
        object_type="worker",
        object_id=worker.id,
    )


async def rest(worker: Worker, on: bool) -> None:
    """Take nothing new, or again; what runs goes on. Outside a transaction: a turn needs one."""
    worker.resting = on
    await worker.settle()
    await DB.execute(_DRAINING, (worker.id, clock.ms() if on else None))


def size_of(suffix: str = "") -> int:
    """How long the database file is, or the one beside it with that suffix."""
    path = Path(f"{DB.path}{suffix}")
    return path.stat().st_size if path.exists() else 0
