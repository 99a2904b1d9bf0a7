"""Lists whose state stands in the address: filter, search, sort, page, CSV, and what came since.

A page reads its `Listing`, asks the service, says what was `found`, and hands it to the template as
`listing`; the parts `list_tabs`, `list_search`, `list_head`, `list_bulk`, `list_new` and
`list_paging` of `_ui.html` draw the rest. All of it works without scripts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from litestar import Response

from app.core.ordering import Came
from app.core.sheets import sheet
from app.web.auth import WebRequest

ROWS, MOST_ROWS = 50, 10_000
NOTHING_CAME = Came()
_LONGEST = 200
_DEEPEST = 1_000_000_000


@dataclass(frozen=True)
class Listing:
    """What the address says of a list, and once it was asked for, what is in it."""

    url: str  # without its query
    filters: dict[str, str] = field(default_factory=dict)
    sort: str = ""  # a key, `-` in front for the other way round
    usual: str = ""
    at: int = 0  # rows before the first one shown
    upto: str = ""  # the newest row that was there when the list was opened
    step: int = ROWS
    total: int = 0
    came: Came = NOTHING_CAME

    def found(self, total: int, came: Came | None = None) -> Listing:
        """The same with what the service found."""
        return replace(self, total=total, came=came or NOTHING_CAME)

    def to(self, **changes: str) -> str:
        """The address with other filters, from the first row on; what is empty goes."""
        return self._address({**self.filters, **changes}, self.sort)

    @property
    def here(self) -> str:
        """The page as it stands: asked again, it shows no row that came meanwhile."""
        return self._address(self.filters, self.sort, self.at, self.upto or self.came.newest)

    @property
    def newer_url(self) -> str:
        """The page before; empty on the first."""
        return self._page(max(self.at - self.step, 0)) if self.at else ""

    @property
    def older_url(self) -> str:
        """The page after; empty on the last."""
        return self._page(self.at + self.step) if self.at + self.step < self.total else ""

    @property
    def csv_url(self) -> str:
        """All rows of this filter as a file: the route `csv` below the list."""
        return _joined(f"{self.url.rstrip('/')}/csv", {**self.filters, "sort": self._said_sort})

    @property
    def query(self) -> str:
        """What a form hands back so that its answer leads here again."""
        return self.to().partition("?")[2]

    @property
    def is_filtered(self) -> bool:
        """Whether an empty list may be the filter's doing."""
        return any(self.filters.values())

    def direction(self, key: str) -> str:
        """For `aria-sort`: ascending, descending, or nothing."""
        if self.sort.removeprefix("-") != key:
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"

    def sort_url(self, key: str, first: str = "ascending") -> str:
        """Sorted by this column; by it already: the other way round."""
        turned = {"ascending": f"-{key}", "descending": key}
        fresh = f"-{key}" if first == "descending" else key
        return self._address(self.filters, turned.get(self.direction(key), fresh))

    @property
    def _said_sort(self) -> str:
        return "" if self.sort == self.usual else self.sort

    def _page(self, at: int) -> str:
        return self._address(self.filters, self.sort, at, self.upto or self.came.newest)

    def _address(self, filters: dict[str, str], sort: str, at: int = 0, upto: str = "") -> str:
        said = "" if sort == self.usual else sort
        return _joined(self.url, {**filters, "sort": said, "at": at or "", "upto": upto})


def read_listing(
    request: WebRequest,
    url: str,
    *,
    sorts: Collection[str],
    usual: str,
    filters: Sequence[str] = ("state", "q"),
) -> Listing:
    """The state of a list from the address asked for; what makes no sense is left out.

    Read from the query itself, since Litestar keeps the word `state` of an argument.
    """
    asked = request.query_params
    sort = asked.get("sort", "")
    at = asked.get("at", "")
    return Listing(
        url=url,
        filters={name: str(asked.get(name, "")).strip()[:_LONGEST] for name in filters},
        sort=sort if sort.removeprefix("-") in sorts else usual,
        usual=usual,
        at=min(int(at), _DEEPEST) if at.isascii() and at.isdigit() and len(at) < 10 else 0,
        upto=str(asked.get("upto", ""))[:_LONGEST],
    )


def back_to(url: str, query: str) -> str:
    """The list that a form stood in: `query` is what `Listing.query` gave it."""
    return _joined(url, dict(parse_qsl(query[:1000])))


def csv_file(name: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response[bytes]:
    """A download that a browser keeps and a spreadsheet does not compute."""
    headers = {
        "Content-Disposition": f'attachment; filename="holdfast-{name}.csv"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-store",
    }
    return Response(sheet(head, rows), media_type="text/csv", headers=headers)


def _joined(url: str, values: dict[str, Any]) -> str:
    query = urlencode({name: value for name, value in values.items() if value not in ("", None)})
    return f"{url}?{query}" if query else url
