"""Which versions there are: asks, keeps the list, and tells watchers of a new one."""

import json
from collections.abc import Sequence

import apsw
import msgspec

from app.core.errors import Upstream
from app.core.i18n import mark
from app.firmware import client, settings, versions
from app.firmware.answers import Listed
from app.firmware.outcomes import Fault
from app.firmware.payloads import ASKED, RATE, WATCH, Check
from app.firmware.service import queries
from db import clock
from db.engine import DB
from db.keys import uuid7
from jobs.context import Context
from jobs.enqueue import Enqueued, enqueue

FRESH_S = 15 * 60


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One listed version as people read it; `reading` is None where the code says nothing."""

    version_code: str
    kind: str
    sequence: int | None
    os_name: str
    opened_at: str | None
    source: str
    seen_at: str
    firmware_id: int | None
    state: str

    @property
    def reading(self) -> versions.Reading | None:
        """What the version code says."""
        return versions.read(self.version_code)

    @property
    def pda(self) -> str:
        """Its first part."""
        return versions.pda(self.version_code)


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """The last look-up of a model and region."""

    job_id: str
    live: bool
    error_code: str
    error_text: str


def new_query() -> str:
    """The name of one query, which joins its two rows of the log."""
    return uuid7()


async def order_check(
    model: str,
    csc: str,
    *,
    owner: str | None,
    device_id: int | None = None,
    query_id: str | None = None,
    watch: bool = False,
) -> Enqueued:
    """Ask for the list of a model and region; asked twice it is one question."""
    payload = Check(model=model, csc=csc, device_id=device_id, query_id=query_id)
    return await enqueue(payload, priority=WATCH if watch else ASKED, owner=owner)


async def run_check(job: Check, ctx: Context) -> None:
    """Ask, keep the list, log the query, tell whoever watches. Safe twice: all of it is upserts."""
    if not await is_fresh(job.model, job.csc):
        try:
            listed, source = await client.list_versions(
                await settings.profile(), job.model, job.csc
            )
        except Fault as fault:
            ctx.log.warn("look-up failed", code=fault.code, fus=fault.fus)  # noqa: G010
            if fault.code == "throttled":
                ctx.rate_blocked(RATE, clock.ms() + round(1000 * (fault.after_s or 300)))
            raise
        except Upstream as error:
            ctx.log.warn("look-up failed", code=error.code)  # noqa: G010
            raise
        await _keep(job.model, job.csc, listed, source)
    newest = await newest_version(job.model, job.csc)
    async with DB.tx() as tx:
        if newest and job.query_id and job.device_id:
            await queries.note_asked(job.query_id, job.device_id, newest)
        if newest:
            await _tell_watchers(job.model, job.csc, newest)
        await ctx.complete(tx, {"newest": newest})


async def is_fresh(model: str, csc: str) -> bool:
    """Whether the list is younger than 15 minutes."""
    seen = await DB.value(
        "SELECT max(seen_at) FROM firmware_versions WHERE model = ? AND csc = ?", (model, csc)
    )
    return seen is not None and (clock.now() - clock.parse(seen)).total_seconds() < FRESH_S


async def newest_version(model: str, csc: str) -> str | None:
    """The newest released version of the list."""
    value = await DB.value(
        "SELECT version_code FROM firmware_versions WHERE model = ? AND csc = ?"
        " AND kind = 'stable' ORDER BY sequence DESC, seen_at DESC LIMIT 1",
        (model, csc),
    )
    return str(value) if value else None


async def list_known(model: str, csc: str) -> list[Known]:
    """The kept list, the newest first, with what is here of each."""
    rows = await DB.all(
        "SELECT v.version_code, v.kind, v.sequence, coalesce(v.os_name, '') AS os_name,"
        " v.opened_at, v.source, v.seen_at, f.id AS firmware_id, coalesce(f.state, '') AS state"
        " FROM firmware_versions v LEFT JOIN firmware f ON f.version_code = v.version_code"
        " WHERE v.model = ? AND v.csc = ?"
        " ORDER BY v.sequence DESC, v.version_code DESC LIMIT 400",
        (model, csc),
    )
    return msgspec.convert(rows, list[Known])


async def known_models() -> list[str]:
    """Models somebody looked up, for the list under the field."""
    rows = await DB.all("SELECT DISTINCT model FROM firmware_versions ORDER BY model LIMIT 200")
    return [row["model"] for row in rows]


async def last_asking(model: str, csc: str) -> Asking | None:
    """The newest look-up job of a model and region; None where nobody asked."""
    row = await DB.one(
        "SELECT id, state, coalesce(errorCode, '') AS code, coalesce(lastError, '') AS text"
        " FROM queueJobs WHERE type = 'firmware.check' AND label = ? ORDER BY id DESC LIMIT 1",
        (Check(model=model, csc=csc).label(),),
    )
    if row is None:
        return None
    live = row["state"] in ("queued", "running")
    return Asking(
        job_id=row["id"],
        live=live,
        error_code=row["code"] if row["state"] == "failed" or live else "",
        error_text=row["text"],
    )


async def _keep(model: str, csc: str, listed: Sequence[Listed], source: str) -> None:
    count, now = len(listed), clock.text()
    rows = [
        (model, csc, v.version, v.sequence or count - at, v.os_name, v.opened_at, v.kind, source)
        for at, v in enumerate(listed)
    ]

    def write(connection: apsw.Connection) -> None:
        connection.executemany(
            "INSERT INTO firmware_versions (model, csc, version_code, sequence, os_name, opened_at,"
            " kind, source, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " sequence=excluded.sequence, os_name=excluded.os_name, opened_at=excluded.opened_at,"
            " kind=excluded.kind, source=excluded.source, seen_at=excluded.seen_at",
            [(*row, now) for row in rows],
        )
        connection.execute(
            "UPDATE firmware_devices SET last_checked_at=? WHERE model=? AND substr(csc,1,3)=?",
            (now, model, csc),
        )

    await DB.write(write)


async def _tell_watchers(model: str, csc: str, newest: str) -> None:
    """A notice for each watcher whose device saw another version last; joins the transaction."""
    rows = await DB.all(
        "SELECT id, user_id, coalesce(nickname, model) AS name, latest_seen FROM firmware_devices"
        " WHERE model = ? AND substr(csc, 1, 3) = ? AND watch = 1"
        " AND coalesce(latest_seen, '') <> ? AND coalesce(device_version, '') <> ?",
        (model, csc, newest, newest),
    )
    for row in rows:
        title = mark("Update for %(device)s: %(version)s")
        params = {"device": row["name"], "version": versions.pda(newest)}
        link = f"/firmware/lookup?model={model}&csc={csc}"
        await notify(row["user_id"], title, params, link, dedupe=f"{row['id']}:{newest}")
    await DB.execute(
        "UPDATE firmware_devices SET latest_seen = ? WHERE model = ? AND substr(csc, 1, 3) = ?",
        (newest, model, csc),
    )


async def notify(
    user_id: str, title: str, params: dict[str, str], link: str, *, dedupe: str, level: str = "good"
) -> None:
    """One line in somebody's inbox; said once. Joins the open transaction."""
    await DB.execute(
        "INSERT INTO notifications (id, user_id, kind, level, title, params, link, dedupe)"
        " VALUES (?, ?, 'firmware', ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (uuid7(), user_id, level, title, json.dumps(params), link, dedupe),
    )
