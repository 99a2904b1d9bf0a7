"""A QR code as the numbers an inline SVG needs: its side, and one path of all dark squares."""

from typing import NamedTuple

import segno

QUIET = 4  # the empty border the standard asks for


class Drawing(NamedTuple):
    """`side`: of the square view box; `path`: for `d`."""

    side: int
    path: str


def draw(text: str) -> Drawing:
    """The code of a text, with its quiet zone."""
    rows = [list(row) for row in segno.make(text, error="m", micro=False).matrix]
    steps = []
    for y, row in enumerate(rows, QUIET):
        x = 0
        while x < len(row):
            width = 1
            while x + width < len(row) and row[x + width] == row[x]:
                width += 1
            if row[x]:
                steps.append(f"M{x + QUIET} {y}h{width}v1h-{width}z")
            x += width
    return Drawing(len(rows) + 2 * QUIET, "".join(steps))
