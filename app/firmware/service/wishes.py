"""Who waits for what: several people share one download, and each can only take back their own."""

import msgspec

from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _, mark
from app.firmware import settings, versions
from app.firmware.outcomes import Fault
from app.firmware.payloads import WATCH, Fetch, Resolve
from app.firmware.service import lookup, queries, records
from app.firmware.service.records import ACTIVE, Part, Version
from db import clock
from db.engine import DB
from jobs.enqueue import cancel, enqueue

ALL = "all"
PARTS = ("BL", "AP", "CP", "CSC", "HOME_CSC", "USERDATA", "OTHER")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `firmware_requests`."""

    id: int
    user_id: str
    firmware_id: int | None
    device_id: int | None
    model: str
    csc: str
    wanted_version: str | None
    parts: str
    status: str
    query_id: str | None
    created_at: str
    finished_at: str | None


async def order(  # noqa: PLR0913 - each is one thing a person may have to say
    user_id: str,
    model: str,
    csc: str,
    version: str,
    *,
    parts: tuple[str, ...] = (),
    device_id: int | None = None,
    query_id: str | None = None,
    take_served: bool = False,
    watch: bool = False,
) -> int:
    """Ask for a version; the request's id. What is here already is had at once, without a call.

    Raises Invalid for a version that is none, Conflict until an admin confirmed lawful use.
    """
    if not await settings.get("confirmed"):
        raise Conflict(
            _("An admin must confirm first that only firmware for own devices is fetched.")
        )
    try:
        wanted = versions.normalise(version)
    except ValueError as error:
        raise Invalid(version=_("A version needs all its parts: AP/CSC/CP.")) from error
    chosen = ",".join(part for part in PARTS if part in parts) or ALL
    async with DB.tx():
        found = await records.find_version(wanted)
        wish_id = int(
            await DB.value(
                "INSERT INTO firmware_requests (user_id, firmware_id, device_id, model, csc,"
                " wanted_version, parts, query_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    user_id,
                    found.id if found else None,
                    device_id,
                    model,
                    csc,
                    wanted,
                    chosen,
                    query_id,
                ),
            )
        )
        if found is None:
            payload = Resolve(
                model=model,
                csc=csc,
                version=wanted,
                device_id=device_id,
                take_served=take_served,
            )
            await enqueue(payload, owner=user_id, priority=_band(watch))
        else:
            await attach(found, user_id, watch=watch)
    return wish_id


async def attach(version: Version, user_id: str | None, *, watch: bool = False) -> None:
    """Serve the open requests of a version: at once from disk, else by its one download."""
    await satisfy(version)
    if version.state in ACTIVE or not await open_wishes(version.id):
        return
    await records.set_state(version.id, "queued", error_code=None, error_text=None)
    payload = Fetch(firmware_id=version.id, version=version.version_code)
    await enqueue(payload, owner=user_id, priority=_band(watch))


async def satisfy(version: Version) -> int:
    """End every open request whose parts are on disk; how many. Joins the open transaction."""
    if version.state not in ("ready", "partial"):
        return 0
    here = await records.list_parts(version.id)
    count = 0
    for wish in await open_wishes(version.id):
        if version.state == "ready" or _covered(wish.parts, here):
            await _end(wish, version, "ready")
            count += 1
    await DB.execute(
        "UPDATE firmware SET last_used_at = ? WHERE id = ?", (clock.text(), version.id)
    )
    return count


async def refuse(wishes: list[Wish], version: Version | None, fault: BaseException) -> None:
    """End requests with a failure: their rows, the query log, a notice. Joins the transaction."""
    for wish in wishes:
        await _end(wish, version, "failed", fault)


async def open_wishes(firmware_id: int) -> list[Wish]:
    """Requests that still wait for a version."""
    rows = await DB.all(
        "SELECT * FROM firmware_requests WHERE firmware_id = ? AND status = 'queued' ORDER BY id",
        (firmware_id,),
    )
    return msgspec.convert(rows, list[Wish])


async def unresolved(model: str, csc: str, version: str) -> list[Wish]:
    """Requests for a version that is not known yet."""
    rows = await DB.all(
        "SELECT * FROM firmware_requests WHERE firmware_id IS NULL AND status = 'queued'"
        " AND model = ? AND csc = ? AND wanted_version = ? ORDER BY id",
        (model, csc, version),
    )
    return msgspec.convert(rows, list[Wish])


async def list_own(user_id: str, limit: int = 20) -> list[Wish]:
    """A person's requests, newest first."""
    rows = await DB.all(
        "SELECT * FROM firmware_requests WHERE user_id = ? ORDER BY id DESC LIMIT ?",
        (user_id, limit),
    )
    return msgspec.convert(rows, list[Wish])


async def asking(user_id: str) -> list[Wish]:
    """A person's requests of which Samsung has not said yet what they are."""
    rows = await DB.all(
        "SELECT * FROM firmware_requests WHERE user_id = ? AND firmware_id IS NULL"
        " AND status = 'queued' ORDER BY id DESC LIMIT 10",
        (user_id,),
    )
    return msgspec.convert(rows, list[Wish])


async def wanted_parts(version: Version) -> list[Part]:
    """The union of what the open requests want."""
    parts = await records.list_parts(version.id)
    wishes = await open_wishes(version.id)
    if not wishes or any(wish.parts == ALL for wish in wishes):
        return parts
    names = {name for wish in wishes for name in wish.parts.split(",")}
    return [part for part in parts if part.part in names]


async def wants_all(version: Version) -> bool:
    """Whether somebody wants the whole file."""
    wishes = await open_wishes(version.id)
    return not wishes or any(wish.parts == ALL for wish in wishes)


async def cancel_own(user_id: str, firmware_id: int) -> None:
    """Take back one's own requests; the download stops when nobody waits any more."""
    async with DB.tx():
        changed = await DB.execute(
            "UPDATE firmware_requests SET status = 'cancelled', finished_at = ?"
            " WHERE user_id = ? AND firmware_id = ? AND status = 'queued'",
            (clock.text(), user_id, firmware_id),
        )
        if not changed:
            raise NotFound
        if not await open_wishes(firmware_id):
            await _stop(await records.get_version(firmware_id))


async def pause(user_id: str, firmware_id: int, *, admin: bool) -> None:
    """Hold the download; its bytes stay. Conflict where others wait for it too."""
    async with DB.tx():
        version = await records.get_version(firmware_id)
        wishes = await open_wishes(firmware_id)
        if not admin and {wish.user_id for wish in wishes} != {user_id}:
            raise Conflict(_("Others wait for it too: you can only take back your own wish."))
        if version.state not in ACTIVE:
            raise Conflict(_("Nothing is running."))
        await _stop(version)


async def resume(user_id: str, firmware_id: int) -> None:
    """Go on, or try again, at the bytes that are here. Opens a request where one has none."""
    version = await records.get_version(firmware_id)
    mine = [wish for wish in await open_wishes(firmware_id) if wish.user_id == user_id]
    if version.state in ACTIVE:
        raise Conflict(_("It is running already."))
    if mine:
        async with DB.tx():
            await attach(version, user_id)
        return
    await order(user_id, version.model or "", version.csc or "", version.version_code)


async def stopped(firmware_id: int) -> None:
    """The job was cancelled: the version is held. Joins the open transaction."""
    await DB.execute(
        "UPDATE firmware SET state = 'paused' WHERE id = ?"
        " AND state IN ('queued', 'downloading', 'verifying')",
        (firmware_id,),
    )


async def _stop(version: Version) -> None:
    payload = Fetch(firmware_id=version.id, version=version.version_code)
    await stopped(version.id)
    await cancel(dedupe=payload.dedupe_key())


async def _end(
    wish: Wish, version: Version | None, status: str, fault: BaseException | None = None
) -> None:
    await DB.execute(
        "UPDATE firmware_requests SET status = ?, firmware_id = coalesce(?, firmware_id),"
        " finished_at = ? WHERE id = ?",
        (status, version.id if version else None, clock.text(), wish.id),
    )
    if version:
        await records.note_target(version.id, wish.model, wish.csc)
    if wish.query_id:
        status_fus = fault.status_fus if isinstance(fault, Fault) else "error" if fault else "ok"
        fus = fault.fus if isinstance(fault, Fault) else ""
        await queries.note_answered(
            wish.query_id, status_fus, version.id if version else None, fus=fus
        )
    good = status == "ready"
    title = mark("%(version)s is ready") if good else mark("%(version)s could not be fetched")
    params = {"version": versions.pda(wish.wanted_version or "")}
    link = f"/firmware/{version.id}" if version else "/firmware"
    await lookup.notify(
        wish.user_id,
        title,
        params,
        link,
        dedupe=f"wish:{wish.id}",
        level="good" if good else "error",
    )


def _covered(wanted: str, here: list[Part]) -> bool:
    if wanted == ALL:
        return False
    names = set(wanted.split(","))
    return all(part.present for part in here if part.part in names)


def _band(watch: bool) -> int | None:
    return WATCH if watch else None


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
