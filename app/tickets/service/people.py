"""The people who use tickets, as admins see them: how they stand, never what their ticket says."""

import json
from datetime import timedelta
from typing import Any

import msgspec

from app.core import audit
from app.core.errors import Invalid, NotFound
from app.core.i18n import _
from app.core.ordering import order_by
from app.tickets import settings
from app.tickets.payloads import Download
from app.tickets.service import library, logins
from db.engine import DB
from jobs.enqueue import enqueue

PAGE_ROWS = 50
ADMIN_PRIORITY = 60
STATES = {
    "valid": "until >= :today",
    "expiring": "until BETWEEN :today AND :soon",
    "none": "until IS NULL",
    "failing": "last_status = 'error'",
    "blocked": "blocked_at IS NOT NULL",
    "auto": "auto = 1",
}
ORDERS = {
    "name": ("login COLLATE NOCASE", "id"),
    "until": ("until IS NULL", "until", "login COLLATE NOCASE"),
    "last": ("last_at", "id"),
}
USUAL = "name"
_PEOPLE = """
SELECT * FROM (
  SELECT u.id, u.login, u.auto_download_enabled AS auto, u.output_dir AS mirror,
    u.flags ->> '$.tickets.driver' AS driver, c.blocked_at, c.uk_number IS NOT NULL AS has_login,
    (SELECT max(t.valid_to) FROM tickets t
       WHERE t.user_id = u.id AND t.status = 'success') AS until,
    h.outcome AS last_outcome, h.status AS last_status, h.downloaded_at AS last_at
  FROM users u LEFT JOIN user_credentials c ON c.user_id = u.id
  LEFT JOIN ticket_download_history h ON h.id = (SELECT id FROM ticket_download_history
    WHERE user_id = u.id ORDER BY downloaded_at DESC, id DESC LIMIT 1)
  WHERE u.deleted_at IS NULL)
"""


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list."""

    id: str
    login: str
    auto: bool
    has_login: bool
    blocked: bool
    until: str | None
    last_outcome: str | None
    last_at: str | None
    driver: str
    mirror: str


async def list_people(
    *, q: str = "", state: str = "", sort: str = USUAL, limit: int = PAGE_ROWS, offset: int = 0
) -> tuple[list[PersonRow], int]:
    """One page, and how many there are; sorted by one of `ORDERS`. `q` is a part of the login."""
    today = library.today()
    where = STATES.get(state, "1") + (" AND instr(lower(login), lower(:q))" if q else "")
    args = {
        "today": today.isoformat(),
        "soon": (today + timedelta(days=3)).isoformat(),
        "q": q,
        "limit": limit,
        "offset": offset,
    }
    rows = await DB.all(
        f"{_PEOPLE} WHERE {where} ORDER BY {order_by(sort, ORDERS, USUAL)}"
        " LIMIT :limit OFFSET :offset",
        args,
    )
    total = await DB.value(f"SELECT count(*) FROM ({_PEOPLE} WHERE {where})", args)  # noqa: S608
    return [_person(row) for row in rows], int(total)


async def get_person(user_id: str) -> PersonRow:
    """One person; NotFound for nobody."""
    row = await DB.one(f"{_PEOPLE} WHERE id = ?", (user_id,))
    if row is None:
        raise NotFound
    return _person(row)


async def set_driver(admin_id: str, user_id: str, driver: str, *, ip: str = "") -> None:
    """How this person's pages are fetched, audited; empty: as the settings say."""
    if driver and driver not in settings.DRIVERS:
        raise Invalid(driver=_("There is no such way."))
    async with DB.tx():
        changed = await DB.execute(
            "UPDATE users SET flags = json_set(flags, '$.tickets',"
            " json_patch(coalesce(flags -> '$.tickets', '{}'), ?))"
            " WHERE id = ? AND deleted_at IS NULL",
            (json.dumps({"driver": driver or None}), user_id),
        )
        if not changed:
            raise NotFound
        await audit.record(
            "tickets.driver_set",
            actor_id=admin_id,
            ip=ip,
            object_type="user",
            object_id=user_id,
            detail={"driver": driver},
        )


async def download_for(admin_id: str, user_ids: list[str], *, ip: str = "") -> int:
    """Ask for a run of each, audited; returns how many. Who cannot be served is left out."""
    asked = 0
    async with DB.tx():
        for user_id in user_ids[:PAGE_ROWS]:
            login = await logins.find_login(user_id)
            if login is None or login.is_blocked:
                continue
            payload = Download(user_id=user_id, revision=login.revision, trigger="admin")
            await enqueue(payload, priority=ADMIN_PRIORITY, on_dup="replace", owner=user_id)
            asked += 1
        detail = {"people": asked}
        await audit.record("tickets.downloads_asked", actor_id=admin_id, ip=ip, detail=detail)
    return asked


async def list_tickets(user_id: str) -> list[library.TicketRow]:
    """The versions of one person as lines, for the page about them."""
    return await library.list_versions(user_id, limit=12)


async def look_at(admin_id: str, ticket_id: int, part: str, *, ip: str = "") -> str:
    """May this admin see somebody's ticket? Its owner's id, the look audited; NotFound if not.

    The setting says so for everybody; without it the answer is that there is no such ticket.
    """
    if ticket_id > library.LARGEST_ID:
        raise NotFound
    owner = await DB.value("SELECT user_id FROM tickets WHERE id = ?", (ticket_id,))
    if owner is None or not await settings.get("admin_can_view"):
        raise NotFound
    await audit.record(
        "tickets.looked_at",
        actor_id=admin_id,
        ip=ip,
        object_type="ticket",
        object_id=str(ticket_id),
        detail={"part": part, "owner": owner},
    )
    return str(owner)


async def can_look() -> bool:
    """Whether admins may open people's tickets."""
    return bool(await settings.get("admin_can_view"))


def _person(row: dict[str, Any]) -> PersonRow:
    return PersonRow(
        id=row["id"],
        login=row["login"],
        auto=bool(row["auto"]),
        has_login=bool(row["has_login"]),
        blocked=row["blocked_at"] is not None,
        until=row["until"],
        last_outcome=row["last_outcome"],
        last_at=row["last_at"],
        driver=row["driver"] or "",
        mirror=row["mirror"] or "",
    )
