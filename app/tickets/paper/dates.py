"""Dates on a ticket page: what days are named, and which two bound its validity."""

import calendar
import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Final

import msgspec

from app.tickets import words

_NEAR: Final = 40  # signs between a label and its date

_MONTH_OF: Final = {name: index for index, names in enumerate(words.MONTHS, 1) for name in names}
_MONTH: Final = "|".join(sorted((re.escape(name) for name in _MONTH_OF), key=len, reverse=True))
_DATE: Final = re.compile(
    rf"""(?<![\d.])(?P<d1>\d{{1,2}})\.\s?(?P<m1>\d{{1,2}})\.\s?(?P<y1>\d{{4}})(?!\d)
    |(?<![\d-])(?P<y2>\d{{4}})-(?P<m2>\d\d)-(?P<d2>\d\d)(?!\d)
    |(?<!\d)(?P<d3>\d{{1,2}})(?:\.|st|nd|rd|th)?\s+(?:de\s+)?(?P<n3>{_MONTH})\.?,?\s+(?:de\s+)?(?P<y3>\d{{4}})(?!\d)
    |\b(?P<n4>{_MONTH})\.?\s+(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,\s*(?P<y4>\d{{4}})(?!\d)
    |\b(?P<n5>{_MONTH})\.?\s+(?:de\s+)?(?P<y5>\d{{4}})(?!\d)""",
    re.X | re.I,
)
# Every date has a year at one end, and a year is found twenty times as fast as a date. Before it
# stand at most so many signs of the date, behind it the rest of 2026-04-01.
_YEAR: Final = re.compile(r"(?:19|20|21)\d\d(?!\d)")
_BEFORE, _AFTER = 40, 8
_CLOCK: Final = r"(?:\s*[,T]?\s*\d{1,2}:\d\d(?::\d\d)?(?:\s*(?:uhr|h|[ap]\.?m\.?))?)?"
_LABELS: Final = "|".join(re.escape(label) for label in (*words.VALID_TO, *words.RANGE))
_BETWEEN: Final = re.compile(rf"{_CLOCK}[\s,;]*(?:{_LABELS})[\s:]*", re.I)
_FROM: Final = re.compile(
    rf"(?:{'|'.join(map(re.escape, words.VALID_FROM))})[^\d\n]{{0,6}}\n?\s*$", re.I
)
_TO: Final = re.compile(
    rf"(?:{'|'.join(map(re.escape, words.VALID_TO))})[^\d\n]{{0,6}}\n?\s*$", re.I
)
_VALID: Final = re.compile("|".join(map(re.escape, words.VALIDITY)), re.I)


class Named(msgspec.Struct, frozen=True):
    """A day or a whole month named in a text, and where it stands."""

    start: int
    end: int
    first: date
    last: date

    @property
    def is_month(self) -> bool:
        """Whether a whole month is named."""
        return self.first != self.last


class Validity(msgspec.Struct, frozen=True):
    """The first and last day; None where the page does not say."""

    valid_from: date | None = None
    valid_to: date | None = None


def named_dates(text: str) -> list[Named]:
    """All days and months of `text` in order; impossible ones (31.02.) are left out."""
    return list(_named(text))


def validity(text: str) -> Validity:
    """The labelled pair, else the one range, else the month; empty if the page leaves it open."""
    found = named_dates(text)
    ranges = [
        (first, second)
        for first, second in pairwise(found)
        if _BETWEEN.fullmatch(text[first.end : second.start])
    ]
    labelled = [
        pair
        for pair in ranges
        if _VALID.search(text[max(0, pair[0].start - _NEAR) : pair[0].start])
    ]
    for pairs in (labelled, ranges):
        distinct = {(first.first, second.last) for first, second in pairs}
        if len(distinct) == 1:
            return Validity(*distinct.pop())
    begins = _labelled(text, found, _FROM)
    ends = _labelled(text, found, _TO)
    if begins or ends:
        month = begins is not None and begins.is_month and ends is None
        end = begins.last if begins and month else ends.last if ends else None
        return Validity(begins.first if begins else None, end)
    months = {(item.first, item.last) for item in found if item.is_month}
    near = {
        (item.first, item.last)
        for item in found
        if item.is_month and _VALID.search(text[max(0, item.start - _NEAR) : item.start])
    }
    for choice in (near, months):
        if len(choice) == 1:
            return Validity(*choice.pop())
    return Validity()


def _labelled(text: str, found: list[Named], label: "re.Pattern[str]") -> Named | None:
    return next(
        (item for item in found if label.search(text[max(0, item.start - _NEAR) : item.start])),
        None,
    )


def _named(text: str) -> Iterator[Named]:
    for match in _matches(text):
        part = match.groupdict()
        index = next(key[1] for key, value in part.items() if value and key[0] == "y")
        year = int(part[f"y{index}"])
        month = int(part[f"m{index}"]) if index in "12" else _MONTH_OF[part[f"n{index}"].casefold()]
        if not (1 <= month <= 12 and 1900 <= year <= 2199):
            continue
        last = calendar.monthrange(year, month)[1]
        if index == "5":
            yield Named(*match.span(), date(year, month, 1), date(year, month, last))
            continue
        day = int(part[f"d{index}"])
        if 1 <= day <= last:
            yield Named(*match.span(), date(year, month, day), date(year, month, day))


def _matches(text: str) -> Iterator["re.Match[str]"]:
    """What looks like a date, sought only around years."""
    begin = end = 0
    for year in _YEAR.finditer(text):
        if year.start() - _BEFORE > end:
            yield from _DATE.finditer(text, begin, end)
            begin = year.start() - _BEFORE
        end = min(year.end() + _AFTER, len(text))
        begin = max(begin, 0)
    yield from _DATE.finditer(text, begin, end)
