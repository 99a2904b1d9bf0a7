"""Requests that are no download yet: what Samsung was asked, what it answered instead, and when."""

import msgspec

from app.firmware.payloads import RATE
from app.firmware.service.wishes import Wish
from db import clock
from db.engine import DB


async def open_questions(user_id: str) -> list[Wish]:
    """A person's requests of which Samsung has not said yet what they are."""
    rows = await DB.all(
        "SELECT * FROM firmware_requests WHERE user_id = ? AND firmware_id IS NULL"
        " AND status = 'queued' ORDER BY id DESC LIMIT 10",
        (user_id,),
    )
    return msgspec.convert(rows, list[Wish])


async def troubles(user_id: str) -> dict[int, tuple[str, int]]:
    """Of those that were put off: the fault's code and when the next try is, by request."""
    rows = await DB.all(
        "SELECT r.id, j.lastError AS code, j.runAt AS at,"
        " (SELECT max(blockedUntil) FROM queue_rates WHERE key = :rate) AS blocked"
        " FROM firmware_requests r JOIN queueJobs j ON j.state = 'queued' AND j.dedupeKey ="
        " 'firmware.resolve:' || r.model || ':' || r.csc || ':' || r.wanted_version"
        " WHERE r.user_id = :user AND r.firmware_id IS NULL AND r.status = 'queued'",
        {"user": user_id, "rate": RATE},
    )
    held = "throttled" if rows and (rows[0]["blocked"] or 0) > clock.ms() else ""
    return {row["id"]: (row["code"] or held, row["at"]) for row in rows if row["code"] or held}


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A request that ended because another version was served."""

    wanted: str
    served: str


async def mismatches(user_id: str, model: str, csc: str) -> list[Mismatch]:
    """One's own requests of the last day that Samsung answered with another version."""
    rows = await DB.all(
        "SELECT r.wanted_version AS wanted, j.lastError AS text FROM firmware_requests r"
        " JOIN queueJobs j ON j.dedupeKey = 'firmware.resolve:' || r.model || ':' || r.csc || ':'"
        " || r.wanted_version AND j.errorCode = 'other_version'"
        " WHERE r.user_id = ? AND r.model = ? AND r.csc = ? AND r.status = 'failed'"
        " AND r.firmware_id IS NULL ORDER BY r.id DESC LIMIT 1",
        (user_id, model, csc),
    )
    return [
        Mismatch(wanted=row["wanted"], served=(row["text"] or "").rpartition("served ")[2])
        for row in rows
    ]
