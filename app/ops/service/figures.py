"""Figures of queue, database and calls outside, as they stand, for Prometheus.

Labels are types, states and kinds: no person and no row is ever one.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import msgspec
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from app.core import paths
from app.core.lag import LAG
from app.core.outbound import CALLS
from app.ops.service import watch
from app.ops.service.workers import size_of
from db import clock, waits
from db.connection import fetch
from db.engine import DB
from jobs import rates
from jobs.history import BUCKETS, OUTCOMES
from jobs.why import SHOWN, situation
from jobs.worker import Worker

# Live jobs by type and the state that people see; literal states, so that small indexes serve it.
_LIVE = " UNION ALL ".join(
    f"SELECT type, {SHOWN} AS shown FROM queueJobs j WHERE j.state='{state}'"  # noqa: S608
    for state in ("queued", "running")
)
_DEPTH = f"SELECT type, shown, count(*) AS n FROM ({_LIVE}) GROUP BY type, shown"  # noqa: S608
_STEPS_S = [str(2**n / 1000) for n in range(BUCKETS - 1)]


class Depth(msgspec.Struct, frozen=True):
    """What one visit to the database tells."""

    jobs: list[tuple[str, str, int]]
    closed: Counter[str]


async def metrics(worker: Worker) -> list[Metric]:
    """Everything, by what it is about."""
    depth = await DB.read(_depth)
    pulse = await watch.pulse()
    backup_s = await asyncio.to_thread(_backup_age, paths.data_dir() / "backups")
    return [*_queue(depth, pulse), *_types(worker), *_database(), *_calls(), *_backup(backup_s)]


def gauge(name: str, help_: str, value: float) -> Metric:
    """One number."""
    return GaugeMetricFamily(f"holdfast_{name}", help_, value=value)


def counter(name: str, help_: str, value: float) -> Metric:
    """One number that only grows."""
    return CounterMetricFamily(f"holdfast_{name}", help_, value=value)


def _depth(connection: apsw.Connection) -> Depth:
    now = situation(connection)
    rows = fetch(connection, _DEPTH, now.args)
    closed = Counter(key.partition(":")[0] for key in rates.closed(connection, now.now))
    return Depth([(row["type"], row["shown"], row["n"]) for row in rows], closed)


def _queue(depth: Depth, pulse: watch.Pulse) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(
        "holdfast_jobs", "Jobs that have not ended, by type and state", labels=("type", "state")
    )
    for type_, state, n in depth.jobs:
        jobs.add_metric((type_, state), n)
    closed = GaugeMetricFamily(
        "holdfast_rates_closed", "Rate keys that nothing may start for now", labels=("kind",)
    )
    for kind, n in depth.closed.items():
        closed.add_metric((kind,), n)
    yield jobs
    yield closed
    yield gauge(
        "jobs_oldest_ready_seconds",
        "How long the oldest job that could start has waited",
        pulse.oldest_ready_ms / 1000,
    )
    silent_ms = pulse.silent_ms
    yield gauge(
        "worker_silent_seconds",
        "Since the quietest worker gave a sign; NaN without any",
        float("nan") if silent_ms is None else silent_ms / 1000,
    )
    yield gauge("loop_late_seconds", "The event loop at worst in a minute", LAG.worst_ms() / 1000)


def _types(worker: Worker) -> Iterator[Metric]:
    """What this process has done since it began."""
    ended = CounterMetricFamily(
        "holdfast_jobs_ended", "Attempts and rescues by how they ended", labels=("type", "outcome")
    )
    wait = HistogramMetricFamily(
        "holdfast_job_wait_seconds", "From due to started", labels=("type",)
    )
    run = HistogramMetricFamily(
        "holdfast_job_run_seconds", "From started to ended", labels=("type",)
    )
    for type_, cell in sorted(worker.tally.whole.items()):
        for outcome in OUTCOMES:
            if cell.counts[outcome]:
                ended.add_metric((type_, outcome), cell.counts[outcome])
        wait.add_metric((type_,), _steps(_STEPS_S, cell.hist.wait), cell.wait_ms / 1000)
        run.add_metric((type_,), _steps(_STEPS_S, cell.hist.run), cell.run_ms / 1000)
    yield from (ended, wait, run)


def _database() -> Iterator[Metric]:
    seen = DB.writer.waits
    waited = HistogramMetricFamily(
        "holdfast_db_write_wait_seconds", "From asked to on the disk, by commit"
    )
    steps = _steps([str(bound) for bound in waits.BOUNDS_S], seen.counts)
    waited.add_metric((), steps, seen.sum_s)
    yield waited
    yield gauge("db_writes_waiting", "Writes in line", DB.writer.waiting())
    yield gauge("db_bytes", "Length of the database file", size_of())
    yield gauge("wal_bytes", "Length of the write-ahead log", size_of("-wal"))


def _calls() -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "holdfast_outbound", "Calls outside by purpose and outcome", labels=("purpose", "outcome")
    )
    for key, n in sorted(CALLS.items()):
        calls.add_metric(key, n)
    yield calls


def _backup(age_s: float | None) -> Iterator[Metric]:
    if age_s is not None:
        yield gauge("backup_age_seconds", "Since the newest file among the backups", age_s)


def _backup_age(folder: Path) -> float | None:
    times = [file.stat().st_mtime for file in folder.glob("*") if file.is_file()]
    return clock.now().timestamp() - max(times) if times else None


def _steps(bounds: Sequence[str], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulated, as Prometheus wants it; the last count is beyond every bound."""
    found, total = [], 0
    for bound, n in zip([*bounds, "+Inf"], counts, strict=True):
        total += n
        found.append((bound, float(total)))
    return found
