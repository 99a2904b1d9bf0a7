"""The values behind the labels of a page: whose, which number, since when."""

from collections.abc import Iterable, Sequence
from typing import Final

_LONGEST_VALUE: Final = 80
_LONGEST_LABEL: Final = 40


class Labels:
    """What stands behind the labels of a page: its short line heads, folded once for all labels."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._places: dict[str, list[int]] = {}
        for number, line in enumerate(lines):
            head = line.partition(":")[0]
            if len(head) <= _LONGEST_LABEL:
                self._places.setdefault(head.strip().casefold(), []).append(number)

    def value(self, labels: Iterable[str]) -> str:
        """The first value: after the label's colon, or the line after one with the label alone."""
        for number in sorted(at for label in set(labels) for at in self._places.get(label, ())):
            _head, colon, rest = self._lines[number].partition(":")
            value = rest.strip() or next(iter(self._lines[number + 1 : number + 2]), "")
            fits = len(value) <= _LONGEST_VALUE and not value.endswith(":")
            if (colon or value) and value and fits:
                return value
        return ""
