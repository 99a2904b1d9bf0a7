"""What a domain says of itself outside its own pages: dashboard, menu, search."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from app.core.live import Viewer


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One of the first things somebody does here; shown on the dashboard until all are done."""

    title: str
    text: str
    url: str
    done: bool


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """One domain's line: where it stands, what comes next. Sentences in the reader's language."""

    title: str
    icon: str
    url: str
    stands: str
    sub: str = ""
    next: str = ""
    spark: list[int] = []
    size_bytes: int | None = None
    step: Step | None = None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One row that a search found, or one place to go. `url` starts at our own root."""

    title: str
    url: str
    icon: str
    text: str = ""
    key: str = ""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """A number beside a place of the menu: what runs there, or what failed and waits for a look."""

    number: int
    failed: bool = False


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """What the frame around each page says of this moment. `newest`: the last notice there is."""

    unread: int = 0
    newest: str = ""
    shortcuts: bool = True
    counts: Mapping[str, Count] = {}


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """What helps against a failed job: a sentence, and the page (a route's name) that does it."""

    text: str
    word: str = ""
    url: str = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The page of a thing that jobs are about: its route, what that calls the key, who may see."""

    title: str
    route: str
    key: str
    access: str


Diagnose = Callable[[str], Remedy | None]
DescribeArea = Callable[[Viewer], Awaitable[Area | None]]
FindRows = Callable[[Viewer, str], Awaitable[list[Hit]]]
