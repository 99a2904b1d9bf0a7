"""The words of a page without what changes by itself; its hash is the ticket's version."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import regex

from app.tickets import words
from app.tickets.paper.page import Page

PATTERN_S: Final = 0.1  # one admin pattern over one page
MOST_PATTERNS: Final = 20
LONGEST_PATTERN: Final = 200

_TIME: Final = (
    r"(?<![\d:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?(?:\s*(?:uhr\b|[ap]\.?m\b\.?))?"
)
_HEX: Final = (
    r"(?<![\w-])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|(?=\w*\d)(?=\w*[a-f])[0-9a-f]{16,})(?![\w-])"
)
_STAMPS: Final = (
    *("page loaded", "loaded at", "loaded on", "geladen", "abgerufen", "abruf", "stand vom"),
    *("stand:", "stand :", "last update", "last refresh", "as of", "generated at", "generated on"),
    *("erzeugt", "загружено", "обновлено", "cargado", "cargada", "actualizado", "actualizada"),
)
_CUT: Final = regex.compile(rf"{_TIME}|{_HEX}", regex.I)
# Most lines of a large page hold neither clock nor token nor stamp. Those that may are found in the
# page's bytes as a whole: hexadecimal digits all become `x`, so that a token is a plain search.
_CLOCKED: Final = re.compile(rb":[0-5]\d")
_AS_X: Final = bytes(
    ord("x") if chr(n) in "0123456789abcdef" else n if chr(n) in "-\n" else ord(" ")
    for n in range(256)
)
_TOKENS: Final = (b"x" * 16, b"xxxxxxxx-xxxx-")
_DATED: Final = regex.compile(
    r"\d{1,2}\.\s?\d{1,2}\.\s?\d{2,4}|\d{4}-\d\d-\d\d|(?:"
    + "|".join(name for names in words.MONTHS for name in names)
    + r")\.?,?\s+\d",
    regex.I,
)
_VALIDITY: Final = regex.compile("|".join(words.VALIDITY), regex.I)
_DIGITS: Final = regex.compile(r"\d+")
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,9}")


class Canonical(msgspec.Struct, frozen=True):
    """A page's lasting lines, their hash, what was learned, and the patterns that took too long."""

    lines: tuple[str, ...]
    version: str
    volatile: frozenset[str] = frozenset()
    slow_patterns: tuple[str, ...] = ()


class Ignore:
    """An admin's patterns: plain words (any case) or `/regex/flags`.

    Raises ValueError naming the one that cannot be used.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        given = [pattern.strip() for pattern in patterns]
        self._patterns = [_compiled(pattern) for pattern in given if pattern]
        if len(self._patterns) > MOST_PATTERNS:
            raise ValueError(f"at most {MOST_PATTERNS} patterns")

    def keep(self, lines: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
        """The lines no pattern matches, and the patterns that ran out of time, without effect."""
        kept, slow = list(lines), []
        for source, pattern in self._patterns:
            deadline = time.monotonic() + PATTERN_S
            try:
                kept = [line for line in kept if not _matches(pattern, line, deadline)]
            except TimeoutError:
                slow.append(source)
        return kept, tuple(slow)


def canonical(
    page: Page,
    *,
    second: Page | None = None,
    ignore: Iterable[str] = (),
    volatile: frozenset[str] = frozenset(),
) -> Canonical:
    """The lasting text of `page`.

    `second` is another reading of the same page: lines that differ are dropped from both and
    learned. `volatile` holds the shapes learned before.
    """
    patterns = Ignore(ignore)
    lines, slow = patterns.keep(steady(page.lines, volatile))
    learned: frozenset[str] = frozenset()
    if second is not None:
        others, _ = patterns.keep(steady(second.lines, volatile))
        lines, learned = _agreed(lines, others)
    return Canonical(tuple(lines), version_of(lines), learned, slow)


def steady(lines: Iterable[str], volatile: frozenset[str] = frozenset()) -> list[str]:
    """The lines without clocks, load stamps, random tokens and learned shapes."""
    kept = list(lines)
    for number, stamps in _suspects(kept).items():
        kept[number] = _steady(kept[number], stamped=stamps)
    return [line for line in kept if line and (not volatile or shape(line) not in volatile)]


def _suspects(lines: Sequence[str]) -> dict[int, bool]:
    """The numbers of the lines that may hold a clock or a token, and whether they hold a stamp."""
    whole = "\n".join(lines).lower().encode("utf-8", "replace")
    marked = whole.translate(_AS_X)
    spots = [(match.start(), False) for match in _CLOCKED.finditer(whole)]
    spots += [(at, False) for token in _TOKENS for at in _places(marked, token)]
    spots += [(at, True) for stamp in _STAMPS for at in _places(whole, stamp.encode())]
    found: dict[int, bool] = {}
    number = begin = 0
    for at, stamped in sorted(spots):
        number += whole.count(b"\n", begin, at)
        begin = at
        found[number] = stamped or found.get(number, False)
    return found


def _places(whole: bytes, part: bytes) -> Iterator[int]:
    at = whole.find(part)
    while at >= 0:
        yield at
        at = whole.find(part, at + len(part))


def version_of(lines: Iterable[str]) -> str:
    """SHA-256 of the lines joined by LF, hex."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()


def base_version(lines: Iterable[str], personal: Iterable[str]) -> str:
    """The same without what belongs to one person: the given texts and all mail addresses."""
    own = [regex.escape(text.strip()) for text in personal if len(text.strip()) >= 2]
    found = regex.compile("|".join(sorted(own, key=len, reverse=True)), regex.I) if own else None
    cleaned = (_EMAIL.sub("", found.sub("", line) if found else line) for line in lines)
    return version_of(line for line in (" ".join(text.split()) for text in cleaned) if line)


def shape(line: str) -> str:
    """How a volatile line is remembered: digits folded, but not in dates: a new month must show."""
    return line if _DATED.search(line) else _DIGITS.sub("#", line)


def _steady(line: str, *, stamped: bool) -> str:
    """The line, or what lasts of it; empty if it is a stamp, a clock or a token."""
    if not stamped and not _CUT.search(line):
        return line
    if not stamped and _DATED.search(line) and _VALIDITY.search(line):
        # "valid from 01.04.2026, 00:00": the day is news, the hour is not
        return " ".join(_CUT.sub("", line).split())
    return ""


def _agreed(lines: Sequence[str], others: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    common = Counter(lines) & Counter(others)
    differing = (Counter(lines) | Counter(others)) - common
    left = Counter(common)
    kept: list[str] = []
    for line in lines:
        if left[line]:
            left[line] -= 1
            kept.append(line)
    return kept, frozenset(shape(line) for line in differing)


def _compiled(pattern: str) -> tuple[str, "regex.Pattern[str]"]:
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"at most {LONGEST_PATTERN} characters: {pattern[:20]}…")
    body, slash, flags = pattern[1:].rpartition("/")
    if not (pattern.startswith("/") and slash and body):
        return pattern, regex.compile(regex.escape(pattern), regex.I)
    if set(flags) - set("imsx"):
        raise ValueError(f"unknown flags: {pattern}")
    value = 0
    for flag in flags:
        value |= {"i": regex.I, "m": regex.M, "s": regex.S, "x": regex.X}[flag]
    try:
        return pattern, regex.compile(body, value)
    except regex.error as error:
        raise ValueError(f"{pattern}: {error}") from error


def _matches(pattern: "regex.Pattern[str]", line: str, deadline: float) -> bool:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return pattern.search(line, timeout=left) is not None
