"""Campaigns: nobody twice, no refusal lost, consent as it was given."""

import apsw
import pytest

from tests.db.constraints.rows import ask, insert, refused


@pytest.mark.parametrize(
    ("phone", "status", "good"),
    [
        ("+4915112345678", "active", True),
        ("wa:ABC123", "active", True),
        ("0151 12345", "invalid", True),
        ("erased:abc", "opted_out", True),
        ("0151 12345", "active", False),
        ("+0151123456", "active", False),
        ("+49 151 1234567", "active", False),
        ("+491511234567890123", "active", False),
    ],
)
def test_an_active_contact_can_be_reached(
    live: apsw.Connection, phone: str, status: str, good: bool
) -> None:
    sql = "INSERT INTO contacts (phone, status) VALUES (?, ?)"
    if good:
        ask(live, sql, phone, status)
    else:
        assert "CHECK" in refused(live, sql, phone, status)


def test_nobody_is_in_a_campaign_twice(live: apsw.Connection) -> None:
    contact = insert(live, "contacts", phone="+4915112345678")
    campaign = insert(live, "campaigns", name="Spring")
    row = {"campaign_id": campaign, "phone": "+4915112345678"}
    insert(live, "campaign_recipients", contact_id=contact, **row)
    other = insert(live, "contacts", phone="+4915112345679")
    for who in (contact, other):
        with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
            insert(live, "campaign_recipients", contact_id=who, **row)
    insert(live, "messages", direction="outbound", contact_id=contact, phone=row["phone"])
    insert(live, "opt_outs", phone=row["phone"])
    ask(live, "DELETE FROM contacts")
    assert ask(live, "SELECT count(*) FROM campaign_recipients") == [(0,)]
    assert ask(live, "SELECT contact_id FROM messages") == [(None,)]
    assert ask(live, "SELECT count(*) FROM opt_outs") == [(1,)]


def test_importing_a_file_twice_does_not_double_the_vehicles(live: apsw.Connection) -> None:
    contact = insert(live, "contacts", phone="+4915112345678")
    insert(live, "vehicles", contact_id=contact, make="Toyota", model="Corolla", year=2018)
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(live, "vehicles", contact_id=contact, make="TOYOTA", model="corolla", year=2018)
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        insert(live, "vehicles", contact_id=contact, make="Ford", model="T", year=1899)


def test_consent_stays_as_it_was_given_except_for_who_is_forgotten(live: apsw.Connection) -> None:
    row = {"phone": "+4915112345678", "contact_id": 1, "detail": "YES", "source": "form"}
    insert(live, "consent_events", event="opt_in", **row)
    forget = "UPDATE consent_events SET phone = 'erased:1f', contact_id = NULL, detail = NULL"
    assert "append-only" in refused(live, "DELETE FROM consent_events")
    assert "append-only" in refused(live, "UPDATE consent_events SET event = 'opt_out'")
    assert "append-only" in refused(live, f"{forget}, source = NULL")
    ask(live, forget)
    assert ask(live, "SELECT phone, source FROM consent_events") == [("erased:1f", "form")]


def test_a_callback_counts_once_with_or_without_a_code(live: apsw.Connection) -> None:
    for values in ({"status": "sent"}, {"status": "failed", "error_code": 63016}):
        insert(live, "message_events", message_sid="SM1", **values)
        with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
            insert(live, "message_events", message_sid="SM1", **values)


def test_messages_are_found_by_their_words(live: apsw.Connection) -> None:
    found = "SELECT rowid FROM messages_fts WHERE messages_fts MATCH ?"
    key = insert(live, "messages", direction="inbound", phone="+49151", body="Grüße aus Kassel")
    assert ask(live, found, "grusse OR kassel") == [(key,)]
    ask(live, "UPDATE messages SET body = NULL")
    assert ask(live, found, "kassel") == []
