"""The worker: a task of the server's event loop that claims jobs and runs them. It does not poll.

It wakes when a commit touches the queue's tables, when the next job is due, and when a job ends.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import structlog

from db import changes, clock
from db.changes import Change
from db.engine import ApswEngine
from db.failpoints import failpoint
from jobs import bell, ending, history, lease, log
from jobs.claim import Complete, Failed, Fence, Verb
from jobs.context import Context
from jobs.ending import End
from jobs.history import Tally
from jobs.pulse import TIMING, Pulse, Timing
from jobs.registry import Handler, Registry
from jobs.row import State
from jobs.run import ALONE_MS, GIVE_BACK_S, Run
from jobs.ticks import TickState, keep_ticking
from jobs.turn import Ask, Claimed, Turned, turn

__all__ = ["Context", "Worker"]

logger = structlog.get_logger("jobs")

WAKING = frozenset({"queueJobs", "queueSettings", "queue_types", "queue_rates", "job_schedules"})
FLUSH_S = 0.5
SAFETY_S = 30.0  # covers suspend, clock steps and any signal that got lost
TROUBLE_S = 5.0


class Worker:
    """Runs the handlers of a registry on the database that is open."""

    def __init__(
        self,
        db: ApswEngine,
        registry: Registry,
        data_dir: Path,
        *,
        serves: bool = True,
        redact: log.Redact = str,
        timing: Timing = TIMING,
        version: str = "",
    ) -> None:
        """`serves`: this process serves pages, so types that are kept to it run here too."""
        self.id = lease.new_worker_id()
        self.handlers: dict[str, Handler] = {
            name: handler
            for name, handler in registry.handlers.items()
            if serves or handler.where == "anywhere"
        }
        self._rate_keys = {name: handler.rate_key for name, handler in self.handlers.items()}
        self.runs: dict[Fence, Run] = {}
        self.ticks = {
            name: TickState(tick.every_s)
            for name, tick in registry.ticks.items()
            if serves or tick.where == "anywhere"
        }
        self.turns = 0  # how often it looked
        self.draining = False
        self.resting = False  # takes nothing new, by somebody's hand
        self.storage_full = False
        self.corrupt = False  # nothing is claimed any more
        self._db = db
        self._registry = registry
        self._data_dir = data_dir
        self._redact = partial(log.storable, redact)
        self._timing = timing
        self._notes = log.Notes(self._stir, self._redact, timing.lease_ms)
        self._pulse = Pulse(
            self.id,
            registry,
            data_dir,
            running=lambda: [fence.id for fence in self.runs],
            timing=timing,
            version=version,
            counts_new=serves,
        )
        self._serves = serves
        self.tally = Tally(self.poke)
        self._ends: list[End] = []
        self._flushing: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe: list[Callable[[], None]] = []

    # ---- life ----

    async def start(self) -> None:
        """Rescue what dead workers left, then begin to claim. Returns once the rescue is done."""
        self._wake, self._idle, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._turning, self._loop = asyncio.Lock(), asyncio.get_running_loop()
        await self._pulse.start()
        self._unsubscribe = [
            changes.subscribe(self._on_commit),
            changes.on_foreign(self.poke),
            clock.on_move(self.poke),
        ]
        self._background = [self._spawn(self._live()), self._spawn(self._beat())]
        self._background += [
            self._spawn(keep_ticking(self._registry.ticks[name], state))
            for name, state in self.ticks.items()
        ]
        self._bell = await bell.listen(self._data_dir, self.poke) if self._serves else None

    async def stop(self, drain_s: float | None = None) -> None:
        """Claim no more, let running jobs end for `drain_s` (None: as set), give back the rest."""
        self.draining = True
        await self.settle()  # what a turn under way claims is drained, too
        await self._pulse.drain()
        for run in self.runs.values():
            run.drain()
        if self.corrupt:
            drain_s = 0.0
        elif drain_s is None:
            drain_s = await self._db.value("SELECT drainTimeoutMs/1000.0 FROM queueSettings")
        await self._until_idle(drain_s)
        for run in self.runs.values():
            run.give_back()
        self._hurry.clear()
        await self._until_idle(GIVE_BACK_S + 1)
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._bell:
            self._bell.close()
        with contextlib.suppress(apsw.Error):  # figures are not worth a failing shutdown
            await self._db.write(partial(history.write, cells=self.tally.take()))
        await self._pulse.stop()

    async def settle(self) -> None:
        """Return once no turn is under way that began before: it may still claim."""
        self.poke()
        async with self._turning:
            pass

    def hurry(self) -> None:
        """The second signal: a drain under way gives back at once."""
        self._hurry.set()

    def poke(self) -> None:
        """Look now."""
        self._wake.set()

    # ---- the loop ----

    async def _live(self) -> None:
        """Turn after turn, and rides in between, until somebody pokes or something is due."""
        while True:
            self._wake.clear()
            turned = await self._guarded(self._turn)
            while turned is not None:
                wait_s = SAFETY_S
                if turned.next_at is not None:
                    wait_s = min(wait_s, (turned.next_at - clock.ms()) / 1000)
                turned = await self._guarded(partial(self._ride, wait_s))

    async def _guarded(self, look: Callable[[], Awaitable[Turned | None]]) -> Turned | None:
        """Look for work; a worker outlives trouble with the disk, and says so."""
        try:
            async with self._turning:
                turned = await look()
        except (apsw.CorruptError, apsw.NotADBError) as error:
            self.corrupt = True
            logger.critical("queue.database_corrupt", error=str(error))
            await asyncio.Event().wait()  # the file is kept as it is: only a restore helps
        except (apsw.FullError, apsw.IOError, OSError) as error:
            self.storage_full = True
            logger.critical("queue.storage_full", error=str(error))
        except Exception:
            logger.exception("queue.turn_failed")
        else:
            self.storage_full = self.storage_full and turned is None
            return turned
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TROUBLE_S):
                await self._wake.wait()
        return None

    async def _ride(self, wait_s: float) -> Turned | None:
        """Take a turn as the last step of a commit of somebody else's that touches the queue.

        So what this process asks for is claimed in the commit that asks for it, and starts one sync
        of the disk after `enqueue`. None: something else came first, or `wait_s` is over.
        """
        if self._wake.is_set() or wait_s <= 0:
            return None
        known, ask = set(self.runs), self._ask()
        writer = self._db.writer  # the same one at the end, also where it was closed meanwhile
        op = writer.stand_by(partial(turn, ask=ask), WAKING, self._on_commit, self._begin_all)
        woken = self._loop.create_task(self._wake.wait())
        try:
            await asyncio.wait(
                {op.future, woken}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            if writer.retract(op):
                return None
            return self._take_on(await op.future, known, ask)
        finally:
            woken.cancel()
            writer.retract(op)

    async def _turn(self) -> Turned:
        """Write what ended and was said, claim what fits, start it. Nothing unwritten is lost."""
        ends, self._ends = self._ends, []
        said, cells = self._notes.take(), self.tally.take_due()
        known, ask = set(self.runs), self._ask(ends, said, cells)
        told = self._db.writer.last(partial(turn, ask=ask), self._on_commit, self._begin_all)
        try:
            turned: Turned = await told
        except BaseException:
            if told.cancelled() or told.exception():  # else it is written, and only we were stopped
                self._ends[:0] = ends
                self._notes.restore(said)
                self.tally.restore(cells)
            raise
        return self._take_on(turned, known, ask)

    def _ask(
        self,
        ends: Sequence[End] = (),
        said: log.Pending | None = None,
        cells: history.Cells | None = None,
    ) -> Ask:
        ended = {end.fence for end in ends}
        unended = [run for fence, run in self.runs.items() if fence not in ended]
        suspects = [run.ctx.started_at for run in unended if run.row.crashes]
        return Ask(
            worker=self.id,
            handlers=self.handlers,
            rate_keys=self._rate_keys,
            registry=self._registry,
            ends=ends,
            said=said,
            busy=Counter(run.handler.lane for run in unended),
            tally=cells or {},
            alone_until=max(suspects, default=-ALONE_MS) + ALONE_MS,
            claiming=not (self.draining or self.resting),
            lease_ms=self._timing.lease_ms,
        )

    def _take_on(self, turned: Turned, known: set[Fence], ask: Ask) -> Turned:
        """Forget what ended, pass on what became of the rest."""
        for end, row in turned.ended:
            self._count(self.runs[end.fence], row.state, end.verb)
        for end in ask.ends:
            self._drop(end.fence)
        for fence in known & set(self.runs):
            self._mind(self.runs[fence], turned.mine.get(fence))
        return turned

    def _mind(self, run: Run, cancel_asked: bool | None) -> None:
        """Pass on what the database says about a running job; None: it is not ours any more."""
        if cancel_asked:
            run.cancel()
        elif cancel_asked is None and not run.over and not run.ctx.completing:
            run.lose()

    # ---- one job ----

    def _begin_all(self, turned: Turned) -> None:
        """Start what was claimed, as soon as the loop hears of it."""
        self.turns += 1
        for claimed in turned.claimed:
            failpoint("queue_after_claim")
            try:
                self._begin(claimed)
            except Exception:  # its lease runs out, and it is rescued; the others begin
                logger.exception("queue.begin_failed", type=claimed.row.type)

    def _begin(self, claimed: Claimed) -> None:
        row = claimed.row
        fence = Fence(row.id, self.id, row.attempts)
        ctx = Context(
            row,
            fence=fence,
            notes=self._notes,
            children=self._pulse.children,
            data_dir=self._data_dir,
            rates=self._registry.rates,
        )
        run = Run(row, self.handlers[row.type], ctx, claimed.timeout_s, self._redact)
        if self.draining:
            run.drain()
        self.runs[fence] = run
        run.start(partial(self._ended, run))

    def _ended(self, run: Run, verb: Verb | None) -> None:
        """An attempt is over: its end is written with the next turn."""
        if run.ctx.unwritten:
            self._notes.restore(run.ctx.unwritten)
        if verb is None:
            if run.ctx.completed:
                self._count(run, "succeeded", None)
            self._drop(run.ctx.fence)
        elif run.handler.on_failed and not isinstance(verb, Complete):
            self._spawn(self._end_telling(run, self._end(run, verb)))
            return
        else:
            self._ends.append(self._end(run, verb))
        self.poke()

    def _end(self, run: Run, verb: Verb) -> End:
        return End(run.ctx.fence, verb, run.ctx.started_at, tuple(run.ctx.then_drafts))

    async def _end_telling(self, run: Run, end: End) -> None:
        """End a job whose domain wants to hear of it in the same transaction."""
        while True:
            try:
                async with self._db.tx() as tx:
                    row = await self._db.write(lambda conn: ending.apply(conn, end, clock.ms()))
                    if row is not None and row.finished_at is not None:
                        await ending.tell(self._registry, row, run.error, tx)
                if row is not None:
                    self._count(run, row.state, end.verb)
                self._drop(end.fence)
                return self.poke()
            except apsw.Error as error:  # the disk is full or locked: neither may lose the hook
                logger.critical("queue.end_waits", type=run.row.type, error=str(error))
                await asyncio.sleep(TROUBLE_S)
            except Exception:  # the hook held the transaction too long: the job ends without it
                logger.exception("job.on_failed_lost", type=run.row.type)
                self._ends.append(end)
                return self.poke()

    def _count(self, run: Run, state: State, verb: Verb | None) -> None:
        """Note an attempt for the statistics."""
        row, began = run.row, run.ctx.started_at
        if state in ("succeeded", "failed", "cancelled"):
            self.tally.count(row.type, state)
        elif isinstance(verb, Failed):
            self.tally.count(row.type, "retried")
        else:
            return
        self.tally.attempt(row.type, began - row.run_at, clock.ms() - began)

    def _drop(self, fence: Fence) -> None:
        self.runs.pop(fence, None)
        if not self.runs:
            self._idle.set()

    # ---- signals ----

    def _on_commit(self, touched: list[Change]) -> None:
        if any(change.table in WAKING for change in touched):
            self.poke()

    def _stir(self, full: bool) -> None:
        """Something was said: write it within half a second, at once if much is waiting."""
        if full or self._flushing is None:
            self._loop.call_soon_threadsafe(self._arm, full)

    def _arm(self, full: bool) -> None:
        if full:
            self.poke()
        elif self._flushing is None:
            self._flushing = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        self.poke()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._timing.pulse_s)
            try:
                for row in await self._pulse.beat():
                    self.tally.count(row.type, "rescued")
            except Exception:
                logger.exception("queue.pulse_failed")

    async def _until_idle(self, seconds: float) -> None:
        """Until no job runs, a hurry, or the time is over."""
        self._idle.clear()
        self.poke()
        if not self.runs:
            return
        waits = [self._loop.create_task(event.wait()) for event in (self._idle, self._hurry)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)  # a lost reference is a lost task
        task.add_done_callback(self._tasks.discard)
        return task
