"""An op that stands by rides in the commit of another: with it or not at all."""

import asyncio

import apsw
import pytest

from db import changes
from db.changes import Change
from db.engine import ApswEngine
from db.session import TransactionLost

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO configuration (id, key) VALUES (?1, ?1)"
TABLES = frozenset({"configuration"})


class Listener:
    def __init__(self) -> None:
        self.heard: list[list[str]] = []
        self.stop = changes.subscribe(self.hear)

    def hear(self, commit: list[Change]) -> None:
        self.heard.append([change.key for change in commit])


def ride(connection: apsw.Connection) -> int:
    connection.execute(INSERT, ("rider",)).fetchall()
    return len(connection.execute("SELECT 1 FROM configuration").fetchall())


async def keys(db: ApswEngine) -> list[str]:
    return [row["key"] for row in await db.all("SELECT key FROM configuration ORDER BY key")]


async def test_it_sees_what_the_commit_wrote_and_is_in_the_same_one(db: ApswEngine) -> None:
    rider, other = Listener(), Listener()
    op = db.writer.stand_by(ride, TABLES, rider.hear)
    await db.execute("INSERT INTO users (id, login, role) VALUES ('u', 'u', 'user')")
    assert not op.future.done(), "no table of its own was touched"
    await db.execute(INSERT, ("a",))
    assert await op.future == 2
    assert other.heard == [["u"], ["a", "rider"]], "one commit"
    assert rider.heard == [["u"]], "it saw that commit itself"
    await db.execute(INSERT, ("b",))
    assert rider.heard == [["u"], ["b"]], "it rides once"


async def test_it_rides_in_an_interactive_transaction_and_never_in_one_that_fails(
    db: ApswEngine,
) -> None:
    op = db.writer.stand_by(ride, TABLES, Listener().hear)

    async def give_up() -> None:
        async with db.tx():
            await db.execute(INSERT, ("gone",))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await give_up()
    assert not op.future.done()
    async with db.tx():
        await db.execute(INSERT, ("kept",))
        assert not op.future.done()
    assert await op.future == 2
    assert await keys(db) == ["kept", "rider"]


async def test_a_commit_that_fails_takes_it_along(db: ApswEngine) -> None:
    op = db.writer.stand_by(ride, TABLES, Listener().hear)

    def break_at_the_commit(connection: apsw.Connection) -> None:
        connection.pragma("defer_foreign_keys", True)
        connection.execute(INSERT, ("a",)).fetchall()
        orphan = "INSERT INTO job_events (id, job_id, level, message, created_at)"
        connection.execute(orphan + " VALUES ('e', 'nobody', 'info', '', 0)").fetchall()

    with pytest.raises(apsw.ConstraintError):
        await db.write(break_at_the_commit)
    with pytest.raises(apsw.ConstraintError):
        await op.future
    assert await keys(db) == []


async def test_one_that_raises_does_not_take_the_commit_along(db: ApswEngine) -> None:
    def fail(connection: apsw.Connection) -> None:
        connection.execute(INSERT, ("rider",)).fetchall()
        raise ValueError("mine alone")

    op = db.writer.stand_by(fail, TABLES, Listener().hear)
    await db.execute(INSERT, ("a",))
    with pytest.raises(ValueError, match="mine alone"):
        await op.future
    assert await keys(db) == ["a"]


async def test_a_transaction_that_was_lost_is_not_saved_by_it(db: ApswEngine) -> None:
    op = db.writer.stand_by(ride, TABLES, Listener().hear)

    async def lose() -> None:
        async with db.tx():
            await db.execute(INSERT, ("a",))
            await db.execute("ROLLBACK")

    with pytest.raises((apsw.Error, TransactionLost)):
        await lose()
    assert db.writer.retract(op)
    assert await keys(db) == []


async def test_who_retracts_in_time_does_not_ride(db: ApswEngine) -> None:
    op = db.writer.stand_by(ride, TABLES, Listener().hear)
    assert db.writer.retract(op)
    await db.execute(INSERT, ("a",))
    await asyncio.sleep(0)
    assert not op.future.done()
    assert not db.writer.retract(op)
    assert await keys(db) == ["a"]


async def test_a_last_write_ends_its_group(db: ApswEngine) -> None:
    mine, other = Listener(), Listener()
    first = db.writer.submit(lambda c: c.execute(INSERT, ("a",)).fetchall())
    last = db.writer.last(ride, mine.hear)
    after = db.writer.submit(lambda c: c.execute(INSERT, ("b",)).fetchall())
    await asyncio.gather(first, last, after)
    assert mine.heard[-1] == ["b"], "what came after its commit it must hear of"
    assert ["b"] in other.heard


async def test_the_answer_is_heard_in_the_turn_of_the_loop_that_brings_it(db: ApswEngine) -> None:
    """Who awaits the commit hears of it a turn later; and nothing is heard of one that failed."""
    heard: list[object] = []
    db.writer.stand_by(ride, TABLES, Listener().hear, heard.append)
    asked = db.writer.submit(lambda c: c.execute(INSERT, ("a",)).fetchall())
    asked.add_done_callback(lambda _: heard.append("the callback"))
    await asked
    assert heard == [2, "the callback"]

    failed = db.writer.stand_by(ride, TABLES, Listener().hear, heard.append)
    await db.execute(INSERT, ("b",))
    with pytest.raises(apsw.ConstraintError):
        await failed.future
    assert await db.writer.last(lambda _: "mine", Listener().hear, heard.append) == "mine"
    assert heard[2:] == ["mine"]


async def test_one_that_fails_at_its_news_keeps_them_from_nobody(
    db: ApswEngine, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []

    def fail(_: object) -> None:
        raise RuntimeError("at its news")

    def claim(connection: apsw.Connection) -> None:
        connection.execute(INSERT, ("claimed",)).fetchall()

    rider = db.writer.stand_by(ride, TABLES, Listener().hear, heard.append)
    await db.writer.last(claim, Listener().hear, fail)
    await rider.future
    assert heard == [2]
    assert "at its news" in caplog.text


async def test_who_is_ridden_with_hears_its_own_answer_too(db: ApswEngine) -> None:
    """As where two workers live in one process: the one's claim is in the commit of the other's."""
    heard: list[object] = []

    def claim(connection: apsw.Connection) -> str:
        connection.execute(INSERT, ("claimed",)).fetchall()
        return "the first"

    rider = db.writer.stand_by(ride, TABLES, Listener().hear, heard.append)
    assert await db.writer.last(claim, Listener().hear, heard.append) == "the first"
    assert await rider.future == 2
    assert heard == ["the first", 2]
