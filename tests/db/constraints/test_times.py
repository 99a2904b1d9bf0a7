"""What holds for every domain: rows say when they changed, and indexes are used."""

from collections.abc import Callable

import apsw
import pytest

from db import clock
from tests.db.constraints.rows import OLD, a_firmware, a_user, ask, insert

TOUCHED: dict[str, Callable[[apsw.Connection], object]] = {
    "users": lambda live: a_user(live, updated_at=OLD),
    "contacts": lambda live: insert(live, "contacts", phone="+4915112345678", updated_at=OLD),
    "campaigns": lambda live: insert(live, "campaigns", name="Spring", updated_at=OLD),
    "firmware": lambda live: a_firmware(live, updated_at=OLD),
    "vehicles": lambda live: insert(
        live,
        "vehicles",
        contact_id=insert(live, "contacts", phone="+4915112345678"),
        make="Ford",
        model="T",
        year=1927,
        updated_at=OLD,
    ),
}


@pytest.mark.parametrize("table", TOUCHED)
def test_a_changed_row_says_when(live: apsw.Connection, table: str) -> None:
    TOUCHED[table](live)
    ask(live, f"UPDATE {table} SET created_at = created_at")
    (stamp,) = ask(live, f"SELECT updated_at FROM {table}")[0]
    assert stamp > OLD
    assert clock.text(clock.parse(stamp)) == stamp
    ask(live, f"UPDATE {table} SET updated_at = ?", "2021-01-01T00:00:00.000Z")
    assert ask(live, f"SELECT updated_at FROM {table}") == [("2021-01-01T00:00:00.000Z",)]


def test_a_fresh_row_says_the_present_time(live: apsw.Connection) -> None:
    before = clock.text()
    insert(live, "campaigns", name="Spring")
    (stamp,) = ask(live, "SELECT updated_at FROM campaigns")[0]
    assert before <= stamp <= clock.text()


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT id FROM contacts WHERE phone = '+49'", "sqlite_autoindex_contacts_1"),
        ("SELECT phone FROM contacts ORDER BY phone", "sqlite_autoindex_contacts_1"),
        ("SELECT id FROM opt_outs WHERE phone = '+49'", "sqlite_autoindex_opt_outs_1"),
        ("SELECT id FROM messages WHERE message_sid = 'S'", "sqlite_autoindex_messages_1"),
        (
            "SELECT id FROM queueJobs WHERE state = 'queued' AND behind = 0 AND type = 't'",
            "qj_ready",
        ),
        ("SELECT min(runAt) FROM queueJobs WHERE state = 'queued'", "qj_due"),
    ],
)
def test_the_planner_uses_the_index_that_is_there(
    live: apsw.Connection, sql: str, index: str
) -> None:
    plan = " ".join(str(row[3]) for row in ask(live, f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan
