"""Sample data of the pages that steer the queue: (template, data, blocks) by name."""

from types import SimpleNamespace as Thing
from typing import Any

AT = 1_795_000_000_000
TABS = [{"title": "Overview", "url": "/q", "here": True, "key": "q"}]
TYPE: dict[str, Any] = {
    "type": "tickets.download",
    "lane": "io",
    "lane_word": "light work",
    "paused": False,
    "limit": 2,
    "attempts": 5,
    "timeout_s": 180.0,
    "changed": True,
    "rate_key": "nvv",
    "waiting": 12_345,
    "running": 1,
    "done": 7,
    "failed": 2,
    "p95_ms": 512,
    "here": True,
    "spark": [0, 3, 1],
    "last_failed_url": "/job",
    "last_failed_at": AT,
}
BATCH: dict[str, Any] = {
    "id": "b1",
    "label": "Fetch all",
    "url": "/b",
    "jobs_url": "/jobs",
    "callback_url": "/cb",
    "percent": 60,
    "total": 10,
    "pending": 4,
    "succeeded": 4,
    "failed": 1,
    "cancelled": 1,
    "created_at": AT,
    "finished_at": None,
}
SCHEDULE: dict[str, Any] = {
    "name": "tickets.prune",
    "type": "tickets.prune",
    "cron": "30 3 * * *",
    "when": "every day at 03:30",
    "timezone": "Europe/Berlin",
    "enabled": True,
    "changed": True,
    "here": True,
    "upcoming": [AT, AT + 86_400_000],
    "last_at": AT,
    "last_url": "/job",
    "fires": [{"at": AT, "state": ("success", "asked for")}],
}
RATE: dict[str, Any] = {
    "key": "nvv",
    "limit": 12,
    "per_s": 60,
    "burst": 1,
    "blocked_until": AT,
    "used": 1,
    "changed": True,
}
WORKER: dict[str, Any] = {
    "workers": [
        {
            "id": "host-7-ab12cd",
            "here": True,
            "pid": 7,
            "host": "host",
            "version": "0.1",
            "started_at": AT,
            "up_s": 9000.0,
            "beat_s": 4.0,
            "silent": False,
            "draining": False,
            "jobs": 3,
        }
    ],
    "engine": Thing(
        late_ms=3.4,
        writes_waiting=0,
        write_ms=12.0,
        wal_bytes=4_000_000,
        db_bytes=90_000_000,
        looks=99,
    ),
    "late": False,
    "lanes": [("ordinary work", 1, 2), ("long transfers", 0, 4)],
    "storage_full": False,
    "ticks": [{"name": "a.look", "every_s": 30.0, "at": AT, "took_ms": 2, "error": "it broke"}],
    "form": {
        "keep_done_days": 7,
        "keep_failed_days": 30,
        "drain_s": 25,
        "io_slots": 20,
        "long_slots": 4,
    },
}

Shown = tuple[str, dict[str, Any], tuple[str, ...]]


def shown(rows: list[Any]) -> dict[str, Shown]:
    """The samples; `rows` are the lines of a job table."""

    def of(name: str, block: str, **data: Any) -> Shown:
        return (f"ops/{name}.html", {"sections": TABS, **data}, (block,))

    off = {"here": False, "enabled": False, "paused": True, "upcoming": [], "fires": []}
    other = {"blocked_until": None, "used": 0, "changed": False, "running": 0}
    return {
        "types": of("types", "type_rows", rows=[TYPE, {**TYPE, **off}, {**TYPE, "paused": True}]),
        "types_none": of("types", "type_rows", rows=[]),
        "rates": of("rates", "rate_rows", rows=[RATE, {**RATE, **other}]),
        "rates_none": of("rates", "rate_rows", rows=[]),
        "schedules": of("schedules", "schedule_rows", rows=[SCHEDULE, {**SCHEDULE, **off}]),
        "schedules_none": of("schedules", "schedule_rows", rows=[]),
        "batches": of("batches", "batch_rows", rows=[BATCH]),
        "batches_none": of("batches", "batch_rows", rows=[]),
        "batch": of("batch", "batch_now", batch=BATCH, rows=rows),
        "worker": of("worker", "worker_now", **WORKER),
        "worker_none": of("worker", "worker_now", **{**WORKER, "workers": [], "ticks": []}),
    }
