"""Runs by the calendar: whose ticket ends soon, who was not served long, who is to be warned."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import msgspec

from app.tickets import settings
from app.tickets.payloads import Download
from app.tickets.service import notices, records
from app.tickets.service.records import Attempt
from db import clock
from db.engine import DB
from jobs.enqueue import enqueue

BERLIN = ZoneInfo("Europe/Berlin")
ENDS_WITHIN = timedelta(days=2)
NOT_SERVED = timedelta(days=25)
WARN_DAYS = 3
CHUNK = 200

_OPTED_IN = """
SELECT u.id AS user_id, c.revision FROM users u JOIN user_credentials c ON c.user_id = u.id
WHERE u.auto_download_enabled = 1 AND u.is_active = 1 AND u.deleted_at IS NULL
  AND c.blocked_at IS NULL
"""
_DUE = (
    _OPTED_IN  # noqa: S608 - a constant of ours
    + """
  AND (coalesce((SELECT max(t.valid_to) FROM tickets t
                 WHERE t.user_id = u.id AND t.status = 'success'), '') <= :soon
    OR NOT EXISTS (SELECT 1 FROM tickets t
                   WHERE t.user_id = u.id AND t.status = 'success' AND t.downloaded_at > :long_ago))
"""
)


class OptedIn(msgspec.Struct, frozen=True):
    """Somebody to be served by themselves."""

    user_id: str
    revision: int


async def opted_in() -> list[OptedIn]:
    """Everybody whose ticket is fetched by itself and whose login is not blocked."""
    return msgspec.convert(await DB.all(_OPTED_IN + " ORDER BY u.id"), list[OptedIn])


async def due() -> list[OptedIn]:
    """Those of them whose ticket ends within two days or was not fetched for 25."""
    today = clock.now().astimezone(BERLIN).date()
    args = {
        "soon": (today + ENDS_WITHIN).isoformat(),
        "long_ago": clock.text(clock.now() - NOT_SERVED),
    }
    return msgspec.convert(await DB.all(_DUE + " ORDER BY u.id", args), list[OptedIn])


async def queue_due(ctx: Attempt) -> None:
    """Queue who is due, spread over some hours: everybody always at the same time of their own."""
    people = await due()
    queued = await queue(people, spread_s=3600 * int(await settings.get("spread_h")))
    async with DB.tx() as tx:
        await ctx.complete(tx, {"people": len(people), "new": queued})


async def queue(people: Sequence[OptedIn], *, spread_s: float = 0) -> int:
    """Ask for a run of each, some hundred to a transaction; returns how many are new."""
    queued = 0
    for at in range(0, len(people), CHUNK):
        async with DB.tx():
            for person in people[at : at + CHUNK]:
                payload = Download(user_id=person.user_id, revision=person.revision, trigger="auto")
                delay_s = staggered(person.user_id, spread_s)
                asked = await enqueue(payload, delay_s=delay_s, owner=person.user_id)
                queued += not asked.deduped
    return queued


def staggered(user_id: str, spread_s: float) -> float:
    """Seconds after the start of a round at which this person is served."""
    share = int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:4], "big") / 2**32
    return share * spread_s


async def warn_expiring(ctx: Attempt) -> None:
    """Tell whose newest ticket ends within three days; one notice a ticket."""
    today = clock.now().astimezone(BERLIN).date()
    rows = await DB.all(
        "SELECT t.id, t.user_id, t.valid_to FROM tickets t WHERE t.status = 'success'"
        " AND t.valid_to BETWEEN ? AND ? AND NOT EXISTS (SELECT 1 FROM tickets n"
        " WHERE n.user_id = t.user_id AND n.status = 'success' AND n.valid_to > t.valid_to)",
        (today.isoformat(), (today + timedelta(days=WARN_DAYS)).isoformat()),
    )
    told = 0
    async with DB.tx() as tx:
        for row in rows:
            person = await records.find_person(row["user_id"])
            if person is None or not person.active or not person.wants("expiring"):
                continue
            told += await notices.tell(
                person.id,
                "expiring",
                notices.EXPIRING,
                level="warn",
                dedupe=str(row["id"]),
                params={"valid_to": row["valid_to"]},
            )
        await ctx.complete(tx, {"told": told})
