"""The query log: one row when a version was found, one when the file was had or refused."""

from typing import Any

import msgspec

from app.core.errors import NotFound
from app.core.ordering import order_by
from app.firmware import imei as imeis
from db import clock
from db.engine import DB

PAGE = 50
ORDERS = {
    "asked": ("a.id",),
    "status": ("coalesce(b.status_fus, a.status_fus)", "a.id"),
    "for": ("a.model", "a.csc", "a.id"),
    "version": ("a.version_code", "a.id"),
    "person": ("u.login COLLATE NOCASE", "a.id"),
}
USUAL = "-asked"


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One query with its outcome. `imei` is masked."""

    id: int
    user: str
    imei: str
    model: str
    csc: str
    version_code: str
    device_version: str
    status: str
    fus_code: str
    asked_at: str
    answered_at: str | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of queries is narrowed to. `user_id` "" means everybody (admins)."""

    user_id: str = ""
    model: str = ""
    csc: str = ""
    status: str = ""
    day: str = ""
    imei: str = ""
    sort: str = USUAL


async def note_asked(query_id: str, device_id: int, version: str) -> None:
    """Row 1: a version was found for this device. Nothing without an IMEI or serial; once."""
    await DB.execute(
        "INSERT INTO imei_log (imei, model, csc, csc_all, version_code, status_fus, user_id,"
        " request_id, device_version, serial_number, created_at)"
        " SELECT coalesce(imei, serial), model, substr(csc, 1, 3), csc, ?, 'unknown', user_id, ?,"
        " device_version, serial, ? FROM firmware_devices"
        " WHERE id = ? AND coalesce(imei, serial) IS NOT NULL ON CONFLICT DO NOTHING",
        (version, query_id, clock.text(), device_id),
    )


async def note_answered(
    query_id: str, status: str, firmware_id: int | None, *, fus: str = ""
) -> None:
    """Row 2: how it ended. Joins the open transaction; the first outcome stays."""
    await DB.execute(
        "INSERT INTO imei_log (imei, model, csc, csc_all, version_code, status_fus, user_id,"
        " firmware_id, request_id, device_version, serial_number, lock_status, aid, cc, fus_code,"
        " anonymised_at, created_at)"
        " SELECT imei, model, csc, csc_all, version_code, ?, user_id, ?, request_id,"
        " device_version, serial_number, lock_status, aid, cc, ?, anonymised_at, ?"
        " FROM imei_log WHERE request_id = ? AND status_fus = 'unknown' ON CONFLICT DO NOTHING",
        (status, firmware_id, fus or None, clock.text(), query_id),
    )


# The device type stays, the device goes; of a serial nothing stays.
_SHORT = """CASE WHEN length(imei) = 15 AND imei NOT GLOB '*[^0-9]*'
  THEN substr(imei, 1, 8) ELSE '' END || '*******'"""

_COLUMNS = """
SELECT a.id, coalesce(u.login, '') AS user, a.imei, a.model, a.csc, a.version_code,
  coalesce(a.device_version, '') AS device_version, coalesce(b.status_fus, a.status_fus) AS status,
  coalesce(b.fus_code, a.fus_code, '') AS fus_code, a.created_at AS asked_at,
  b.created_at AS answered_at
"""
_PAIRS = """
FROM imei_log a LEFT JOIN imei_log b ON b.request_id = a.request_id AND b.status_fus <> 'unknown'
  AND a.status_fus = 'unknown'
LEFT JOIN users u ON u.id = a.user_id
WHERE (a.status_fus = 'unknown' OR a.request_id IS NULL)"""


async def list_pairs(
    wanted: Wanted, *, limit: int = PAGE, offset: int = 0
) -> tuple[list[Pair], int]:
    """One page, and how many there are. An IMEI is compared as a whole, never by its beginning."""
    narrow, args = [_PAIRS], msgspec.structs.asdict(wanted)
    for name, column in (("user_id", "a.user_id"), ("model", "a.model"), ("csc", "a.csc")):
        if args[name]:
            narrow.append(f"{column} = :{name}")
    if wanted.imei:
        narrow.append("a.imei = :imei")
    if wanted.day:
        narrow.append("a.created_at >= :day AND a.created_at < :day || 'U'")
    if wanted.status:
        narrow.append("coalesce(b.status_fus, a.status_fus) = :status")
    pairs = " AND ".join(narrow)
    rows = await DB.all(
        f"{_COLUMNS} {pairs} ORDER BY {order_by(wanted.sort, ORDERS, USUAL)}"
        " LIMIT :limit OFFSET :offset",
        {**args, "limit": limit, "offset": offset},
    )
    total = await DB.value(f"SELECT count(*) {pairs}", args)
    shown = [msgspec.convert({**row, "imei": imeis.mask(row["imei"])}, Pair) for row in rows]
    return shown, int(total)


async def delete_own(user_id: str, row_id: int) -> None:
    """Remove one query of this person with its outcome; NotFound."""
    removed = await DB.execute(
        "DELETE FROM imei_log WHERE user_id = :user AND (id = :id OR request_id ="
        " (SELECT request_id FROM imei_log WHERE id = :id AND user_id = :user))",
        {"user": user_id, "id": min(row_id, 2**62)},
    )
    if not removed:
        raise NotFound


async def per_day(user_id: str, days: int = 30) -> list[dict[str, Any]]:
    """Outcomes a day: `day`, `status`, `n`; everybody's for an empty `user_id`."""
    return await DB.all(
        "SELECT substr(created_at, 1, 10) AS day, status_fus AS status, count(*) AS n"
        " FROM imei_log WHERE (:user = '' OR user_id = :user) AND created_at >= :since"
        " AND status_fus <> 'unknown' GROUP BY day, status ORDER BY day",
        {"user": user_id, "since": _days_ago(days)},
    )


async def forget_old(days: int) -> int:
    """Take the IMEIs out of rows older than `days`, and out of devices nobody watches."""
    old, now = _days_ago(days), clock.text()
    count = await DB.execute(
        f"UPDATE imei_log SET imei = {_SHORT}, serial_number = NULL,"  # noqa: S608 - ours
        " anonymised_at = ? WHERE created_at < ? AND anonymised_at IS NULL",
        (now, old),
    )
    await DB.execute(
        "UPDATE OR IGNORE firmware_devices SET imei = NULL, serial = NULL WHERE watch = 0"
        " AND created_at < ? AND (imei IS NOT NULL OR serial IS NOT NULL)",
        (old,),
    )
    return count


async def forget_person(user_id: str) -> None:
    """An account is closed: its numbers go at once."""
    await DB.execute(
        f"UPDATE imei_log SET imei = {_SHORT}, serial_number = NULL,"  # noqa: S608 - ours
        " anonymised_at = ? WHERE user_id = ? AND anonymised_at IS NULL",
        (clock.text(), user_id),
    )


def _days_ago(days: int) -> str:
    return clock.text(clock.from_ms(clock.ms() - days * 86_400_000))
