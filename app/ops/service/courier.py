"""Carrying notices out of the house: what is asked for, when, and what one message says.

At most one job per notice and target. What comes in quiet hours, or above so many an hour, is held:
one job that, when its time comes, sends everything since as one message.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.core import i18n, notify, outbound, settings, vault
from app.core.errors import Upstream
from app.core.i18n import _, ngettext
from app.core.notify import Notice, Told
from app.ops.client import address, channels
from app.ops.client.message import Message
from app.ops.payloads import Notify
from db import clock
from db.engine import DB
from jobs.context import Context
from jobs.enqueue import enqueue
from jobs.outcome import Cancel, Fail, Snooze

HOUR: Final = timedelta(hours=1)
SHOWN: Final = 20  # lines of a digest

_TARGETS = """
SELECT t.*, coalesce(s.timeZone, '') AS zone FROM notification_targets t
LEFT JOIN userSettings s ON s.userId = t.owner_id
"""
_FOR = f"{_TARGETS} WHERE t.owner_id = ?1 OR (?2 AND t.owner_id IS NULL)"
_ONE = f"""{_TARGETS} WHERE t.id = ? AND (t.owner_id IS NULL OR EXISTS
(SELECT 1 FROM users u WHERE u.id = t.owner_id AND u.is_active = 1 AND u.deleted_at IS NULL))
"""  # noqa: S608 - our own words
_LATELY = """
SELECT count(*) AS n, min(createdAt) AS first FROM queueJobs
WHERE subjectType = 'target' AND subjectId = ? AND type = ? AND createdAt > ?
"""
_KNOWN = """
SELECT 1 FROM queueJobs
WHERE subjectType = 'target' AND subjectId = ? AND dedupeKey = ? AND createdAt > ?
"""
_WAITS = "SELECT 1 FROM queueJobs WHERE dedupeKey = ? AND state IN ('queued', 'running')"
_READER = """
SELECT n.user_id, u.locale, coalesce(s.timeZone, '') AS zone FROM notifications n
JOIN users u ON u.id = n.user_id LEFT JOIN userSettings s ON s.userId = u.id WHERE n.id = ?
"""


async def plan(told: Told) -> None:
    """Ask for a job per target that wants this notice, in the transaction that wrote it.

    Targets of the instance take what leads into the admin area, once for all admins.
    """
    for target in await DB.all(_FOR, (told.user_id, told.link.startswith("/admin"))):
        if _wants(target, told.kind, told.link):
            await _ask(target, told)


async def deliver(job: Notify, ctx: Context) -> None:
    """Send one notice, or what was held; the outcome stands at the target."""
    target = await DB.one(_ONE, (job.target_id,))
    reader = await DB.one(_READER, (job.notice_id,))
    if target is None or reader is None:
        raise Cancel("the target or the notice is gone")
    now = clock.now()
    if (until := quiet_end(target, now)) is not None:
        raise Snooze(max(1.0, (until - now).total_seconds()))
    last = "" if job.held else job.notice_id
    with i18n.use(reader["locale"], reader["zone"]):
        found = await notify.get_notices(reader["user_id"], job.notice_id, last=last)
        notices = [each for each in found if _wants(target, each.kind, each.link)]
        if not notices:
            raise Cancel("nothing that this target wants is left")
        message = _message(ctx.id if len(notices) > 1 else notices[0].id, notices)
    try:
        await send(target, message)
    except Upstream as error:
        await note(target["id"], error.code)
        raise
    except vault.VaultError:
        await note(target["id"], "vault")
        raise Fail("the address cannot be opened", "vault") from None
    async with ctx.tx() as tx:
        await note(target["id"], "")
        await ctx.complete(tx)
        if job.held:  # what came while this was under way
            newer = await DB.all(
                "SELECT * FROM notifications WHERE user_id = ? AND id > ? ORDER BY id",
                (reader["user_id"], found[-1].id),
            )
            for row in newer:
                if _wants(target, row["kind"], row["link"]):
                    names = ("id", "user_id", "kind", "link", "dedupe")
                    await _ask(target, Told(**{name: row[name] for name in names}))


async def send(target: Mapping[str, Any], message: Message) -> None:
    """Send a message to a target now. Raises Upstream, VaultError."""
    text = vault.open("notification_targets", "url", target["id"], target["url"])
    try:
        found = address.parse(text.reveal())
    except address.BadAddress:
        raise Upstream("the address is not one", retry=False, code="bad_url") from None
    allow = await outbound.allowed(channels.PURPOSE)
    await channels.send(found, message, allow=allow, free=target["owner_id"] is None)


async def note(target_id: str, code: str) -> None:
    """Keep how the last attempt ended, for the page; an empty code: well."""
    await DB.execute(
        "UPDATE notification_targets SET last_error = nullif(?2, ''),"
        " last_ok_at = CASE WHEN ?2 = '' THEN ?3 ELSE last_ok_at END WHERE id = ?1",
        (target_id, code, clock.text()),
    )


def quiet_end(target: Mapping[str, Any], now: datetime) -> datetime | None:
    """When the quiet hours end that it is in; None outside of them. By the owner's clock."""
    begin, end = target["quiet_from"], target["quiet_to"]
    if not begin or begin == end:
        return None
    with i18n.use("en", target["zone"]):
        here = now.astimezone(i18n.zone())
    at = f"{here:%H:%M}"
    inside = begin <= at < end if begin < end else at >= begin or at < end
    if not inside:
        return None
    over = here.replace(hour=int(end[:2]), minute=int(end[3:]), second=0, microsecond=0)
    return (over if over > here else over + timedelta(days=1)).astimezone(UTC)


async def _ask(target: Mapping[str, Any], told: Told) -> None:
    target_id, now = target["id"], clock.now()
    single = Notify(notice_id=told.id, target_id=target_id)
    held = Notify(notice_id=told.id, target_id=target_id, held=True)
    key = single.dedupe_key()
    if target["owner_id"] is None:  # the same for each admin
        key = f"{Notify.TYPE}:{target_id}:{told.kind}:{told.dedupe or told.id}"
        since = clock.ms() - 24 * 3_600_000
        if await DB.one(_KNOWN, (target_id, key, since)):
            return
    if await DB.one(_WAITS, (held.dedupe_key(),)):
        return
    until = quiet_end(target, now) or await _crowded(target_id)
    if until is None:
        await enqueue(single, dedupe=key, owner=target["owner_id"])
    else:
        await enqueue(held, run_at=until, owner=target["owner_id"])


async def _crowded(target_id: str) -> datetime | None:
    """When there is room again, if the hour has had its share."""
    since = clock.ms() - int(HOUR.total_seconds() * 1000)
    found = await DB.one(_LATELY, (target_id, Notify.TYPE, since))
    most = int(await settings.get("notify.digest_per_hour"))
    if found is None or found["n"] < most:
        return None
    return clock.from_ms(found["first"]) + HOUR


def _wants(target: Mapping[str, Any], kind: str, link: str) -> bool:
    kinds = json.loads(target["kinds"])
    chosen = not kinds or kind.partition(".")[0] in kinds
    return chosen and (target["owner_id"] is not None or link.startswith("/admin"))


def _message(message_id: str, notices: list[Notice]) -> Message:
    first, n = notices[0], len(notices)
    ranks = ("info", "good", "warn", "error")
    worst = max(notices, key=lambda each: ranks.index(each.level))
    public = str(settings.outside("public_url") or "").rstrip("/")
    link = first.link if n == 1 else "/notifications"
    lines = [each.text for each in notices[:SHOWN]]
    if n > SHOWN:
        lines.append(_("and %(n)s more", n=i18n.fmt_number(n - SHOWN)))
    title = first.text
    if n > 1:
        title = ngettext("%(n)s new notice", "%(n)s new notices", n)
    return Message(
        id=message_id,
        kind=first.kind if n == 1 else "digest",
        level=worst.level,
        title=f"Holdfast: {title}",
        text="\n".join(lines),
        url=f"{public}{link}" if public and link else "",
        at=notices[-1].at,
    )
