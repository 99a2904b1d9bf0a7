"""Terminal output for pages: colours become classes, everything else a terminal obeys goes away."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# CSI sequences, OSC strings to their end, two-byte escapes, and what is left of a torn one.
_ESCAPE = re.compile(
    r"\x1b(?:\[([0-9;:?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()*+].|[ -Z\\-_])"
)
_TORN = re.compile(r"\x1b(?:\[[0-9;:?]*|\][^\x07\x1b]*)?$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x1b]")
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_STYLES = {1: "bold", 2: "dim", 3: "italic", 4: "underline"}
CLASSES = frozenset({*_NAMES, *(f"on-{name}" for name in _NAMES), *_STYLES.values()})
_ENDS = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",)}


class Piece(NamedTuple):
    """Text in one look; `look` is a list of classes, empty for plain text."""

    text: str
    look: str


def paint(output: str, look: str = "") -> tuple[list[Piece], str]:
    """The output in pieces, and the look in which more of it would go on from here."""
    classes = look.split()
    pieces: list[Piece] = []
    for text, codes in _runs(output):
        here = " ".join(classes)
        if text and pieces and pieces[-1].look == here:
            pieces[-1] = Piece(pieces[-1].text + text, here)
        elif text:
            pieces.append(Piece(text, here))
        if codes is not None:
            classes = _after(classes, codes)
    return pieces, " ".join(classes)


def whole(chunk: bytes) -> bytes:
    """The chunk up to its last whole line, so that no letter and no colour is cut in two.

    One without any line end is taken as it is.
    """
    end = chunk.rfind(b"\n") + 1
    return chunk[:end] if end else chunk


def _runs(output: str) -> Iterator[tuple[str, str | None]]:
    """Text and the colour codes behind it; None where none follow."""
    output = _TORN.sub("", output)
    at = 0
    for found in _ESCAPE.finditer(output):
        colours = found[1] or "" if found[2] == "m" else None
        if colours is None:
            yield _plain(output[at : found.start()]), None
        else:
            yield _plain(output[at : found.start()]), colours
        at = found.end()
    yield _plain(output[at:]), None


def _plain(text: str) -> str:
    """Without control signs; of a line that was written over, its last state."""
    lines = text.replace("\r\n", "\n").split("\n")
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
    return _CONTROL.sub("", "\n".join(lines))


def _after(classes: list[str], codes: str) -> list[str]:
    """The look after a sequence of codes; `38;5;n` and the like keep the nearest of sixteen."""
    left = [int(code) if code.isdigit() else 0 for code in re.split("[;:]", codes)]
    while left:
        code = left.pop(0)
        if code == 0:
            classes = []
        elif code in _STYLES:
            classes = [*classes, _STYLES[code]]
        elif code in _ENDS:
            classes = [each for each in classes if each not in _ENDS[code]]
        elif code in (38, 48):
            classes = _put(classes, "on-" if code == 48 else "", _wide(left))
        elif 30 <= code <= 39 or 90 <= code <= 97:
            classes = _put(classes, "", code % 10)
        elif 40 <= code <= 49 or 100 <= code <= 107:
            classes = _put(classes, "on-", code % 10)
    return list(dict.fromkeys(classes))


def _put(classes: list[str], prefix: str, number: int) -> list[str]:
    """The classes with another colour; 9 is the usual one."""
    names = {f"{prefix}{name}" for name in _NAMES}
    kept = [each for each in classes if each not in names]
    return [*kept, f"{prefix}{_NAMES[number]}"] if number < 8 else kept


def _wide(left: list[int]) -> int:
    """Take the rest of `38;5;n` or `38;2;r;g;b`; the nearest of eight."""
    kind = left.pop(0) if left else 0
    if kind == 5 and left:
        number = left.pop(0)
        if number < 16:
            return number % 8
        if number > 231:
            return 7 if number > 243 else 0
        red, rest = divmod(number - 16, 36)
        green, blue = divmod(rest, 6)
        return _nearest(red * 51, green * 51, blue * 51)
    if kind == 2 and len(left) >= 3:
        return _nearest(left.pop(0), left.pop(0), left.pop(0))
    return 9


def _nearest(red: int, green: int, blue: int) -> int:
    return (red > 127) + 2 * (green > 127) + 4 * (blue > 127)
