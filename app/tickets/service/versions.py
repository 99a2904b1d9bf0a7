"""All versions a person has: sorted, filtered, page by page, and what changed between two."""

import asyncio
import difflib
from pathlib import PurePosixPath

import msgspec

from app.core import paths
from app.core.errors import NotFound
from app.core.files import inside, read_bytes
from app.tickets.paper import document
from app.tickets.paper.canonical import steady
from app.tickets.paper.page import Page
from app.tickets.service.library import COLUMNS, FILE_LIMIT, TicketRow, own_row, ticket_row, today
from db.engine import DB

PAGE_ROWS = 25
ORDERS = {
    "valid": "t.valid_to IS NULL, t.valid_to DESC, t.downloaded_at DESC, t.id DESC",
    "valid_up": "t.valid_to IS NULL, t.valid_to, t.downloaded_at, t.id",
    "seen": "t.created_at DESC, t.id DESC",
    "seen_up": "t.created_at, t.id",
}
STATES = {
    "valid": "t.status = 'success' AND t.valid_from <= :today AND t.valid_to >= :today",
    "over": "t.status = 'success' AND t.valid_to < :today",
    "undated": "t.status = 'success' AND t.valid_to IS NULL",
    "kept_apart": "t.status = 'error'",
}


class Line(msgspec.Struct, frozen=True):
    """A line of a comparison: `look` is `added`, `removed` or empty."""

    text: str
    look: str = ""


class Versions(msgspec.Struct, frozen=True):
    """One page of the list, and the years there are to choose from."""

    rows: list[TicketRow]
    total: int
    years: list[str]


async def list_versions(
    user_id: str, *, order: str = "valid", state: str = "", year: str = "", offset: int = 0
) -> Versions:
    """One page of 25; unknown orders and states count as none."""
    where = STATES.get(state, "1")
    if year:
        where += " AND substr(coalesce(t.valid_from, t.created_at), 1, 4) = :year"
    args = {"user": user_id, "today": today().isoformat(), "year": year}
    rows = await DB.all(
        f"SELECT {COLUMNS} FROM tickets t WHERE t.user_id = :user AND {where}"  # noqa: S608
        f" ORDER BY {ORDERS.get(order, ORDERS['valid'])} LIMIT :limit OFFSET :offset",
        {**args, "limit": PAGE_ROWS, "offset": offset},
    )
    total = await DB.value(
        f"SELECT count(*) FROM tickets t WHERE t.user_id = :user AND {where}",  # noqa: S608
        args,
    )
    years = await DB.all(
        "SELECT DISTINCT substr(coalesce(valid_from, created_at), 1, 4) AS year FROM tickets"
        " WHERE user_id = ? ORDER BY year DESC",
        (user_id,),
    )
    return Versions([ticket_row(row) for row in rows], int(total), [y["year"] for y in years])


async def find_before(user_id: str, ticket_id: int) -> int | None:
    """The usable version that was first seen before this one."""
    row = await own_row(user_id, ticket_id)
    found = await DB.value(
        "SELECT id FROM tickets WHERE user_id = ? AND status = 'success' AND id <> ?"
        " AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT 1",
        (user_id, ticket_id, row["created_at"], ticket_id),
    )
    return int(found) if found else None


async def compare(user_id: str, ticket_id: int) -> list[Line]:
    """The text of this version against the one before; NotFound where there is none."""
    before = await find_before(user_id, ticket_id)
    if before is None:
        raise NotFound
    old, new = await _lines(user_id, before), await _lines(user_id, ticket_id)
    looks = {"+": "added", "-": "removed"}
    return [
        Line(text[2:], looks.get(text[0], "")) for text in difflib.ndiff(old, new) if text[0] != "?"
    ]


async def _lines(user_id: str, ticket_id: int) -> list[str]:
    row = await own_row(user_id, ticket_id)
    folder = PurePosixPath(row["file_path"]).parent
    path = inside(paths.data_dir(), *folder.parts, document.RAW)

    def read() -> list[str]:
        headers = {"content-type": "text/html"}
        return steady(Page("", read_bytes(path, FILE_LIMIT), headers=headers).lines)

    return await asyncio.to_thread(read)
