"""What a domain says of itself on the dashboard."""

from collections.abc import Awaitable, Callable

import msgspec

from app.core.live import Viewer


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


DescribeArea = Callable[[Viewer], Awaitable[Area | None]]
