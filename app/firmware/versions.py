"""Version codes: PDA/CSC/PHONE/DATA in one form, and what the last letters of a PDA tell people."""

import string
from datetime import date

import msgspec

PARTS = 4
_NUMBER = {sign: at for at, sign in enumerate("0123456789" + string.ascii_uppercase)}
_MONTHS = {sign: at for at, sign in enumerate("ABCDEFGHIJKL", start=1)}


class Reading(msgspec.Struct, frozen=True):
    """A PDA read for people. `bootloader` counts up; a phone refuses to go back in it."""

    security: bool
    bootloader: int
    iteration: int
    month: date
    build: int


def normalise(text: str) -> str:
    """The four-part form. Raises ValueError for one part, more than four, or letters elsewhere."""
    parts = [part.strip() for part in text.strip().upper().split("/")]
    if not 2 <= len(parts) <= PARTS or not parts[0] or not parts[1]:
        raise ValueError("a version is AP/CSC/CP")
    if not all(part.isascii() and (part.isalnum() or not part) for part in parts):
        raise ValueError("a version has letters and digits only")
    # Wi-Fi devices have no modem part; two- and three-part forms leave out what repeats the first.
    parts += [""] * (PARTS - len(parts))
    return "/".join([parts[0], parts[1], parts[2] or parts[0], parts[3] or parts[0]])


def pda(version: str) -> str:
    """The first part: the name of the system image."""
    return version.split("/", maxsplit=1)[0]


def read(version: str) -> Reading | None:
    """What the last six characters of the PDA say; None where they do not: never a guess."""
    tail = pda(version)[-6:]
    if len(tail) != 6 or tail[0] not in "US" or tail[4] not in _MONTHS:
        return None
    year = _year(tail[3])
    build = _NUMBER.get(tail[5], 0)
    if tail[1] not in _NUMBER or not tail[2].isalpha() or year is None or not build:
        return None
    return Reading(
        security=tail[0] == "S",
        bootloader=_NUMBER[tail[1]],
        iteration=ord(tail[2]) - ord("A"),
        month=date(year, _MONTHS[tail[4]], 1),
        build=build,
    )


def is_downgrade(version: str, device_version: str) -> bool:
    """Whether the bootloader revision is lower than the one the device has."""
    new, old = read(version), read(device_version)
    return new is not None and old is not None and new.bootloader < old.bootloader


def _year(sign: str) -> int | None:
    # R is 2018, so A is 2001: old devices, the same alphabet
    return 2001 + ord(sign) - ord("A") if sign in string.ascii_uppercase else None
