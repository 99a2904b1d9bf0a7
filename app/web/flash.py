"""One sentence over a redirect, in a signed cookie, and with it perhaps the way back."""

from __future__ import annotations

from typing import Any, NamedTuple

from itsdangerous import BadData, URLSafeTimedSerializer

from app.core import vault

FLASH = "holdfast-flash"
FLASH_S = 60
_LONGEST = 3000  # a browser keeps 4 kB of a cookie


class Undo(NamedTuple):
    """A form that takes back what was done: where it goes, and its fields."""

    url: str
    fields: list[tuple[str, str]]


class Flash(NamedTuple):
    """What is shown in the corner of the next page."""

    text: str
    undo: Undo | None = None


def seal(flash: Flash) -> str:
    """As the cookie's value. A way back that is too long for one is left out."""
    undo = [flash.undo.url, flash.undo.fields] if flash.undo else None
    sealed = str(_signer().dumps([flash.text, undo]))
    return sealed if len(sealed) < _LONGEST else str(_signer().dumps([flash.text, None]))


def unseal(sealed: str) -> Flash | None:
    """What `seal` was given within the last minute; None for anything that somebody made up."""
    try:
        said: Any = _signer().loads(sealed, max_age=FLASH_S) if sealed else None
    except BadData:
        return None
    if said is None:
        return None
    text, undo = said
    return Flash(text, Undo(undo[0], [(name, value) for name, value in undo[1]]) if undo else None)


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(vault.derive(f"cookie:{FLASH}"), salt=FLASH)
