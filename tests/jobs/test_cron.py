from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from jobs.cron import Times

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def local(moments: list[int]) -> list[str]:
    return [datetime.fromtimestamp(ms / 1000, BERLIN).isoformat()[:16] for ms in moments]


@pytest.mark.feature("Q-86")
def test_a_local_time_that_does_not_exist_fires_at_the_first_valid_moment_after() -> None:
    times = Times(cron="30 2 * * *", timezone="Europe/Berlin")
    assert local(times.upcoming(at("2026-03-28T00:00"), 3)) == [
        "2026-03-28T02:30",
        "2026-03-29T03:00",
        "2026-03-30T02:30",
    ]


@pytest.mark.feature("Q-86")
def test_a_local_time_that_occurs_twice_fires_once_at_the_first() -> None:
    found = Times(cron="30 2 * * *", timezone="Europe/Berlin").upcoming(at("2026-10-24T12:00"), 2)
    assert found == [at("2026-10-25T00:30"), at("2026-10-26T01:30")]


def test_asked_within_the_doubled_hour_the_first_is_not_told_again() -> None:
    times = Times(cron="30 2 * * *", timezone="Europe/Berlin")
    assert times.after(at("2026-10-25T01:10")) == at("2026-10-26T01:30")


def test_every_ten_minutes_of_one_hour_come_once_too() -> None:
    times = Times(cron="*/10 2 * * *", timezone="Europe/Berlin")
    assert len(times.between(at("2026-10-25T00:00"), at("2026-10-25T12:00"))) == 6


def test_each_hour_is_an_hour() -> None:
    times = Times(cron="0 * * * *", timezone="Europe/Berlin")
    day = times.between(at("2026-10-24T22:00"), at("2026-10-25T22:59"))
    assert len(day) == 25
    assert {later - sooner for sooner, later in pairwise(day)} == {3_600_000}


def test_day_of_month_and_weekday_are_either_of_them() -> None:
    found = Times(cron="0 0 13 * 5").upcoming(at("2026-02-01T00:00"), 5)
    assert [datetime.fromtimestamp(ms / 1000, UTC).day for ms in found] == [6, 13, 20, 27, 6]


def test_names_ranges_steps_lists_and_words() -> None:
    monday = at("2026-06-01T00:00")
    assert Times(cron="15,45 8-10/2 * JUN MON-WED").after(monday) == at("2026-06-01T08:15")
    assert Times(cron="@weekly").after(monday) == at("2026-06-07T00:00")
    assert Times(cron="@reboot").after(monday) is None


@pytest.mark.parametrize("cron", ["", "61 * * * *", "* * * *", "0 0 0 * * *", "0 0 31 2 *", "soon"])
def test_what_never_comes_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Times(cron=cron).check()


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="Mars"):
        Times(cron="0 0 * * *", timezone="Mars/Olympus").check()


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/15 * * * *", "0 3 * * 1", "5 4 1,15 * *"])
def test_backwards_and_forwards_tell_the_same_times(cron: str) -> None:
    times = Times(cron=cron, timezone="Europe/Berlin")
    first, *rest = times.upcoming(at("2026-10-23T11:00"), 60)
    assert times.between(first, rest[-1] + 1) == [first, *rest]


def test_a_year_of_missed_minutes_is_a_hundred() -> None:
    minutes = Times(cron="* * * * *").between(at("2025-01-01T00:00"), at("2026-01-01T00:00"))
    assert len(minutes) == 100
    assert minutes[-1] == at("2026-01-01T00:00")
    hours = Times(every_ms=3_600_000).between(at("2025-01-01T00:30"), at("2026-01-01T00:00"))
    assert (len(hours), hours[-1]) == (100, at("2025-12-31T23:30"))
