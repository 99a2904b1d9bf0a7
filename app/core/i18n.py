"""Languages: messages from gettext catalogs; dates, numbers, sizes as the reader writes them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel import dates as babel_dates
from babel import numbers as babel_numbers
from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from app.core.paths import LOCALES
from db import clock

LANGUAGES = {"en": "English", "de": "Deutsch", "ru": "Русский", "es": "Español"}
DOMAIN = "holdfast"
FALLBACK = "en"

_folder = LOCALES
_locale: ContextVar[str] = ContextVar("locale", default=FALLBACK)
_zone: ContextVar[str] = ContextVar("zone", default="")


def speak(locale: str, zone: str = "") -> None:
    """Set language and time zone for the rest of this request or job."""
    _locale.set(locale if locale in LANGUAGES else FALLBACK)
    _zone.set(zone)


@contextmanager
def use(locale: str, zone: str = "") -> Iterator[None]:
    """Language and time zone inside the `with` block; an unknown language is English."""
    before = _locale.set(locale if locale in LANGUAGES else FALLBACK)
    zone_before = _zone.set(zone)
    try:
        yield
    finally:
        _locale.reset(before)
        _zone.reset(zone_before)


def current() -> str:
    """The language of this request or job."""
    return _locale.get()


def choose(*, account: str = "", cookie: str = "", accept: str = "") -> str:
    """The language to speak: the account's, else the cookie's, else the best of Accept-Language."""
    for wish in (account, cookie):
        if wish in LANGUAGES:
            return wish
    return negotiate_locale(_accepted(accept), list(LANGUAGES), sep="-") or FALLBACK


def of_terminal(env: Mapping[str, str]) -> str:
    """The language of a command line: what POSIX says of LC_ALL, LC_MESSAGES and LANG."""
    said = next((env[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if env.get(name)), "")
    return choose(account=said.partition(".")[0].partition("_")[0])


def _accepted(header: str) -> list[str]:
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(header[:500].split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), place, tag.strip()))
        except ValueError:
            continue
    return [tag for _, _, tag in sorted(ranked) if tag]


def use_folder(folder: Path = LOCALES) -> None:
    """Read the catalogs below this folder from now on: to try a translation that is not ours."""
    global _folder  # noqa: PLW0603 - one folder for the whole process
    _folder = folder
    catalog.cache_clear()
    _text.cache_clear()


@lru_cache(maxsize=8)
def catalog(locale: str) -> NullTranslations:
    """The messages of one language, read from its .po file; an absent file translates nothing."""
    path = _folder / locale / "LC_MESSAGES" / f"{DOMAIN}.po"
    if not path.is_file():
        return NullTranslations()
    with path.open("rb") as source:
        messages = read_po(source, locale=locale)
    compiled = io.BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return GNUTranslations(compiled)


def _(message: str, **values: Any) -> str:
    """The message in the reader's language; `values` fill its `%(name)s` places."""
    text = _text(current(), message) if message else ""
    return text % values if values else text


@lru_cache(maxsize=8192)
def _text(locale: str, message: str) -> str:
    return catalog(locale).gettext(message)


def ngettext(one: str, many: str, n: int, **values: Any) -> str:
    """Singular or plural by the rules of the language; `%(n)s` is the number, written out."""
    text = catalog(current()).ngettext(one, many, n)
    return text % {"n": fmt_number(n), **values}


def mark(message: str) -> str:
    """Name a message for the catalogs where it stands; `_()` translates it where it is shown."""
    return message


def zone() -> tzinfo:
    """The reader's time zone; without one, that of the machine."""
    name = _zone.get()
    return ZoneInfo(name) if name else babel_dates.LOCALTZ


def as_time(value: datetime | str | int) -> datetime:
    """A moment in the reader's zone, from a datetime, stored text or milliseconds."""
    if isinstance(value, int):
        value = datetime.fromtimestamp(value / 1000, UTC)
    elif isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.astimezone(zone())


def fmt_time(value: datetime | str | int | None, style: str = "near") -> str:
    """A moment: `near` = "today, 10:41"; `clock` = 10:41:08; `full` = with day, year and zone."""
    if value is None:
        return ""
    moment, locale = as_time(value), Locale.parse(current())
    if style == "clock":
        return babel_dates.format_time(moment, "HH:mm:ss", locale=locale)
    if style == "full":
        return babel_dates.format_datetime(moment, "long", tzinfo=zone(), locale=locale)
    hour = babel_dates.format_time(moment, "short", locale="en_GB" if current() == "en" else locale)
    days = (moment.date() - clock.now().astimezone(zone()).date()).days
    match days:
        case 0:
            return _("today, %(time)s", time=hour)
        case -1:
            return _("yesterday, %(time)s", time=hour)
        case 1:
            return _("tomorrow, %(time)s", time=hour)
    return f"{fmt_day(moment)}, {hour}"


def fmt_day(value: datetime | date | str | int | None, style: str = "short") -> str:
    """A day: `short` = 18 Nov (with the year if another one), `long` = 18 November 2026.

    `weekday` = Wednesday, 18 November.
    """
    if value is None:
        return ""
    day = _as_day(value)
    if style == "weekday":
        return babel_dates.format_skeleton("MMMMEEEEd", day, locale=_dates())
    if style == "long":
        return babel_dates.format_date(day, "long", locale=_dates())
    same = day.year == clock.now().astimezone(zone()).year
    return babel_dates.format_skeleton("MMMd" if same else "yMMMd", day, locale=_dates())


def fmt_range(start: date | str | None, end: date | str | None) -> str:
    """Two days as one phrase: "1 – 30 November 2026"; one of them may be missing."""
    if start is None or end is None:
        return fmt_day(start if end is None else end, "long")
    return babel_dates.format_interval(_as_day(start), _as_day(end), "yMMMMd", locale=_dates())


def fmt_month(value: date | str, style: str = "MMM") -> str:
    """A month's name in a CLDR pattern: Nov, `MMM yy` = Nov 26."""
    return babel_dates.format_date(_as_day(value), style, locale=_dates())


def fmt_span(value: float | timedelta | None) -> str:
    """A length of time from seconds, in its two largest units: 4.1 s, 5 min 9 s, 1 d 4 h."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 9.95:
        return _("%(n)s s", n=fmt_number(round(max(seconds, 0), 1)))
    whole = round(seconds)
    days, hours, minutes, rest = (
        whole // 86400,
        whole % 86400 // 3600,
        whole % 3600 // 60,
        whole % 60,
    )
    if days:
        parts = [_("%(n)s d", n=days), _("%(n)s h", n=hours) if hours else ""]
    elif hours:
        parts = [_("%(n)s h", n=hours), _("%(n)s min", n=minutes) if minutes else ""]
    elif minutes:
        parts = [_("%(n)s min", n=minutes), _("%(n)s s", n=rest) if rest else ""]
    else:
        parts = [_("%(n)s s", n=rest)]
    return " ".join(part for part in parts if part)


def fmt_size(value: int | None) -> str:
    """Bytes in decimal units with three digits: 184 kB, 8.41 GB."""
    if value is None:
        return ""
    size, units = float(value), ("B", "kB", "MB", "GB", "TB")
    step = 0
    while size >= 999.5 and step < len(units) - 1:
        size /= 1000
        step += 1
    digits = 0 if step == 0 or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{fmt_number(round(size, digits))} {units[step]}"


def fmt_number(value: float) -> str:
    """A number with the reader's separators."""
    return _decimal(value, current())


@lru_cache(maxsize=4096)
def _decimal(value: float, locale: str) -> str:
    return babel_numbers.format_decimal(value, locale=locale, decimal_quantization=False)


def _dates() -> Locale:
    return Locale.parse("en_GB" if current() == "en" else current())


def _as_day(value: datetime | date | str | int) -> date:
    if isinstance(value, str) and len(value) == len("2026-11-30"):
        return date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    return as_time(value).date()
