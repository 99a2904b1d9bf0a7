"""Stylesheets of a stored document: what they ask for, and how they are made to ask for nothing."""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Final

from app.tickets.paper.codes import data_url
from app.tickets.paper.page import Asset, resolve

# Raster pictures only: an SVG is a document of its own.
PICTURES: Final = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif"}
)
VECTOR: Final = "image/svg+xml"
FONTS: Final = frozenset(
    {"font/woff", "font/woff2", "font/ttf", "font/otf", "application/font-woff"}
)
_URL: Final = re.compile(r"""url\(\s*+(?:"([^"]*)"|'([^']*)'|([^()"'\s]*+))\s*+\)""", re.I)
_IMPORT: Final = re.compile(
    r"""@import\s+(?:url\(\s*)?["']?([^"')\s;]+)["']?\s*\)?([^;]*);?""", re.I
)
_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
_PARTS: Final = re.compile(r"""(@import\s[^;]*;?)""", re.I)
_HARM: Final = re.compile(
    r"expression\s*\(|-moz-binding|behavior\s*:|(?:-webkit-)?image-set\s*\([^;{}]*", re.I
)
_ESCAPE: Final = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|(.))", re.I | re.S)
_DEEPEST: Final = 3
MOST_EMBEDDED: Final = 24 * 1024 * 1024
MOST_SHEETS: Final = 100


class Room:
    """What one document may take in: a small page may name one large picture a million times."""

    def __init__(self, size: int = MOST_EMBEDDED, sheets: int = MOST_SHEETS) -> None:
        self._size = size
        self._sheets = sheets

    def take(self, size: int) -> bool:
        """Whether so much more may come in."""
        if size > self._size:
            return False
        self._size -= size
        return True

    def take_sheet(self, size: int) -> bool:
        """The same for a stylesheet, which costs time as well."""
        self._sheets -= 1
        return self._sheets >= 0 and self.take(size)


def embedded(
    reference: str, base_url: str, assets: Mapping[str, Asset], types: Iterable[str], room: Room
) -> str:
    """A `data:` address for what a reference leads to; empty if it is not at hand or unfit."""
    if is_data(reference):
        asset = data_url(reference)
    else:
        asset = assets.get(resolve(base_url, reference).partition("#")[0])
    if asset is None or asset.media_type not in types or not room.take(4 * len(asset.data) // 3):
        return ""
    return f"data:{asset.media_type};base64,{base64.b64encode(asset.data).decode('ascii')}"


def self_contained(
    text: str, base_url: str, assets: Mapping[str, Asset], room: Room, depth: int = 0
) -> str:
    """A stylesheet without outside references: those at hand become part of it."""
    plain = _ESCAPE.sub(_unescape, _COMMENT.sub("", text))

    def imported(match: "re.Match[str]") -> str:
        url = resolve(base_url, match[1]).partition("#")[0]
        asset = assets.get(url)
        if asset is None or asset.media_type != "text/css" or depth >= _DEEPEST:
            return ""
        if not room.take_sheet(len(asset.data)):
            return ""
        sheet = asset.data.decode("utf-8", "replace")
        inner = self_contained(sheet, url, assets, room, depth + 1)
        media = match[2].strip()
        return f"@media {media} {{{inner}}}" if media else inner

    def located(match: "re.Match[str]") -> str:
        reference = next((part for part in match.groups() if part), "")
        found = embedded(reference, base_url, assets, {*PICTURES, *FONTS, VECTOR}, room)
        return f'url("{found}")' if found else "none"

    whole = "".join(
        _IMPORT.sub(imported, part)
        if part.lower().startswith("@import")
        else _URL.sub(located, part)
        for part in _PARTS.split(plain)
    )
    return _HARM.sub("none ", whole).replace("<", "\\3c ")  # never an end tag in a style element


def references(text: str) -> list[str]:
    """The addresses a stylesheet asks for, imports first, as they are written."""
    plain = _ESCAPE.sub(_unescape, _COMMENT.sub("", text))
    imports = [match[1] for match in _IMPORT.finditer(plain)]
    located = [
        next((part for part in match.groups() if part), "") for match in _URL.finditer(plain)
    ]
    return [reference for reference in (*imports, *located) if reference]


def _unescape(match: "re.Match[str]") -> str:
    """Write out what could spell an address; quotes and foreign signs stay escaped."""
    sign = match[2] or chr(min(int(match[1], 16), 0x10FFFF))
    return sign if sign.isascii() and (sign.isalnum() or sign in "(:@/.-") else match[0]


def is_data(reference: str) -> bool:
    """Whether a reference carries its own content."""
    return reference.strip()[:5].lower() == "data:"
