"""The life of one attempt: calls the handler, minds its limits and stops, judges the end."""

import asyncio
import contextlib
import contextvars
import threading
import traceback
from collections.abc import Callable
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars

from db import clock
from db.failpoints import afailpoint, failpoint
from jobs.claim import Complete, Failed, PutBack, Stopped, Verb
from jobs.context import Context
from jobs.outcome import (
    Cancel,
    Cancelled,
    Exited,
    GivenBack,
    LeaseLost,
    RateBlocked,
    Snooze,
    TimedOut,
    judge,
)
from jobs.payload import BadPayload, NewerPayload, Payload
from jobs.registry import Handler
from jobs.row import Job

log = structlog.get_logger("jobs")

CANCEL_GRACE_S = 5.0  # for a handler to end by itself before it is interrupted
STUCK_S = 10.0  # for an interrupted one to end; then its slot is written off
ALONE_MS = 60_000  # so long a job that killed a worker runs alone: it shows soon, or is long work
GIVE_BACK_S = 3.0  # the same during a shutdown, which must be done before the supervisor kills us
NEWER_DELAY_MS = 5 * 60 * 1000
BROKEN_DELAY_MS = 60 * 1000
ERROR_CHARS = 2000
STACK_CHARS = 16 * 1024


class Run:
    """One claimed job on its way. The worker calls `start`, then hears how it ended, once.

    In between it may call `cancel`, `drain`, `give_back` and `lose`. There is one task per job and
    no other: thousands of small jobs a second go through here.
    """

    def __init__(
        self,
        row: Job,
        handler: Handler,
        ctx: Context,
        timeout_s: float,
        redact: Callable[[str], str],
    ) -> None:
        self.row = row
        self.handler = handler
        self.ctx = ctx
        self.error: BaseException = Cancelled("cancelled")
        self.over = False
        self._cancel_asked = False
        self._timeout_s = timeout_s
        self._redact = redact
        self._loop = asyncio.get_running_loop()
        self._reason: Exception | None = None  # why it was interrupted
        self._timers: list[asyncio.TimerHandle] = []

    # ---- the worker's side ----

    def cancel(self) -> None:
        """Somebody asked it to stop: flag now, interrupt after the grace."""
        if not self._cancel_asked:
            self._cancel_asked = True
            reason = Cancelled("cancelled on request")
            self.ctx.stop(reason)
            self._later(CANCEL_GRACE_S, reason)

    def drain(self) -> None:
        """The worker shuts down: only a flag, it may still finish."""
        self.ctx.stop(GivenBack("returned by shutdown"))

    def give_back(self) -> None:
        """The shutdown waits no longer."""
        self._interrupt_with(GivenBack("returned by shutdown"))

    def lose(self) -> None:
        """The row belongs to somebody else by now: whatever this attempt writes counts no more."""
        self._interrupt_with(LeaseLost(self.row.id))

    # ---- the attempt ----

    def start(self, tell: Callable[[Verb | None], None]) -> None:
        """Begin; `tell` gets what to write at the end, None if there is nothing to write."""
        self._tell = tell
        try:
            payload = self._payload()
        except BadPayload as error:
            self.error = error
            self._end(Failed(self._text(error), "bad_payload", counted=False))
        except NewerPayload as error:
            reason = f"needs a newer version: {error}"
            self._end(PutBack(NEWER_DELAY_MS, snoozed=True, reason=reason))
        except Exception as error:  # an upgrade of the domain's is broken
            self._end(self._broken(error))
        else:
            if payload is None:
                return self._end(Stopped("not started before it expired", "expired"))
            if self._timeout_s:
                over = TimedOut(f"ran over its limit of {self._timeout_s:g} s")
                self._later(self._timeout_s, over)
            self._work = self._begin(payload)
            self._work.add_done_callback(self._done)

    def _payload(self) -> Payload | None:
        if self.row.expires_at is not None and self.row.expires_at < clock.ms():
            return None
        return self.handler.payload.decode(self.row.payload_json)

    def _begin(self, payload: Payload) -> asyncio.Future[Any]:
        if self.handler.thread:
            return _in_thread(lambda: self.handler.call(payload, self.ctx), self.row.id)
        return self._loop.create_task(self._handle(payload))

    async def _handle(self, payload: Payload) -> Any:
        bind_contextvars(job_id=self.row.id)  # ends with the task
        try:
            return await self.handler.call(payload, self.ctx)
        except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the whole process
            raise Exited(f"the handler raised {error!r}") from error
        finally:
            await afailpoint("queue_after_effect")

    def _done(self, work: asyncio.Future[Any]) -> None:
        """The handler has ended, one way or another."""
        if self.over:  # it was written off before
            _forget(work)
            return
        try:
            verb = self._judge(work)
        except Exception as error:  # a backoff, a result of the domain's is broken
            verb = self._broken(error)
        self._end(verb)

    def _end(self, verb: Verb | None) -> None:
        self.over = True
        for timer in self._timers:
            timer.cancel()
        self._tell(verb)

    def _judge(self, work: asyncio.Future[Any]) -> Verb | None:
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if self.ctx.completed:
            if error is not None:
                log.warning("job.raised_after_complete", job_id=self.row.id, error=repr(error))
            return None
        if error is None:
            return Complete(self.ctx.encode(work.result()))
        return self._verb(self._reason or error)

    def _verb(self, error: BaseException) -> Verb | None:
        """What an exception means for the row."""
        self.error = error
        match error:
            case LeaseLost():
                return None
            case GivenBack():
                return PutBack(reason="returned by shutdown")
            case Snooze():
                closes = error.gate if isinstance(error, RateBlocked) else None
                delay_ms = round(error.delay_s * 1000)
                return PutBack(delay_ms, snoozed=True, reason=str(error), closes=closes)
            case Cancel():
                return Stopped(self._text(error))
        failure = judge(error, self.handler.permanent)
        after_s = failure.after_s
        if after_s is None:
            after_s = self.handler.backoff(self.row.attempts)
        return Failed(
            self._text(error),
            failure.code,
            self._stack(error),
            retryable=failure.retryable,
            delay_ms=round(after_s * 1000),
        )

    def _broken(self, error: Exception) -> Verb:
        """What is around the handler raised: worth another try, perhaps with a newer version."""
        log.error("job.broken", type=self.row.type, job_id=self.row.id, exc_info=error)
        self.error = error
        code = type(error).__name__
        return Failed(
            self._text(error), code, self._stack(error), retryable=True, delay_ms=BROKEN_DELAY_MS
        )

    # ---- interruptions ----

    def _later(self, seconds: float, reason: Exception) -> None:
        self._timers.append(self._loop.call_later(seconds, self._interrupt_with, reason))

    def _interrupt_with(self, reason: Exception) -> None:
        """Stop it, for the first of all reasons; what does not stop in time is left behind."""
        if self._reason is not None or self.over or self._work.done():
            return
        self._reason = reason
        self.ctx.stop(reason)
        if isinstance(self._work, asyncio.Task):  # a thread can only look at ctx.cancelled
            self._work.cancel()
        patience_s = GIVE_BACK_S if isinstance(reason, GivenBack) else STUCK_S
        self._timers.append(self._loop.call_later(patience_s, self._write_off, reason))

    def _write_off(self, reason: Exception) -> None:
        """It did not stop when told to: leave it behind, so the slot is free for others."""
        if self._work.done():  # it will tell in this very moment
            return
        log.error("job.stuck", job_id=self.row.id, type=self.row.type)
        verb = self._verb(reason)
        if isinstance(reason, TimedOut):
            verb = Failed(f"{reason} and did not stop", "timeout_stuck")
        self._end(verb)

    # ---- small things ----

    def _text(self, error: BaseException) -> str:
        return self._redact(str(error) or type(error).__name__)[:ERROR_CHARS]

    def _stack(self, error: BaseException) -> str:
        return self._redact("".join(traceback.format_exception(error)))[-STACK_CHARS:]


def _in_thread(call: Callable[[], Any], job_id: str) -> asyncio.Future[Any]:
    """Run `call` in a daemon thread: a pool's threads would keep the process from exiting."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def tell(result: Any, error: BaseException | None) -> None:
        if error is None:
            future.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:  # what a future refuses, or asyncio would end the process with
            future.set_exception(Exited(f"the handler raised {error!r}"))

    def work() -> None:
        try:
            context.run(bind_contextvars, job_id=job_id)
            result, error = context.run(call), None
            failpoint("queue_after_effect")
        except BaseException as raised:
            result, error = None, raised
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=work, name=f"job-{job_id[-6:]}", daemon=True).start()
    return future


def _forget(work: asyncio.Future[Any]) -> None:
    """Take note of how a written-off attempt ended, so that asyncio does not complain."""
    if not work.cancelled():
        work.exception()
