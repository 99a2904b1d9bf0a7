"""What happened, by minute and type: for charts and percentiles without scanning jobs.

Each worker tallies in memory and writes every five seconds; a crash loses those, no job.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import apsw
import msgspec

from db import clock
from db.connection import execute, fetch, fetch_value
from db.engine import DB

Outcome = Literal["enqueued", "succeeded", "failed", "cancelled", "retried", "rescued"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
BUCKETS = 20  # of times in ms, by powers of two: the last is everything over 4 minutes
MINUTE_MS = 60_000
HOUR = 60
DUE_S = 5.0
FOLD_AFTER_MS = 7 * 86_400_000

_READ = "SELECT hist FROM queue_stats WHERE minute=? AND type=?"
_ADD = """
INSERT INTO queue_stats(minute, type, enqueued, succeeded, failed, cancelled, retried, rescued,
  waitMs, runMs, hist)
VALUES(:minute, :type, :enqueued, :succeeded, :failed, :cancelled, :retried, :rescued,
  :wait_ms, :run_ms, :hist)
ON CONFLICT(minute, type) DO UPDATE SET enqueued=enqueued+:enqueued,
  succeeded=succeeded+:succeeded, failed=failed+:failed, cancelled=cancelled+:cancelled,
  retried=retried+:retried, rescued=rescued+:rescued, waitMs=waitMs+:wait_ms, runMs=runMs+:run_ms,
  hist=:hist
"""
_NEW_JOBS = """
SELECT type, count(*) AS n FROM queueJobs NOT INDEXED WHERE rowid>? GROUP BY type
"""
_LAST_ROW = "SELECT coalesce(max(rowid), 0) FROM queueJobs"
_SPAN = "SELECT * FROM queue_stats WHERE minute>=?1 AND (?2 IS NULL OR type=?2) ORDER BY minute"
_ENDED = """
SELECT type, minute, succeeded+failed+cancelled+retried AS n FROM queue_stats WHERE minute>=?1
"""
_UNFOLDED = """
SELECT * FROM queue_stats WHERE minute<?1 AND minute%60<>0 ORDER BY minute LIMIT 2000
"""
_DROP = "DELETE FROM queue_stats WHERE minute=?1 AND type=?2"


class Hist(msgspec.Struct):
    """How many attempts waited, and ran, up to 2**n ms."""

    wait: list[int] = msgspec.field(default_factory=lambda: [0] * BUCKETS)
    run: list[int] = msgspec.field(default_factory=lambda: [0] * BUCKETS)

    def add(self, other: "Hist") -> None:
        """Put the other's counts to these."""
        self.wait = [a + b for a, b in zip(self.wait, other.wait, strict=True)]
        self.run = [a + b for a, b in zip(self.run, other.run, strict=True)]


class Cell(msgspec.Struct):
    """The figures of one type in one minute, or of a longer stretch."""

    counts: Counter[str] = msgspec.field(default_factory=Counter)
    wait_ms: int = 0
    run_ms: int = 0
    hist: Hist = msgspec.field(default_factory=Hist)

    def add(self, other: "Cell") -> None:
        """Put the other's figures to these."""
        self.counts.update(other.counts)
        self.wait_ms += other.wait_ms
        self.run_ms += other.run_ms
        self.hist.add(other.hist)


Cells = dict[tuple[int, str], Cell]


class Tally:
    """The figures of one worker since its last write, and by type since it began (`whole`).

    They are due five seconds after the first.
    """

    def __init__(self, tell: Callable[[], None] | None = None) -> None:
        """`tell` is called when they are due."""
        self.cells: Cells = {}
        self.whole: dict[str, Cell] = {}
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def count(self, type_: str, outcome: Outcome, n: int = 1) -> None:
        """`n` jobs of a type came to this."""
        for cell in self._both(type_):
            cell.counts[outcome] += n

    def attempt(self, type_: str, wait_ms: int, run_ms: int) -> None:
        """One attempt started `wait_ms` late and took `run_ms`."""
        for cell in self._both(type_):
            cell.wait_ms += wait_ms
            cell.run_ms += run_ms
            cell.hist.wait[bucket(wait_ms)] += 1
            cell.hist.run[bucket(run_ms)] += 1

    def restore(self, cells: Cells) -> None:
        """Put back what could not be written."""
        for key, cell in cells.items():
            self.cells.setdefault(key, Cell()).add(cell)

    def take(self) -> Cells:
        """Everything since the last call."""
        taken, self.cells = self.cells, {}
        return taken

    def take_due(self) -> Cells:
        """Everything, if it is due."""
        return self.take() if self._timer is None else {}

    def _due(self, tell: Callable[[], None]) -> None:
        self._timer = None
        tell()

    def _both(self, type_: str) -> tuple[Cell, Cell]:
        if self._tell and not self.cells and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DUE_S, self._due, self._tell)
        key = (clock.ms() // MINUTE_MS, type_)
        if key not in self.cells:
            self.cells[key] = Cell()
        if type_ not in self.whole:
            self.whole[type_] = Cell()
        return self.cells[key], self.whole[type_]


def bucket(ms: int) -> int:
    """Which bucket a time belongs to: the first n with ms < 2**n."""
    return min(BUCKETS - 1, max(0, ms).bit_length())


def percentile(buckets: list[int], share: float) -> int | None:
    """The time in ms that this share of the attempts stayed below; None without any."""
    total = sum(buckets)
    if not total:
        return None
    reached = 0
    for n, count in enumerate(buckets):
        reached += count
        if reached >= share * total:
            return int(2**n)
    return int(2 ** (BUCKETS - 1))


# ---- inside a write ----


def write(connection: apsw.Connection, cells: Cells) -> None:
    """Add figures to what is stored."""
    for (minute, type_), cell in cells.items():
        hist = cell.hist
        for row in fetch(connection, _READ, (minute, type_)):
            hist = msgspec.json.decode(row["hist"] or "{}", type=Hist)
            hist.add(cell.hist)
        counts: dict[str, Any] = {name: cell.counts[name] for name in OUTCOMES}
        times = {"wait_ms": cell.wait_ms, "run_ms": cell.run_ms}
        stored = msgspec.json.encode(hist).decode()
        args = {**counts, **times, "minute": minute, "type": type_, "hist": stored}
        execute(connection, _ADD, args)


def count_new(connection: apsw.Connection, after: int) -> int:
    """Count the jobs asked for since row `after`, in whichever process; returns the row reached.

    Row numbers follow the order of the commits; ids would not, once a wall clock was set back.
    They are given anew where the newest rows were deleted: until the next call, as many are missed.
    """
    minute = clock.ms() // MINUTE_MS
    found = {row["type"]: row["n"] for row in fetch(connection, _NEW_JOBS, (after,))}
    write(connection, {(minute, type_): Cell(Counter(enqueued=n)) for type_, n in found.items()})
    return last_row(connection)


def last_row(connection: apsw.Connection) -> int:
    """The number of the newest job's row; 0 without any."""
    return int(fetch_value(connection, _LAST_ROW))


def fold(connection: apsw.Connection) -> int:
    """Turn minutes older than a week into hours, 2,000 rows at a time; returns how many."""
    rows = fetch(connection, _UNFOLDED, ((clock.ms() - FOLD_AFTER_MS) // MINUTE_MS,))
    cells: Cells = {}
    for row in rows:
        hour = row["minute"] - row["minute"] % HOUR
        cells.setdefault((hour, row["type"]), Cell()).add(_cell(row))
        execute(connection, _DROP, (row["minute"], row["type"]))
    write(connection, cells)
    return len(rows)


# ---- reading ----


async def cells(since_ms: int, step_ms: int, type_: str | None = None) -> list[tuple[int, Cell]]:
    """The figures of all types from `since_ms` on, in steps: (start in ms, figures), no gaps."""
    first = since_ms - since_ms % step_ms
    rows = await DB.all(_SPAN, (first // MINUTE_MS, type_))
    steps = {at: Cell() for at in range(first, clock.ms() + 1, step_ms)}
    for row in rows:
        at = row["minute"] * MINUTE_MS
        steps.setdefault(at - at % step_ms, Cell()).add(_cell(row))
    return sorted(steps.items())


async def by_type(since_ms: int) -> dict[str, Cell]:
    """The figures of each type from `since_ms` on."""
    found: dict[str, Cell] = {}
    for row in await DB.all(_SPAN, (since_ms // MINUTE_MS, None)):
        found.setdefault(row["type"], Cell()).add(_cell(row))
    return found


async def hours(since_ms: int) -> dict[str, list[int]]:
    """How many attempts of each type ended in each hour from `since_ms` on; types without: none."""
    first = since_ms // MINUTE_MS
    length = (clock.ms() // MINUTE_MS - first) // HOUR + 1
    found: dict[str, list[int]] = {}
    for row in await DB.all(_ENDED, (first,)):
        found.setdefault(row["type"], [0] * length)[(row["minute"] - first) // HOUR] += row["n"]
    return found


def total(parts: Iterable[Cell]) -> Cell:
    """All figures together."""
    whole = Cell()
    for part in parts:
        whole.add(part)
    return whole


def _cell(row: dict[str, Any]) -> Cell:
    counts: Counter[str] = Counter({name: row[name] for name in OUTCOMES})
    hist = msgspec.json.decode(row["hist"] or "{}", type=Hist)
    return Cell(counts, row["waitMs"], row["runMs"], hist)
