"""Notices into people's inboxes. Titles are marked for the catalogs and translated when shown."""

from collections.abc import Mapping
from typing import Any

from app.core import notify
from app.core.i18n import mark
from app.core.notify import Level
from db.engine import DB

NEW = mark("A new semester ticket is here")
FAILED = mark("Fetching the semester ticket failed")
EXPIRING = mark("The semester ticket ends soon")
REFUSED = mark("The university refused the stored password")
FOREIGN = mark("A ticket named somebody else and was kept apart")
CHANGED = mark("The ticket portal shows a page that Holdfast does not know")
BASE_FAILS = mark("The base ticket could not be checked three times in a row")
BASE_REFUSED = mark("The university refused the base login; it is not tried again by itself")
STORAGE = mark("Tickets cannot be saved on this server")
SLOW_PATTERN = mark("An ignore pattern took too long and was switched off")
VAULT = mark("A stored portal login cannot be opened")


async def tell(
    user_id: str,
    kind: str,
    title: str,
    *,
    level: Level = "info",
    link: str = "/tickets",
    dedupe: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> bool:
    """One notice for one person, joins the open transaction; False if they have it already."""
    return await notify.tell(
        user_id, f"tickets.{kind}", title, level=level, link=link, dedupe=dedupe, params=params
    )


async def alert(
    kind: str,
    title: str,
    *,
    level: Level = "error",
    link: str = "/admin/tickets",
    dedupe: str,
    params: Mapping[str, Any] | None = None,
) -> None:
    """The same notice for every active admin; joins the open transaction."""
    admins = await DB.all(
        "SELECT id FROM users WHERE role = 'admin' AND is_active = 1 AND deleted_at IS NULL"
    )
    for row in admins:
        await tell(row["id"], kind, title, level=level, link=link, dedupe=dedupe, params=params)
