"""Accounts: one person, one name, one way in; the audit log stays."""

from typing import Any

import apsw
import pytest

from db import clock
from db.keys import uuid7
from tests.db.constraints.rows import HASH, a_user, ask, insert, refused


def test_a_login_is_unique_without_case(live: apsw.Connection) -> None:
    a_user(live, "anna")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        a_user(live, "ANNA")


def test_an_address_is_free_again_once_its_account_is_deleted(live: apsw.Connection) -> None:
    first = a_user(live, "anna", email="a@example.org")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        a_user(live, "berta", email="A@Example.org")
    ask(live, "UPDATE users SET deleted_at = ? WHERE id = ?", clock.text(), first)
    a_user(live, "berta", email="A@Example.org")


@pytest.mark.parametrize(
    "values",
    [
        {"role": "owner"},
        {"locale": "fr"},
        {"flags": "{"},
        {"is_active": 2},
        {"bookdate_library_scope": "all"},
        {"bookdate_custom_prompt": "x" * 1001},
        {"created_at": "2026-11-20 09:00:00"},
        {"deleted_at": "2026-11-20T09:00:00Z"},
        {"is_setup_admin": 1, "role": "user"},
        {"login": ""},
    ],
)
def test_an_account_with_a_bad_value_is_refused(
    live: apsw.Connection, values: dict[str, Any]
) -> None:
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        insert(live, "users", **{"id": uuid7(), "login": "anna", **values})


def test_there_is_one_setup_admin_and_the_role_stays(live: apsw.Connection) -> None:
    first = a_user(live, "anna", role="admin", is_setup_admin=1)
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        a_user(live, "berta", role="admin", is_setup_admin=1)
    assert "setup admin" in refused(live, "UPDATE users SET role = 'user' WHERE id = ?", first)


def test_an_invite_is_used_by_one_person_who_exists_at_commit(live: apsw.Connection) -> None:
    admin = a_user(live, "anna", role="admin")
    later = uuid7()
    insert(live, "invite_tokens", token=HASH, created_by=admin, expires_at=clock.text())
    live.execute("BEGIN IMMEDIATE")
    ask(live, "UPDATE invite_tokens SET used_by = ?, used_at = ?", later, clock.text())
    insert(live, "users", id=later, login="berta")
    live.execute("COMMIT")
    assert "CHECK" in refused(live, "UPDATE invite_tokens SET used_at = NULL")
    live.execute("BEGIN IMMEDIATE")
    ask(live, "UPDATE invite_tokens SET used_by = 'nobody'")
    assert "FOREIGN KEY" in refused(live, "COMMIT")
    live.execute("ROLLBACK")


def test_sessions_end_with_the_account_and_hold_only_hashes(live: apsw.Connection) -> None:
    user = a_user(live)
    row = {"userId": user, "expiresAt": clock.text()}
    insert(live, "sessions", id=uuid7(), tokenHash=HASH, **row)
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        insert(live, "sessions", id=uuid7(), tokenHash="a-usable-token", **row)
    ask(live, "DELETE FROM users")
    assert ask(live, "SELECT count(*) FROM sessions") == [(0,)]


def test_an_instance_has_one_login_per_service(live: apsw.Connection) -> None:
    insert(live, "credentials", id=uuid7(), service="twilio")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(live, "credentials", id=uuid7(), service="twilio")
    insert(live, "credentials", id=uuid7(), service="twilio", owner_id=a_user(live))


def test_the_audit_log_is_append_only(live: apsw.Connection) -> None:
    insert(live, "audit_log", actor_kind="user", action="login")
    assert "append-only" in refused(live, "UPDATE audit_log SET action = 'nothing'")


def test_one_data_key_is_active(live: apsw.Connection) -> None:
    insert(live, "vault_keys", id="1", kek_id="k", wrapped="w")
    insert(live, "vault_keys", id="2", kek_id="k", wrapped="w", state="retired")
    assert "UNIQUE" in refused(live, "UPDATE vault_keys SET state = 'active'")
