"""The life of one attempt: calls the handler, minds its limits and stops, judges the end."""

import asyncio
import contextlib
import contextvars
import threading
import traceback
from collections.abc import Callable
from typing import Any

import structlog

from db import clock
from db.failpoints import afailpoint
from jobs.claim import Complete, Failed, PutBack, Stopped, Verb
from jobs.context import Context
from jobs.outcome import (
    Cancel,
    Cancelled,
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
    """One claimed job on its way. The worker calls `cancel`, `drain`, `give_back` and `lose`."""

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
        self._interrupt: asyncio.Future[Exception] = self._loop.create_future()
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

    def broken(self, error: Exception) -> Verb:
        """What is around the handler raised: worth another try, perhaps with a newer version."""
        self.error = error
        code = type(error).__name__
        return Failed(
            self._text(error),
            code,
            self._stack(error),
            retryable=True,
            delay_ms=BROKEN_DELAY_MS,
        )

    # ---- the attempt ----

    async def perform(self) -> Verb | None:
        """Run the handler to its end; returns what to write, None if there is nothing to write."""
        try:
            if self.row.expires_at is not None and self.row.expires_at < clock.ms():
                return Stopped("not started before it expired", "expired")
            payload = self.handler.payload.decode(self.row.payload_json)
        except BadPayload as error:
            self.error = error
            return Failed(self._text(error), "bad_payload", counted=False)
        except NewerPayload as error:
            return PutBack(NEWER_DELAY_MS, snoozed=True, reason=f"needs a newer version: {error}")
        try:
            return await self._supervise(payload)
        finally:
            self.over = True
            for timer in self._timers:
                timer.cancel()

    async def _supervise(self, payload: Payload) -> Verb | None:
        work = self._start(payload)
        if self._timeout_s:
            self._later(self._timeout_s, TimedOut(f"ran over its limit of {self._timeout_s:g} s"))
        await asyncio.wait({work, self._interrupt}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            reason = self._interrupt.result()
            self.ctx.stop(reason)
            if isinstance(work, asyncio.Task):  # a thread can only look at ctx.cancelled
                work.cancel()
            patience = GIVE_BACK_S if isinstance(reason, GivenBack) else STUCK_S
            await asyncio.wait({work}, timeout=patience)
            if not work.done():
                return self._stuck(work, reason)
        await afailpoint("queue_after_effect")
        return self._judge(work)

    def _start(self, payload: Payload) -> asyncio.Future[Any]:
        if self.handler.thread:
            return _in_thread(lambda: self.handler.call(payload, self.ctx), self.row.id)
        return self._loop.create_task(self.handler.call(payload, self.ctx))

    def _judge(self, work: asyncio.Future[Any]) -> Verb | None:
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if self.ctx.completed:
            if error is not None:
                log.warning("job.raised_after_complete", job_id=self.row.id, error=repr(error))
            return None
        if error is None:
            return Complete(self.ctx.encode(work.result()))
        if self._interrupt.done():
            error = self._interrupt.result()
        return self._verb(error)

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

    def _stuck(self, work: asyncio.Future[Any], reason: Exception) -> Verb | None:
        """It did not stop when told to: leave it behind, so the slot is free for others."""
        log.error("job.stuck", job_id=self.row.id, type=self.row.type)
        work.add_done_callback(_forget)
        verb = self._verb(reason)
        if isinstance(reason, TimedOut):
            return Failed(f"{reason} and did not stop", "timeout_stuck")
        return verb

    # ---- small things ----

    def _later(self, seconds: float, reason: Exception) -> None:
        self._timers.append(self._loop.call_later(seconds, self._interrupt_with, reason))

    def _interrupt_with(self, reason: Exception) -> None:
        if not self._interrupt.done():
            self._interrupt.set_result(reason)

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
        else:
            future.set_exception(error)

    def work() -> None:
        try:
            result, error = context.run(call), None
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
