"""Lines in a person's inbox about their own account."""

from collections.abc import Mapping
from typing import Any

from app.core import notify
from app.core.notify import Level


async def tell(
    user_id: str,
    kind: str,
    title: str,
    *,
    level: Level = "warn",
    params: Mapping[str, Any] | None = None,
    dedupe: str | None = None,
) -> None:
    """Put one line into the inbox; the same `dedupe` only once. Joins the open transaction.

    `title` is a message for `_()`, translated where it is read; `params` fill its places.
    """
    await notify.tell(
        user_id,
        kind,
        title,
        level=level,
        link="/account/security",
        dedupe=dedupe,
        params=params,
    )
