"""Languages: complete catalogs, plurals, and dates and sizes as readers write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from babel.messages.catalog import Catalog

from app.core import i18n
from app.core.i18n import _, fmt_day, fmt_range, fmt_size, fmt_span, fmt_time, ngettext
from db.clock import FakeClock
from tests import catalogs


@pytest.fixture(scope="module")
def wanted() -> Catalog:
    return catalogs.extract()


def test_messages_are_found_in_code_and_templates(wanted: Catalog) -> None:
    assert wanted.get("Please fill this in.") is not None
    assert wanted.get("Skip to content") is not None
    assert wanted.get(("%(n)s day left", "%(n)s days left")) is not None


@pytest.mark.feature("X-20")
@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_no_message_is_missing(language: str, wanted: Catalog) -> None:
    gaps = catalogs.missing(language, wanted)
    assert not gaps, f"{len(gaps)} missing; run `python -m tests.catalogs`, then translate: {gaps}"


@pytest.mark.feature("X-20")
@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_a_message_that_a_language_lacks_is_named(language: str) -> None:
    fresh = Catalog()
    fresh.add("A text that nobody has translated yet")
    assert catalogs.missing(language, fresh) == ["A text that nobody has translated yet"]


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_translations_keep_the_places_of_the_message(language: str) -> None:
    assert catalogs.wrong_places(language) == []


@pytest.mark.parametrize("language", ["ru", "es"])
def test_catalogs_nobody_has_read_yet_say_so(language: str) -> None:
    assert catalogs.UNREAD in catalogs.path_of(language).read_text("utf-8")


def test_a_language_is_spoken_inside_its_block_only() -> None:
    with i18n.use("de"):
        assert _("Save") == "Speichern"
    assert _("Save") == "Save"
    with i18n.use("tlh"):
        assert i18n.current() == "en"


def test_plurals_follow_the_language() -> None:
    days = ("%(n)s day left", "%(n)s days left")
    assert ngettext(*days, 1) == "1 day left"
    assert ngettext(*days, 1200) == "1,200 days left"


@pytest.mark.feature("X-20")
@pytest.mark.parametrize(
    ("n", "words"),
    [
        *((1, "1 человек"), (2, "2 человека"), (5, "5 человек"), (11, "11 человек")),
        *((21, "21 человек"), (22, "22 человека"), (112, "112 человек"), (0, "0 человек")),
    ],
)
def test_russian_has_three_plurals(n: int, words: str) -> None:
    with i18n.use("ru"):
        assert ngettext("%(n)s person", "%(n)s people", n) == words


@pytest.mark.feature("X-20")
def test_german_speaks_to_people_in_one_way() -> None:
    familiar = re.compile(r"\b([Dd]u|[Dd]ein\w*|[Dd]ir|[Dd]ich)\b")
    texts: list[str] = []
    for message in catalogs.read("de"):
        texts += message.string if isinstance(message.string, tuple) else [str(message.string)]
    assert [text for text in texts if familiar.search(text)] == []
    assert familiar.search("Das ist dein Ticket"), "the control"


@pytest.mark.parametrize(
    ("account", "cookie", "accept", "spoken"),
    [
        ("de", "ru", "es", "de"),
        ("", "ru", "es", "ru"),
        ("", "", "fr, es;q=0.4, de-AT;q=0.9", "de"),
        ("", "xx", "fr;q=zero, nl", "en"),
        ("", "", "", "en"),
    ],
)
def test_account_then_cookie_then_browser(
    account: str, cookie: str, accept: str, spoken: str
) -> None:
    assert i18n.choose(account=account, cookie=cookie, accept=accept) == spoken


def test_days_near_now_have_words(clock: FakeClock) -> None:
    now = datetime.fromtimestamp(clock.wall(), UTC).replace(hour=10, minute=41)
    clock.advance((now - datetime.fromtimestamp(clock.wall(), UTC)).total_seconds())
    with i18n.use("en", "UTC"):
        assert fmt_time(now) == "today, 10:41"
        assert fmt_time(now.replace(day=now.day).timestamp().__int__() * 1000) == "today, 10:41"
    clock.advance(86400)
    with i18n.use("en", "UTC"):
        assert fmt_time(now.isoformat()) == "yesterday, 10:41"
    with i18n.use("en", "Asia/Tokyo"):
        assert fmt_time(now) == "yesterday, 19:41"


def test_days_and_ranges(clock: FakeClock) -> None:
    start, end = date(2026, 11, 1), date(2026, 11, 30)
    assert fmt_day(date(2020, 11, 18)) == "18 Nov 2020"
    assert fmt_day("2026-11-30", "long") == "30 November 2026"
    assert fmt_range(start, end).replace("\u2009", "").startswith("1–30 Nov")
    assert fmt_range(None, end) == "30 November 2026"
    assert fmt_range(None, None) == ""
    with i18n.use("de"):
        assert fmt_day(end, "long") == "30. November 2026"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0 s"), (4.1, "4.1 s"), (59.6, "1 min"), (309, "5 min 9 s"), (100_800, "1 d 4 h")],
)
def test_lengths_of_time_have_two_units_at_most(seconds: float, words: str) -> None:
    assert fmt_span(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (184_000, "184 kB"),
        (999_600, "1 MB"),
        (8_410_000_000, "8.41 GB"),
    ],
)
def test_sizes_have_three_digits(size: int, words: str) -> None:
    assert fmt_size(size) == words


def test_numbers_are_written_as_the_reader_does() -> None:
    with i18n.use("de"):
        assert fmt_size(8_410_000_000) == "8,41 GB"
        assert fmt_span(4.1) == "4,1 s"
