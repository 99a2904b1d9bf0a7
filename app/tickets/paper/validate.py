"""Is this document a ticket, whose, and for how long: the checks V1 to V9."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import msgspec

from app.tickets import words
from app.tickets.outcomes import Outcome
from app.tickets.paper import codes
from app.tickets.paper.codes import Code
from app.tickets.paper.dates import Validity, validity
from app.tickets.paper.labels import Labels
from app.tickets.paper.page import Asset, Page, host_port

RAW_BYTES: Final = (2 * 1024, 5 * 1024 * 1024)
TEXT_SIGNS: Final = (80, 200_000)
LONGEST_DAYS: Final = 400
# Bounded and anchored: a page may hold one word of 200 000 signs.
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,9}")
# Combining marks, by their blocks: the accents that decomposing leaves beside Latin and Cyrillic.
_MARKS: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


class Status(StrEnum):
    """What the checks come to; stored with the ticket."""

    VALID = "valid"
    PARTIAL = "partial"
    REJECTED = "rejected"


class Check(msgspec.Struct, frozen=True):
    """One line of the check list. `detail` is a short code or value; pages translate it."""

    rule: str
    ok: bool
    detail: str = ""
    hard: bool = False


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What this user's ticket must fit. `today` is the day in Berlin."""

    portal_url: str
    markers: tuple[str, ...]
    today: date
    holder_name: str = ""
    current_valid_to: date | None = None
    drawn: bool = False


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """The check list and what was read on the way.

    `personal` (name, birth date, number, mail) is for the base hash only and never stored.
    """

    checks: tuple[Check, ...]
    valid_from: date | None = None
    valid_to: date | None = None
    holder_name: str = ""
    ticket_number: str = ""
    product: str = ""
    issued: str = ""
    region: str = ""
    code: Code | None = None
    warnings: tuple[str, ...] = ()
    needs_javascript: bool = False
    personal: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Rejected by any hard check, partial when a soft one fails, else valid."""
        failed = [check for check in self.checks if not check.ok]
        if any(check.hard for check in failed):
            return Status.REJECTED
        return Status.PARTIAL if any(check.rule != "V9" for check in failed) else Status.VALID

    @property
    def outcome(self) -> Outcome:
        """OK, or the code of the first reason to refuse the document."""
        failed = {check.rule for check in self.checks if check.hard and not check.ok}
        if failed & {"V1", "V2", "V3", "V4"}:
            return Outcome.NOT_A_TICKET
        if failed & {"V6", "V8"}:
            return Outcome.FOREIGN_TICKET
        return Outcome.NEEDS_JAVASCRIPT if self.needs_javascript else Outcome.OK


def validate(page: Page, rules: Rules, assets: Mapping[str, Asset] | None = None) -> Validation:
    """All checks but V8, which needs the other users' tickets: `with_owner` adds it."""
    lines, text = page.lines, page.words
    code = codes.find_code(page, assets or {}, drawn=rules.drawn)
    span = validity(text)
    named = Labels(lines)
    holder = named.value(words.HOLDER)
    checks = [
        *_page_checks(page, text, rules),
        _dates_check(span, rules.today),
        _holder_check(text, rules.holder_name, holder),
        Check("V7", code is not None, _code_detail(code)),
    ]
    old = rules.current_valid_to
    if old is not None and span.valid_to is not None:
        checks.append(Check("V9", span.valid_to >= old, "" if span.valid_to >= old else "older"))
    past = span.valid_to is not None and span.valid_to < rules.today - timedelta(days=1)
    number = named.value(words.NUMBER)
    return Validation(
        checks=tuple(checks),
        valid_from=span.valid_from,
        valid_to=span.valid_to,
        holder_name=holder or rules.holder_name,
        ticket_number=number,
        product=_marker(text, rules.markers),
        issued=named.value(words.ISSUED),
        region=named.value(words.REGION),
        code=code,
        warnings=("last_month",) * past
        + ("older",) * any(c.rule == "V9" and not c.ok for c in checks),
        needs_javascript=code is None and not rules.drawn and page.has("script"),
        personal=_personal(lines, holder, number, named.value(words.BIRTH)),
    )


def with_owner(validation: Validation, *, seen_with_other: bool) -> Validation:
    """The same with V8: whether another user owns this code."""
    if validation.code is None or not validation.code.hash:
        return validation
    detail = "other_user" if seen_with_other else ""
    check = Check("V8", not seen_with_other, detail, hard=True)
    checks = sorted((*validation.checks, check), key=lambda item: item.rule)
    return msgspec.structs.replace(validation, checks=tuple(checks))


def page_holds(page: Page, markers: Iterable[str]) -> bool:
    """Whether the page itself (V1 to V4, host aside) may be a ticket."""
    text = page.words
    return (
        page.status == 200
        and RAW_BYTES[0] <= len(page.raw) <= RAW_BYTES[1]
        and TEXT_SIGNS[0] <= len(text) <= TEXT_SIGNS[1]
        and bool(_marker(text, markers))
        and not _foreign_parts(page, text)
    )


def has_ticket_parts(page: Page) -> bool:
    """Whether the page shows what only a ticket has: a code picture or days of validity."""
    span = validity(page.words)
    return span != Validity() or codes.find_code(page, {}) is not None


def same_host(url: str, portal_url: str) -> bool:
    """Whether two addresses share host and port."""
    return host_port(urlsplit(url)) == host_port(urlsplit(portal_url))


def fold(text: str) -> str:
    """For comparing names: no case, no accents, ß as ss."""
    return _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))


def holds_name(text: str, name: str) -> bool:
    """Whether every part of the name occurs as a word (ä may be written a or ae)."""
    spelled = unicodedata.normalize("NFC", text.casefold())
    found = set(re.findall(r"\w+", fold(text))) | set(
        re.findall(r"\w+", fold(spelled.translate(_UMLAUTS)))
    )
    parts = re.findall(r"\w+", unicodedata.normalize("NFC", name.casefold()))
    return bool(parts) and all(
        {fold(part), fold(part.translate(_UMLAUTS))} & found for part in parts
    )


def _page_checks(page: Page, text: str, rules: Rules) -> list[Check]:
    sized = RAW_BYTES[0] <= len(page.raw) <= RAW_BYTES[1]
    worded = TEXT_SIGNS[0] <= len(text) <= TEXT_SIGNS[1]
    at_home = page.is_html and page.status == 200 and same_host(page.url, rules.portal_url)
    marker = _marker(text, rules.markers)
    foreign = _foreign_parts(page, text)
    return [
        Check("V1", sized and worded, f"{len(page.raw)} bytes", hard=True),
        Check("V2", at_home, str(page.status), hard=True),
        Check("V3", bool(marker), marker, hard=True),
        Check("V4", not foreign, foreign, hard=True),
    ]


def _foreign_parts(page: Page, text: str) -> str:
    """The first thing on the page that no ticket has; empty if there is none."""
    if page.has(", ".join(_FOREIGN.values())):  # one walk over a large page instead of many
        return next(name for name, selector in _FOREIGN.items() if page.has(selector))
    heads = " ".join(node.text(deep=True) for node in page.tree.css("title, h1, h2")).casefold()
    small = len(text) < 5_000
    return "maintenance" if small and any(word in heads for word in words.MAINTENANCE) else ""


def _marker(text: str, markers: Iterable[str]) -> str:
    folded = text.casefold()
    return next(
        (marker for marker in markers if marker.strip() and marker.casefold() in folded), ""
    )


def _dates_check(span: Validity, today: date) -> Check:
    first, last = span.valid_from, span.valid_to
    if first is None or last is None:
        return Check("V5", ok=False, detail="missing")
    if not 1 <= (last - first).days + 1 <= LONGEST_DAYS:
        return Check("V5", ok=False, detail="impossible")
    if last < today - timedelta(days=1):
        return Check("V5", ok=False, detail="last_month")
    return Check("V5", ok=True, detail=f"{first.isoformat()}/{last.isoformat()}")


def _holder_check(text: str, expected: str, found: str) -> Check:
    if expected.strip():
        ok = holds_name(text, expected)
        return Check("V6", ok, "" if ok else "other_name", hard=True)
    return Check("V6", bool(found), "" if found else "missing")


def _code_detail(code: Code | None) -> str:
    if code is None:
        return "missing"
    return code.format or ("not_readable" if codes.can_read() else "not_read")


def _personal(lines: Sequence[str], holder: str, number: str, born: str) -> tuple[str, ...]:
    mails = [mail for line in lines if "@" in line for mail in _EMAIL.findall(line)]
    return tuple(filter(None, (holder, number, born, *mails)))


_FOREIGN: Final = {
    "password": "input[type=password]",
    "saml": "input[name=SAMLResponse], input[name=SAMLRequest]",
    "consent": "[name^=_shib_idp_]",
    "captcha": ", ".join(
        (
            *(".g-recaptcha", ".h-captcha", ".cf-turnstile"),
            *("iframe[src*='captcha']", "script[src*='captcha']"),
        )
    ),
}
