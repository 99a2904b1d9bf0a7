"""What people type about a phone: IMEI, serial, model, region, and the phone's own answer.

Nothing here makes up a digit: a check digit follows from the fourteen before it, no other does.
"""

import re

import msgspec

from app.core.errors import Invalid
from app.core.i18n import _
from app.firmware import versions

_SPACES = re.compile(r"[\s/-]+")
_MODEL = re.compile(r"(SM|GT|SC|SHV|SCH|SGH|SHW|EK|YP)-[A-Z0-9]{3,14}")
_BARE = re.compile(r"[A-Z]{1,2}\d{3,4}[A-Z0-9]{0,3}")
_ANSWER = re.compile(r"([A-Z]+)\(([^()]*)\)")
TAC = 8


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone says of itself on AT+DEVCONINFO."""

    model: str
    csc: str
    version: str
    imei: str = ""
    serial: str = ""
    lock: str = ""
    aid: str = ""
    cc: str = ""


def luhn(digits: str) -> int:
    """The check digit that belongs behind `digits`."""
    total = 0
    for at, sign in enumerate(reversed(digits)):
        value = int(sign) * (2 if at % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return -total % 10


def tidy_imei(text: str) -> str:
    """Fifteen digits, or Invalid. 14 get their check digit, 16 (IMEISV) lose the last two."""
    digits = _SPACES.sub("", text)
    if not digits:
        return ""
    if not (digits.isascii() and digits.isdecimal()):
        raise Invalid(imei=_("An IMEI has digits only."))
    if len(digits) in (14, 16):
        return digits[:14] + str(luhn(digits[:14]))
    if 8 <= len(digits) <= 13:
        raise Invalid(imei=_("This is a TAC, not an IMEI: an IMEI has 15 digits."))
    if len(digits) != 15:
        raise Invalid(imei=_("An IMEI has 15 digits."))
    if luhn(digits[:14]) != int(digits[14]):
        raise Invalid(imei=_("The check digit does not fit: is there a slip in the number?"))
    return digits


def tidy_serial(text: str) -> str:
    """1 to 35 letters and digits, or Invalid; empty stays empty."""
    serial = text.strip().upper()
    if serial and not re.fullmatch(r"[A-Z0-9]{1,35}", serial):
        raise Invalid(serial=_("A serial number has up to 35 letters and digits."))
    return serial


def mask(number: str | None) -> str:
    """An IMEI as every page and log shows it: the device type, and dots for the device."""
    if not number:
        return ""
    if len(number) >= 14 and number[:TAC].isdigit():
        return f"{number[:TAC]} •••••• •"
    return "••••" + number[-2:] if len(number) > 6 else "••••"


def tidy_model(text: str) -> str:
    """Upper case, cut at a space or slash. Invalid only for what can be no model at all."""
    found = re.split(r"[\s/]", text.strip().upper(), maxsplit=1)[0]
    if not re.fullmatch(r"[A-Z0-9][A-Z0-9-]{2,19}", found):
        raise Invalid(model=_("A model looks like SM-S921B."))
    return found


def hint_model(model: str) -> str:
    """A doubt about a model as a sentence, or nothing: it warns, it does not block."""
    if _MODEL.fullmatch(model):
        return ""
    if _BARE.fullmatch(model):
        return _("Did you mean SM-%(model)s?", model=model)
    return _("Models usually begin with SM-, GT- or SC-.")


def tidy_csc(text: str) -> tuple[str, str]:
    """The first region code, and the whole text as given (EUX/FTM). Invalid unless 3 signs."""
    whole = text.strip().upper()
    first = whole.split("/", maxsplit=1)[0]
    if not re.fullmatch(r"[A-Z0-9]{3}(/[A-Z0-9]{3}){0,3}", whole):
        raise Invalid(csc=_("A region code has three letters, such as EUX."))
    return first, whole


def parse_answer(text: str) -> Device:
    """The phone's AT+DEVCONINFO answer. Invalid(answer=…) without model, version and region."""
    fields = dict(_ANSWER.findall(text[:4000].upper()))
    if not all(fields.get(name) for name in ("MN", "VER", "PRD")):
        raise Invalid(answer=_("This is not the answer of a phone: MN, VER and PRD are needed."))
    try:
        version = versions.normalise(fields["VER"])
    except ValueError as error:
        raise Invalid(answer=_("The version in it cannot be read.")) from error
    return Device(
        model=tidy_model(fields["MN"]),
        csc=tidy_csc(fields["PRD"])[1],
        version=version,
        imei=tidy_imei(fields.get("IMEI", "")),
        serial=tidy_serial(fields.get("SN", "")),
        lock=fields.get("LOCK", "")[:40],
        aid=fields.get("AID", "")[:10],
        cc=fields.get("CC", "")[:10],
    )
