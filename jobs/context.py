"""What a handler is given beside its payload: facts, flags, progress, log, steps, transactions."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar, Unpack

import apsw
import msgspec

from db import clock
from db.connection import execute
from db.engine import DB, Tx
from jobs import ending, log, logfile, rates
from jobs.children import TERM_S, Children
from jobs.claim import Complete, Fence
from jobs.insert import Draft, Options, draft, ms
from jobs.outcome import Cancelled, GivenBack, LeaseLost, RateBlocked, Snooze, TimedOut
from jobs.payload import Payload
from jobs.registry import Rate
from jobs.row import Job

T = TypeVar("T")

SNOOZE_FROM_S = 30.0  # a longer sleep gives its slot back
GIVEN_BACK_TERM_S = 2.0  # children of a job that a shutdown gives back
RESULT_BYTES = 64 * 1024

_CHECKPOINT = """
UPDATE queueJobs SET checkpointJson=?4, updatedAt=?5
WHERE id=?1 AND state='running' AND lockedBy=?2 AND attempts=?3
"""


class ProcessFailed(Exception):
    """A child process ended with a status other than 0."""

    def __init__(self, program: str, status: int) -> None:
        super().__init__(f"{program} ended with status {status}")
        self.status = status


class Checkpoint(msgspec.Struct):
    """What survives a crash of the attempt."""

    steps: dict[str, Any] = msgspec.field(default_factory=dict)
    cursor: Any = None


class Context:
    """One attempt of one job, as its handler sees it."""

    def __init__(
        self,
        row: Job,
        *,
        fence: Fence,
        notes: log.Notes,
        children: Children,
        data_dir: Path,
        rates: Mapping[str, Rate],
    ) -> None:
        self.fence = fence
        self.stopped: Exception | None = None
        self.completing = False
        self.completed = False
        self.then_drafts: list[Draft] = []
        self.unwritten: log.Pending | None = None
        self.log = log.JobLog(notes, fence, row.type)
        self._row = row
        self._notes = notes
        self._children = children
        self._data_dir = data_dir
        self._rates = rates
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._checkpoint = _checkpoint(row)
        self._steps_seen: set[str] = set()

    # ---- facts ----

    @property
    def id(self) -> str:
        """The job's id."""
        return self._row.id

    @property
    def idempotency_key(self) -> str:
        """What to send to a service that can tell a repeated call; the same for every attempt."""
        return self._row.id

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._row.attempts

    @property
    def max_attempts(self) -> int:
        """How many there may be."""
        return self._row.max_attempts

    @property
    def last_attempt(self) -> bool:
        """Whether a failure now is final."""
        return self._row.attempts >= self._row.max_attempts

    @property
    def snoozes(self) -> int:
        """How often the job has snoozed."""
        return self._row.snoozes

    @property
    def age_s(self) -> float:
        """Seconds since the job was asked for: for deadlines of a job that snoozes."""
        return (clock.ms() - self._row.created_at) / 1000

    @property
    def owner(self) -> str | None:
        """The user it belongs to."""
        return self._row.owner_user_id

    @property
    def project_id(self) -> str | None:
        """The project it belongs to."""
        return self._row.project_id

    @property
    def subject(self) -> tuple[str, str] | None:
        """The domain row it is about."""
        return self._row.subject

    # ---- stopping ----

    @property
    def cancelled(self) -> bool:
        """Whether to stop for good: cancelled, over time, or no longer ours. Threads must look."""
        return isinstance(self.stopped, Cancelled | TimedOut | LeaseLost)

    @property
    def draining(self) -> bool:
        """Whether the worker shuts down: a good moment to save a cursor and `check()`."""
        return isinstance(self.stopped, GivenBack)

    def check(self) -> None:
        """Raise what ends this attempt if it should stop; let it pass through the handler."""
        if self.stopped is not None:
            raise self.stopped

    async def sleep(self, seconds: float) -> None:
        """Wait, but not past a stop. Over 30 s the job snoozes instead and starts anew later."""
        if seconds > SNOOZE_FROM_S:
            raise Snooze(seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        self.check()

    def stop(self, reason: Exception) -> None:
        """Ask the handler to stop; the worker's side of `check()`. A shutdown is the weakest."""
        if self.stopped is None or self.draining:
            self.stopped = reason
        self._stop.set()

    # ---- rates ----

    async def rate(self, key: str, n: int = 1) -> None:
        """Wait until `n` calls of this key may be made, and count them. Not inside a transaction.

        The start of a job has already taken one of its payload's `rate_key`. `n` is for a loop that
        sends in small groups: more than the bucket holds is taken in parts. A wait of over 30 s
        becomes a snooze.
        """
        while n > 0:
            part = min(n, await self._burst(key))
            take = partial(self._take, key=key, n=part)
            while (opens := await DB.write(take)) is not None:
                await self.sleep(max(1, opens - clock.ms()) / 1000)
            n -= part

    def rate_blocked(self, key: str, until: datetime | int) -> NoReturn:
        """The service said when to come back: close its gate for every job, snooze this one.

        The gate closes in the transaction that puts the job back. Let what this raises pass.
        """
        delay_ms = (ms(until) or 0) - clock.ms()
        gate = (key, rates.declared_for(self._rates, key))
        raise RateBlocked(max(0, delay_ms) / 1000, gate)

    def _take(self, connection: apsw.Connection, key: str, n: int) -> int | None:
        return rates.take(connection, self._rates, key, clock.ms(), n)

    async def _burst(self, key: str) -> int:
        stored = await DB.value("SELECT burst FROM queue_rates WHERE key=?", (key,))
        declared = rates.declared_for(self._rates, key) or rates.UNDECLARED
        return int(stored or declared.burst)

    # ---- telling ----

    async def progress(
        self, done: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Say how far it is: `done` of `total`, or percent. Written twice a second at most."""
        percent = round(done if total is None else 100 * done / max(total, 1e-9))
        self._notes.move(self.fence, min(100, max(0, percent)), message)

    # ---- the database ----

    def tx(self) -> Any:
        """A write transaction; finish in it with `complete`."""
        return DB.tx()

    async def complete(self, tx: Tx, result: Any = None) -> None:
        """Succeed inside this transaction: its rows and the job's end commit together or not.

        Raises LeaseLost when the job belongs to another worker by now; let it roll the rows back.
        """
        verb = Complete(self.encode(result))
        end = ending.End(self.fence, verb, self.started_at, tuple(self.then_drafts))
        said = self.unwritten = self._notes.take()

        def write(connection: apsw.Connection) -> None:
            log.write(connection, said)
            if ending.apply(connection, end, clock.ms()) is None:
                raise LeaseLost(self.id)

        self.completing = True
        await DB.write(write)
        tx.after_commit(self._committed)

    def then(self, payload: Payload, **options: Unpack[Options]) -> None:
        """Enqueue a child in the finishing transaction, if this attempt succeeds."""
        options.setdefault("owner", self.owner)
        options["parent"] = self.id
        self.then_drafts.append(draft(payload, **options))

    # ---- resuming ----

    async def step(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` once over all attempts: its stored result is the answer ever after.

        The result must be plain JSON values; names are unique within the handler.
        """
        if name in self._steps_seen:
            raise ValueError(f"two steps named {name}")
        self._steps_seen.add(name)
        if name not in self._checkpoint.steps:
            self._checkpoint.steps[name] = await work()
            await self._save()
        return self._checkpoint.steps[name]  # type: ignore[no-any-return]

    @property
    def cursor(self) -> Any:
        """The position a former attempt saved, else None."""
        return self._checkpoint.cursor

    async def save_cursor(self, position: Any) -> None:
        """Keep a position inside a step; joins an open transaction."""
        self._checkpoint.cursor = position
        await self._save()

    async def _save(self) -> None:
        stored = msgspec.json.encode(self._checkpoint).decode()
        key = (self.fence.id, self.fence.worker, self.fence.attempt)
        if not await DB.write(lambda conn: execute(conn, _CHECKPOINT, (*key, stored, clock.ms()))):
            raise LeaseLost(self.id)

    # ---- processes and threads ----

    async def run_process(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> int:
        """Run a program in its own process group, its output to the job's log file.

        It ends with the attempt, also with one that was killed. Raises ProcessFailed for a status
        other than 0, unless `check` is off.
        """
        path = logfile.path_of(self._data_dir, self.id, self._row.created_at)
        file = logfile.LogFile(path, self._notes.redact)
        try:
            status = await self._children.run(
                self.id,
                argv,
                cwd=cwd,
                env=env,
                sink=file.add,
                term_s=lambda: GIVEN_BACK_TERM_S if self.draining else TERM_S,
            )
        finally:
            file.end()
        if check and status != 0:
            raise ProcessFailed(argv[0], status)
        return status

    def from_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """For handlers in threads: run a coroutine on the worker's loop and wait for its answer."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # ---- for the worker ----

    @property
    def started_at(self) -> int:
        """When this attempt was claimed, in milliseconds."""
        return self._row.started_at or 0

    def encode(self, result: Any) -> str | None:
        """The stored form of a result; one over 64 KiB is not kept, and the job's log says so."""
        if result is None:
            return None
        text = msgspec.json.encode(result)
        if len(text) > RESULT_BYTES:
            self.log.warn(  # noqa: G010 - ours, not logging's
                "result not kept: over 64 KiB", bytes=len(text)
            )
            return None
        return text.decode()

    def _committed(self) -> None:
        self.completed = True
        self.unwritten = None


def _checkpoint(row: Job) -> Checkpoint:
    """What a former attempt kept; one that cannot be read means starting over, not failing."""
    try:
        return msgspec.json.decode(row.checkpoint_json or "{}", type=Checkpoint)
    except msgspec.DecodeError:
        return Checkpoint()
