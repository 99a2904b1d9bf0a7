"""The audit chain: what a hand on the database cannot hide."""

import asyncio
import json

import apsw
import pytest

from app.core import audit, logs, vault
from app.core.secret import SecretStr
from db import clock as time
from db.clock import FakeClock
from db.engine import DB, ApswEngine

pytestmark = pytest.mark.anyio


@pytest.fixture
async def chain(house: ApswEngine) -> ApswEngine:
    """Five rows, ids 1 to 5."""
    for number in range(1, 6):
        await audit.record(
            "sample.done", actor_id="u1", object_id=str(number), detail={"n": number}
        )
    assert await audit.verify() is None
    return house


async def _by_hand(*statements: str) -> None:
    """As somebody with the file and a shell: the trigger is no obstacle to them."""

    def work(connection: apsw.Connection) -> None:
        connection.execute("DROP TRIGGER IF EXISTS audit_log_no_update").fetchall()
        for statement in statements:
            connection.execute(statement).fetchall()

    await DB.write(work)


async def test_a_row_says_who_did_what_and_in_which_request(house: ApswEngine) -> None:
    token = logs.request_id.set("01890000-req")
    await audit.record(
        "user.disabled",
        actor_id="u1",
        actor_kind="token",
        ip="2001:db8::1",
        object_type="user",
        object_id="u2",
        detail={"reason": "left", "password": "hunter2"},
    )
    logs.request_id.reset(token)
    row = await DB.one("SELECT * FROM audit_log")
    assert row is not None
    assert {name: row[name] for name in ("actor_id", "actor_kind", "ip", "request_id")} == {
        "actor_id": "u1",
        "actor_kind": "token",
        "ip": "2001:db8::1",
        "request_id": "01890000-req",
    }
    assert json.loads(str(row["detail"])) == {"reason": "left", "password": "•••"}


async def test_what_is_rolled_back_was_not_done(chain: ApswEngine) -> None:
    async def fail() -> None:
        async with DB.tx():
            await audit.record("sample.done", actor_id="u1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    await audit.record("sample.done", actor_id="u2")
    assert [row["actor_id"] for row in await DB.all("SELECT * FROM audit_log WHERE id > 5")] == [
        "u2"
    ]
    assert await audit.verify() is None


async def test_many_writers_make_one_chain(house: ApswEngine) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(audit.record("sample.done", actor_id=str(number)))
    assert await DB.value("SELECT count(*) FROM audit_log") == 30
    assert await audit.verify() is None


async def test_the_table_refuses_to_change_a_row(chain: ApswEngine) -> None:
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        await DB.execute("UPDATE audit_log SET actor_id = 'u9' WHERE id = 3")


@pytest.mark.parametrize(
    ("statements", "first_bad"),
    [
        (["UPDATE audit_log SET actor_id = 'u9' WHERE id = 3"], 3),
        (["UPDATE audit_log SET actor_id = NULL WHERE id = 3"], 3),
        (["UPDATE audit_log SET at = '2020-01-01T00:00:00.000Z' WHERE id = 1"], 1),
        (["UPDATE audit_log SET detail = '{}' WHERE id = 5"], 5),
        (["UPDATE audit_log SET object_id = x'00ff' WHERE id = 4"], 4),
        (["UPDATE audit_log SET hash = '' WHERE id = 2"], 2),
        (["DELETE FROM audit_log WHERE id = 3"], 3),
        (["DELETE FROM audit_log WHERE id = 1"], 1),
        (["DELETE FROM audit_log WHERE id = 5"], 5),
        (["DELETE FROM audit_log"], 1),
        (
            ["DELETE FROM audit_log WHERE id = 3", "UPDATE audit_log SET id = id - 1 WHERE id > 3"],
            3,
        ),
        (
            [
                "UPDATE audit_log SET id = 99 WHERE id = 2",
                "UPDATE audit_log SET id = 2 WHERE id = 3",
                "UPDATE audit_log SET id = 3 WHERE id = 99",
            ],
            2,
        ),
        (["INSERT INTO audit_log (actor_kind, action) VALUES ('user', 'forged')"], 6),
        (
            [
                "INSERT INTO audit_log (actor_kind, action, prev_hash, hash)"
                " SELECT actor_kind, action, hash, hash FROM audit_log WHERE id = 5"
            ],
            6,
        ),
    ],
)
async def test_a_hand_on_the_rows_is_noticed_at_the_first_bad_id(
    chain: ApswEngine, statements: list[str], first_bad: int
) -> None:
    await _by_hand(*statements)
    assert await audit.verify() == first_bad


async def test_who_has_the_file_but_not_the_key_cannot_mend_the_chain(chain: ApswEngine) -> None:
    rows = await DB.all("SELECT * FROM audit_log ORDER BY id")
    wrong = bytes(32)
    previous = ""
    statements = []
    for row in rows:
        row["actor_id"] = "u9"
        body = tuple(row[name] for name in audit.COLUMNS.replace(" ", "").split(",")[:-2])
        digest = audit._hash(wrong, previous, body)
        statements.append(
            f"UPDATE audit_log SET actor_id = 'u9', prev_hash = '{previous}', hash = '{digest}'"
            f" WHERE id = {row['id']}"
        )
        previous = digest
    await _by_hand(*statements)
    assert await audit.verify() == 1


async def test_the_old_end_is_cut_by_rule_and_the_chain_still_holds(
    house: ApswEngine, clock: FakeClock
) -> None:
    for _ in range(4):
        await audit.record("sample.done", actor_id="u1")
        clock.advance(86400)
    assert await audit.cut(time.now()) == 0  # nothing newer to hang on: nothing is cut
    await audit.record("sample.done", actor_id="u1")
    assert await audit.cut(time.now()) == 4
    assert await audit.cut(time.now()) == 0
    assert await audit.verify() is None
    row = await DB.one("SELECT * FROM audit_log WHERE action = ?", (audit.CUT,))
    assert row is not None
    assert json.loads(str(row["detail"]))["last_id"] == 4
    clock.advance(86400)
    await audit.record("sample.done", actor_id="u1")
    assert await audit.cut(time.now()) == 2
    assert await audit.verify() is None


async def test_cutting_by_hand_after_a_rightful_cut_is_noticed(
    house: ApswEngine, clock: FakeClock
) -> None:
    await audit.record("sample.done", actor_id="u1")
    clock.advance(60)
    for _ in range(3):
        await audit.record("sample.done", actor_id="u1")
    await audit.cut(time.now())
    await _by_hand("DELETE FROM audit_log WHERE id = 2")
    assert await audit.verify() == 2


async def test_a_secret_in_the_detail_is_not_written(house: ApswEngine) -> None:
    vault.open("t", "c", 1, vault.seal("t", "c", 1, "opened-lately"))
    await audit.record(
        "sample.done",
        actor_id="u1",
        detail={"note": "the login opened-lately failed", "wrapped": SecretStr("x"), "n": 1},
    )
    detail = json.loads(str(await DB.value("SELECT detail FROM audit_log")))
    assert detail == {"note": "the login ••• failed", "wrapped": "•••", "n": 1}
