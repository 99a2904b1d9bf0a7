"""Tickets: one row per version, a history that cannot be rewritten."""

from typing import Any

import apsw
import pytest

from db.keys import uuid7
from tests.db.constraints.rows import HASH, OLD, a_user, ask, insert, refused


def test_a_ticket_version_is_kept_once_per_person(live: apsw.Connection) -> None:
    anna, berta = a_user(live), a_user(live, "berta")
    row = {"ticket_version": "v1", "content_hash": HASH, "file_path": "t/raw.html"}
    insert(live, "tickets", user_id=anna, status="success", **row)
    insert(live, "tickets", user_id=berta, status="success", **row)
    for values in ({"status": "success"}, {"status": "duplicate", "ticket_version": "v2"}):
        with pytest.raises(apsw.ConstraintError):
            insert(live, "tickets", user_id=anna, **{**row, **values})
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        insert(live, "tickets", user_id=anna, status="error", **{**row, "file_path": "/etc/x"})


def test_the_history_of_attempts_is_append_only_but_outlives_its_owner(
    live: apsw.Connection,
) -> None:
    user = a_user(live)
    row = {"ticket_version": "v1", "content_hash": HASH, "file_path": "t/raw.html"}
    ticket = insert(live, "tickets", user_id=user, status="success", **row)
    insert(live, "ticket_download_history", user_id=user, ticket_id=ticket, status="success")
    history = "ticket_download_history"
    assert "append-only" in refused(live, f"UPDATE {history} SET status = 'error'")
    assert "append-only" in refused(live, f"UPDATE {history} SET user_id = 'somebody'")
    assert "30 days" in refused(live, f"DELETE FROM {history}")
    ask(live, "DELETE FROM users")
    assert ask(live, f"SELECT user_id, ticket_id, status FROM {history}") == [
        (None, None, "success")
    ]
    insert(live, history, status="error", downloaded_at=OLD)
    ask(live, f"DELETE FROM {history} WHERE downloaded_at = ?", OLD)


@pytest.mark.parametrize(
    "values",
    [
        {"geolocation_latitude": 9},  # both or none
        {"geolocation_latitude": 91, "geolocation_longitude": 0},
        {"proxy_url": "http://me:secret@proxy:3128"},
        {"proxy_url": "proxy"},
        {"user_agent": "two\r\nlines"},
        {"viewport_width": 0},
        {"device_scale_factor": 9},
    ],
)
def test_a_bad_device_profile_is_refused(live: apsw.Connection, values: dict[str, Any]) -> None:
    good = {"user_agent": "Agent/1", "viewport_width": 390, "viewport_height": 844}
    row = {"user_id": a_user(live), "name": "phone", **good}
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        insert(live, "device_profiles", id=uuid7(), **{**row, **values})
    place = {"geolocation_latitude": 0, "geolocation_longitude": 9, "proxy_url": "socks5://p:1080"}
    insert(live, "device_profiles", id=uuid7(), **row, **place)


def test_a_deleted_profile_is_no_longer_chosen(live: apsw.Connection) -> None:
    user, profile = a_user(live), uuid7()
    good = {"user_agent": "Agent/1", "viewport_width": 390, "viewport_height": 844}
    insert(live, "device_profiles", id=profile, user_id=user, name="phone", **good)
    ask(live, "UPDATE users SET device_profile = ?", profile)
    ask(live, "DELETE FROM device_profiles")
    assert ask(live, "SELECT device_profile FROM users") == [(None,)]


def test_there_is_one_base_ticket_state(live: apsw.Connection) -> None:
    assert ask(live, "SELECT id, failure_streak FROM base_ticket_state") == [(1, 0)]
    assert "CHECK" in refused(live, "INSERT INTO base_ticket_state (id) VALUES (2)")
