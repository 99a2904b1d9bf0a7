"""Lines in a person's inbox about their own account."""

import json
from collections.abc import Mapping
from typing import Any

from db.engine import DB
from db.keys import uuid7


async def tell(
    user_id: str,
    kind: str,
    title: str,
    *,
    level: str = "warn",
    params: Mapping[str, Any] | None = None,
    dedupe: str | None = None,
) -> None:
    """Put one line into the inbox; the same `dedupe` only once. Joins the open transaction.

    `title` is a message for `_()`, translated where it is read; `params` fill its places.
    """
    await DB.execute(
        "INSERT INTO notifications (id, user_id, kind, level, title, params, link, dedupe)"
        " VALUES (?, ?, ?, ?, ?, ?, '/account/security', ?)"
        " ON CONFLICT (user_id, kind, dedupe) DO NOTHING",
        (uuid7(), user_id, kind, level, title, json.dumps(dict(params or {})), dedupe),
    )
