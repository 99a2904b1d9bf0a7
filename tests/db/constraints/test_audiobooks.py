"""Audiobooks: one request per person and book, a catalogue found by its words."""

import apsw
import pytest

from db.keys import uuid7
from tests.db.constraints.rows import a_user, ask, insert, refused


def test_a_person_asks_for_a_book_once(live: apsw.Connection) -> None:
    user, book = a_user(live), uuid7()
    insert(
        live, "audiobooks", id=book, title="Emma", author="Jane Austen", audible_asin="B00ABCDEF1"
    )
    insert(live, "requests", id=uuid7(), user_id=user, audiobook_id=book)
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(live, "requests", id=uuid7(), user_id=user, audiobook_id=book)
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(live, "audiobooks", id=uuid7(), title="E", author="J", audible_asin="B00ABCDEF1")
    for change in ("status = 'denied'", "progress = 101", "approval = 'perhaps'"):
        assert "CHECK" in refused(live, f"UPDATE requests SET {change}")


def test_a_download_outlives_its_request(live: apsw.Connection) -> None:
    user, book, request, release = a_user(live), uuid7(), uuid7(), uuid7()
    insert(live, "audiobooks", id=book, title="Emma", author="Jane Austen")
    insert(live, "requests", id=request, user_id=user, audiobook_id=book)
    row = {"indexer_name": "i", "torrent_hash": "a" * 40}
    insert(live, "audiobook_download_history", id=release, request_id=request, **row)
    ask(live, "UPDATE requests SET selected_release_id = ?", release)
    word = "UPDATE audiobook_download_history SET download_status = 'seeding'"
    assert "CHECK" in refused(live, word)
    ask(live, "DELETE FROM audiobooks")
    assert ask(live, "SELECT request_id FROM audiobook_download_history") == [(None,)]


def test_the_catalogue_is_searched_by_words_and_stays_in_step(live: apsw.Connection) -> None:
    search = (
        "SELECT c.title FROM audible_cache_fts f JOIN audible_cache c ON c.rowid = f.rowid"
        " WHERE audible_cache_fts MATCH ?"
    )
    for number, title in enumerate(("Émile", "Emma", "Ulysses")):
        insert(
            live, "audible_cache", id=uuid7(), asin=f"B00000000{number}", title=title, author="x"
        )
    assert ask(live, search, "emile") == [("Émile",)]
    ask(live, "UPDATE audible_cache SET title = 'Persuasion' WHERE title = 'Emma'")
    assert (ask(live, search, "emma"), ask(live, search, "persuasion")) == ([], [("Persuasion",)])
    ask(live, "DELETE FROM audible_cache WHERE title = 'Émile'")
    ask(live, "VACUUM")  # must not renumber the rows that the index points to
    assert (ask(live, search, "emile"), ask(live, search, "ulysses")) == ([], [("Ulysses",)])
