"""Rows as CSV that a spreadsheet shows and does not compute."""

import csv
import io
from collections.abc import Iterable, Sequence

# Cells that a spreadsheet would take for a formula; some read the wide signs, too.
_FORMULA = (*"=+-@＝＋－＠", "\t", "\r", "\n")


def cell(value: object) -> str:
    """A value as plain text; None is empty."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def sheet(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file in UTF-8 with a line of names on top."""
    filled = io.StringIO()
    writer = csv.writer(filled)
    writer.writerow(head)
    writer.writerows([cell(value) for value in row] for row in rows)
    return filled.getvalue().encode()
