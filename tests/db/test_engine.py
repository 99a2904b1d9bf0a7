import asyncio
import threading
import time
from pathlib import Path

import apsw
import pytest

from db import changes, failpoints
from db.changes import Change
from db.engine import DB, ApswEngine, NotOpen
from db.session import TransactionLost

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO configuration (id, key, value) VALUES (?1, ?1, ?2)"


async def count(db: ApswEngine) -> int:
    return int(await db.value("SELECT count(*) FROM configuration"))


async def test_a_write_is_there_for_the_next_read(db: ApswEngine) -> None:
    assert await db.execute(INSERT, ("a", "1")) == 1
    assert await db.one("SELECT key, value FROM configuration") == {"key": "a", "value": "1"}
    assert await db.value("SELECT value FROM configuration WHERE key = :key", {"key": "a"}) == "1"


async def test_no_row_is_none_and_no_rows_an_empty_list(db: ApswEngine) -> None:
    assert await db.one("SELECT 1 FROM configuration") is None
    assert await db.value("SELECT 1 FROM configuration") is None
    assert await db.all("SELECT 1 FROM configuration") == []


async def test_every_commit_is_synced(db: ApswEngine) -> None:
    assert await db.writer.look(lambda c: c.pragma("synchronous")) == 2
    assert await db.writer.look(lambda c: c.pragma("journal_mode")) == "wal"
    assert await db.writer.look(lambda c: c.pragma("foreign_keys")) == 1


async def test_readers_cannot_write(db: ApswEngine) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        await db.read(lambda c: c.execute(INSERT, ("a", "1")).fetchall())


async def test_a_with_statement_that_writes_finds_the_writer(db: ApswEngine) -> None:
    rows = await db.all(
        "WITH one AS (SELECT 'k' AS k) INSERT INTO configuration (id, key) SELECT k, k FROM one"
        " RETURNING key"
    )
    assert rows == [{"key": "k"}]


async def test_writes_of_one_moment_share_one_transaction(db: ApswEngine) -> None:
    held = await _hold_the_writer(db)
    commits: list[list[Change]] = []
    stop = changes.subscribe(commits.append)
    writes = asyncio.gather(*(db.execute(INSERT, (f"k{n}", "x")) for n in range(20)))
    await asyncio.sleep(0)
    held.set()
    await writes
    stop()
    assert [len(commit) for commit in commits] == [20], "one commit, and so one sync"
    assert await count(db) == 20


async def test_one_that_fails_does_not_take_the_others_along(db: ApswEngine) -> None:
    held = await _hold_the_writer(db)
    seen: list[list[Change]] = []
    stop = changes.subscribe(seen.append)
    writes = [db.execute(INSERT, (key, "x")) for key in ("a", "b", "a", "c")]
    gathered = asyncio.gather(*writes, return_exceptions=True)
    await asyncio.sleep(0)
    held.set()
    results = await gathered
    stop()
    assert [isinstance(result, apsw.ConstraintError) for result in results] == [
        False,
        False,
        True,
        False,
    ]
    assert await count(db) == 3
    assert len(seen) == 1, "one commit"
    assert [change.key for change in seen[0]] == ["a", "b", "c"]


async def test_a_transaction_commits_whole(db: ApswEngine) -> None:
    async with db.tx():
        await db.execute(INSERT, ("a", "1"))
        await db.execute(INSERT, ("b", "2"))
        assert await count(db) == 2
        assert await db.read(lambda c: c.in_transaction), "reads inside see its rows"
    assert await count(db) == 2


async def test_a_transaction_that_fails_leaves_nothing(db: ApswEngine) -> None:
    called: list[str] = []

    async def body() -> None:
        async with db.tx() as tx:
            tx.after_commit(lambda: called.append("after"))
            await db.execute(INSERT, ("a", "1"))
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await body()
    assert await count(db) == 0
    assert called == []


async def test_a_nested_one_rolls_back_alone(db: ApswEngine) -> None:
    seen: list[list[Change]] = []
    stop = changes.subscribe(seen.append)
    called: list[str] = []

    async def body() -> None:
        async with db.tx() as inner:
            await db.execute(INSERT, ("b", "2"))
            inner.after_commit(lambda: called.append("inner"))
            raise ValueError("inner")

    async with db.tx() as tx:
        await db.execute(INSERT, ("a", "1"))
        tx.after_commit(lambda: called.append("outer"))
        with pytest.raises(ValueError, match="inner"):
            await body()
    stop()
    assert [change.key for commit in seen for change in commit] == ["a"]
    assert await count(db) == 1
    await asyncio.sleep(0)
    assert called == ["outer"]


async def test_a_failed_statement_inside_a_transaction_leaves_it_usable(db: ApswEngine) -> None:
    async with db.tx():
        await db.execute(INSERT, ("a", "1"))
        with pytest.raises(apsw.ConstraintError):
            await db.execute(INSERT, ("a", "2"))
        await db.execute(INSERT, ("b", "2"))
    assert await count(db) == 2


async def test_a_cancelled_request_leaves_no_transaction_open(db: ApswEngine) -> None:
    started = asyncio.Event()

    async def request() -> None:
        async with db.tx():
            await db.execute(INSERT, ("a", "1"))
            started.set()
            await asyncio.sleep(60)

    task = asyncio.get_running_loop().create_task(request())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await db.execute(INSERT, ("b", "2"))
    assert [row["key"] for row in await db.all("SELECT key FROM configuration")] == ["b"]


async def test_cancelled_while_waiting_for_the_lock_begins_nothing(db: ApswEngine) -> None:
    held = await _hold_the_writer(db)

    async def request() -> None:
        async with db.tx():
            await db.execute(INSERT, ("a", "1"))

    task = asyncio.get_running_loop().create_task(request())
    await asyncio.sleep(0.01)
    task.cancel()
    held.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await db.execute(INSERT, ("b", "2"))
    assert await count(db) == 1
    assert not await db.writer.look(lambda c: c.in_transaction)


@pytest.mark.parametrize("point", range(1, 12))
async def test_cancelled_at_any_await_the_engine_goes_on(db: ApswEngine, point: int) -> None:
    """Cancel at the n-th turn of the loop, whichever await that is: whole or nothing."""

    async def request() -> None:
        async with db.tx():
            await db.execute(INSERT, ("a", "1"))
            await db.execute(INSERT, ("b", "2"))

    task = asyncio.get_running_loop().create_task(request())
    for _ in range(point):
        await asyncio.sleep(0)
        await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await count(db) in (0, 2)
    await db.execute(INSERT, ("c", "3"))


async def test_a_body_that_never_ends_is_rolled_back(database: Path) -> None:
    engine = ApswEngine()
    await engine.open(database, body_limit_s=0.05)

    async def body() -> None:
        async with engine.tx():
            await engine.execute(INSERT, ("a", "1"))
            await asyncio.sleep(0.3)

    with pytest.raises(TransactionLost):
        await body()
    assert await count(engine) == 0
    await engine.execute(INSERT, ("b", "2"))
    await engine.close()


async def test_a_task_that_outlives_its_transaction_writes_on_its_own(db: ApswEngine) -> None:
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        await db.execute(INSERT, ("late", "1"))

    async with db.tx():
        task = asyncio.get_running_loop().create_task(later())
        await db.execute(INSERT, ("a", "1"))
    go.set()
    await task
    assert await count(db) == 2


async def test_the_loop_never_waits_for_the_lock(db: ApswEngine) -> None:
    held = await _hold_the_writer(db)
    write = asyncio.get_running_loop().create_task(db.execute(INSERT, ("a", "1")))
    turns = 0
    for _ in range(100):
        await asyncio.sleep(0)
        turns += 1
    assert turns == 100
    assert not write.done()
    assert await count(db) == 0, "readers answer meanwhile"
    held.set()
    await write


async def test_disk_full_is_said_and_nothing_is_kept(db: ApswEngine) -> None:
    def full(connection: apsw.Connection) -> None:
        connection.execute(INSERT, ("b", "2")).fetchall()
        failpoints.failpoint("disk")

    failpoints.arm("disk:enospc")
    with pytest.raises(OSError, match="No space left"):
        await db.write(full)
    assert await count(db) == 0


async def test_another_process_is_noticed(db: ApswEngine) -> None:
    heard = asyncio.Event()
    stop = changes.on_foreign(heard.set)
    path = db.path

    def foreign() -> None:  # to SQLite a second connection is what a second process is
        connection = apsw.Connection(str(path))
        connection.execute(INSERT, ("other", "1")).fetchall()
        connection.close()

    await asyncio.to_thread(foreign)
    await asyncio.wait_for(heard.wait(), 5)
    stop()


async def test_own_commits_are_not_taken_for_foreign_ones(db: ApswEngine) -> None:
    heard: list[int] = []
    stop = changes.on_foreign(lambda: heard.append(1))
    await db.execute(INSERT, ("a", "1"))
    await asyncio.sleep(1.1)
    stop()
    assert heard == []


async def test_closing_finishes_what_was_asked_before(database: Path) -> None:
    engine = ApswEngine()
    await engine.open(database)
    writes = [engine.execute(INSERT, (f"k{n}", "x")) for n in range(10)]
    gathered = asyncio.gather(*writes)
    await asyncio.sleep(0)
    await engine.close()
    assert await gathered == [1] * 10
    with pytest.raises(NotOpen):
        await engine.all("SELECT 1")


async def test_threads_end_with_the_engine(db: ApswEngine) -> None:
    names = {thread.name for thread in threading.enumerate()}
    assert "db-writer" in names
    await DB.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("db-")]


async def _hold_the_writer(db: ApswEngine) -> threading.Event:
    """Keep the writer's thread busy, so that what is asked next waits and is grouped."""
    go, busy = threading.Event(), threading.Event()

    def wait(_connection: apsw.Connection) -> None:
        busy.set()
        go.wait(10)

    db.writer.look(wait)
    while not busy.is_set():
        await asyncio.sleep(0.001)
        time.sleep(0)
    return go
