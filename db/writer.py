"""The one thread that writes, and its group commit.

Writes that wait at one moment share one transaction and so one disk sync, each in a SAVEPOINT of
its own: one that fails does not take the others along. An interactive transaction has the
connection to itself from BEGIN to COMMIT. Only `_tell` runs on the event loop.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from db.changes import Change, Feed, Listener, Recorder
from db.connection import open_writer
from db.failpoints import failpoint
from db.session import TOO_LONG, End, Op, Session, Then, TransactionLost, Work
from db.waits import Waits

log = logging.getLogger(__name__)

GROUP_LIMIT = 200
SLOW_BODY_S = 0.25
BODY_LIMIT_S = 5.0
WRITER_DIED = 70

Answer = tuple[asyncio.Future[Any], Any, BaseException | None]


class Writer:
    """Owns the writer connection. Made, used and closed from the event loop's thread."""

    def __init__(self, path: Path, feed: Feed, body_limit_s: float = BODY_LIMIT_S) -> None:
        self._body_limit_s = body_limit_s
        self._loop = asyncio.get_running_loop()
        self._feed = feed
        self._queue: SimpleQueue[Op | Session | None] = SimpleQueue()
        self.waits = Waits()
        self._standing: list[Op] = []
        self._standing_lock = threading.Lock()
        self._connection = open_writer(path)
        self._recorder = Recorder(self._connection)
        self._thread = threading.Thread(target=self._run, name="db-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Queue one write; the future holds its answer once the commit is on the disk."""
        op = Op(work, self._loop.create_future())
        self._queue.put(op)
        return op.future

    def last(self, work: Work, listener: Listener, then: Then | None = None) -> asyncio.Future[Any]:
        """Queue a write that ends its group; `listener` is not told of that commit."""
        op = Op(work, self._loop.create_future(), listener=listener, then=then)
        self._queue.put(op)
        return op.future

    def stand_by(
        self, work: Work, tables: frozenset[str], listener: Listener, then: Then | None = None
    ) -> Op:
        """Do `work` at the end of the next transaction that touches one of `tables`, in its commit.

        Whoever waits for such a change is spared a commit of its own; `listener` is not told.
        """
        op = Op(work, self._loop.create_future(), listener=listener, tables=tables, then=then)
        with self._standing_lock:
            self._standing.append(op)
        return op

    def retract(self, op: Op) -> bool:
        """Stand by no more; False if a transaction has taken the op: its future tells."""
        with self._standing_lock:
            if op in self._standing:
                self._standing.remove(op)
                return True
        return False

    def look(self, work: Work) -> asyncio.Future[Any]:
        """Run `work` on the writer's connection outside any transaction."""
        op = Op(work, self._loop.create_future(), bare=True)
        self._queue.put(op)
        return op.future

    def begin(self) -> Session:
        """Queue an interactive transaction; `begun` is done when it has the write lock."""
        session = Session(self._loop.create_future())
        self._queue.put(session)
        return session

    def step(self, session: Session, work: Work) -> asyncio.Future[Any]:
        """Run `work` inside the session's transaction."""
        op = Op(work, self._loop.create_future())
        session.put(op)
        return op.future

    def finish(self, session: Session, *, commit: bool) -> asyncio.Future[Any]:
        """End the session; the future is done when the commit is on the disk."""
        end = End(self._loop.create_future(), commit=commit)
        session.put(end)
        return end.future

    def waiting(self) -> int:
        """How many writes and transactions stand in line."""
        return self._queue.qsize()

    def mark(self) -> int:
        """The recorder's place, for a savepoint; call it on the thread only."""
        return self._recorder.mark()

    def rewind(self, mark: int) -> None:
        """Forget the changes of a savepoint that was rolled back; call it on the thread only."""
        self._recorder.rewind(mark)

    async def close(self) -> None:
        """Do what was queued before, then checkpoint and close."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # ---- on the thread ----

    def _run(self) -> None:
        try:
            item = self._queue.get()
            while item is not None:
                if isinstance(item, Session):
                    self._session(item)
                    item = self._queue.get()
                elif item.bare:
                    self._look(item)
                    item = self._queue.get()
                else:
                    item = self._group(item)
            self._shut()
        except BaseException:
            log.critical("the database writer died; the process cannot go on", exc_info=True)
            os._exit(WRITER_DIED)

    def _group(self, first: Op) -> Op | Session | None:
        """Commit `first` and the writes behind it; returns the item after them."""
        group = [first]
        while len(group) < GROUP_LIMIT and group[-1].listener is None:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if not isinstance(item, Op) or item.bare:
                self._commit(group)
                return item
            group.append(item)
        self._commit(group)
        return self._queue.get()

    def _look(self, op: Op) -> None:
        try:
            self._answer([(op.future, op.work(self._connection), None)], [])
        except Exception as error:
            self._answer([(op.future, None, error)], [])

    def _commit(self, group: list[Op]) -> None:
        answers: list[Answer] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for op in group:
                answers.append(self._one(op))
            for op in self._riders():
                group.append(op)
                answers.append(self._one(op))
            self._connection.execute("COMMIT")
            self.waits.note(time.monotonic() - group[0].asked_s)
        except Exception as error:  # BUSY, FULL, IOERR: nothing of the group is on the disk
            self._rollback()
            answers = [(op.future, None, error) for op in group]
        failpoint("changes_before_handover")
        self._answer(answers, self._recorder.take(), [op for op in group if op.listener])

    def _riders(self) -> list[Op]:
        """The op that stands by for what this transaction changed, if there is one."""
        if not self._standing:
            return []
        touched = {change.table for change in self._recorder.pending}
        with self._standing_lock:
            for op in self._standing:
                if not op.tables.isdisjoint(touched):
                    self._standing.remove(op)
                    return [op]
        return []

    def _one(self, op: Op) -> Answer:
        mark = self._recorder.mark()
        self._connection.execute("SAVEPOINT one")
        try:
            result = op.work(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:  # SQLite itself rolled the whole group back
                raise
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            self._recorder.rewind(mark)
            return op.future, None, error
        self._connection.execute("RELEASE one")
        return op.future, result, None

    def _session(self, session: Session) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            self._answer([(session.begun, None, error)], [])
            return
        self._answer([(session.begun, None, None)], [])
        began = time.monotonic()
        while self._step(session, self._body_limit_s - (time.monotonic() - began)):
            pass
        held = time.monotonic() - began
        if held > SLOW_BODY_S:
            log.warning("a transaction held the write lock for %d ms", held * 1000)

    def _step(self, session: Session, left_s: float) -> bool:
        """Do the session's next step; returns whether it goes on."""
        try:
            step = session.steps.get(timeout=max(0.0, left_s))
        except Empty:
            self._lose(session)
            return False
        if isinstance(step, End):
            self._end(step)
            return False
        try:
            if not self._connection.in_transaction:
                raise TransactionLost("SQLite rolled the transaction back")
            self._answer([(step.future, step.work(self._connection), None)], [])
        except Exception as error:
            self._answer([(step.future, None, error)], [])
        return True

    def _end(self, end: End) -> None:
        error: BaseException | None = None
        answers: list[Answer] = []
        whole = end.commit and self._connection.in_transaction  # else COMMIT says what is wrong
        riders = self._riders() if whole else []
        if end.commit:
            try:
                answers += [self._one(op) for op in riders]
                self._connection.execute("COMMIT")
            except Exception as failure:
                error = failure
                answers = [(op.future, None, failure) for op in riders]
        if not end.commit or error is not None:
            self._rollback()
        failpoint("changes_before_handover")
        self._answer([(end.future, None, error), *answers], self._recorder.take(), riders)

    def _lose(self, session: Session) -> None:
        log.error("a transaction held the write lock for %g s: rolled back", self._body_limit_s)
        self._rollback()
        error = TransactionLost(TOO_LONG)
        self._answer([(step.future, None, error) for step in session.lose()], [])

    def _rollback(self) -> None:
        self._recorder.rewind(0)
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _answer(
        self,
        answers: list[Answer],
        changes: list[Change],
        knowing: Sequence[Op] = (),
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, answers, changes, knowing)

    def _tell(
        self,
        answers: list[Answer],
        changes: list[Change],
        knowing: Sequence[Op],
    ) -> None:
        for future, result, error in answers:
            if future.done():  # its task was cancelled meanwhile
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        if changes:
            self._feed.deliver(changes, knowing[-1].listener if knowing else None)
        for op in knowing:
            if op.then and not op.future.cancelled() and not op.future.exception():
                try:
                    op.then(op.future.result())
                except Exception:
                    log.exception("who waited for a commit failed at its news")

    def _shut(self) -> None:
        # Another process still reads, and its close will do it; or the file is damaged.
        with contextlib.suppress(apsw.BusyError, apsw.CorruptError, apsw.NotADBError):
            self._connection.execute("PRAGMA optimize").fetchall()
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._connection.close()
