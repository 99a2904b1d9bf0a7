"""One action on many jobs: those ticked, or all that matched a filter when the button was pressed.

Up to 500 are done at once; more become a job themselves, whose filter ends at the newest row seen.
"""

from collections.abc import Awaitable, Callable, Sequence

import apsw
import msgspec

from app.core import audit
from app.core.admins import is_admin
from app.core.errors import Invalid
from app.core.i18n import _
from app.core.live import Viewer
from app.ops.payloads import BulkAction
from app.ops.service.jobs import count_jobs, matching
from db.engine import DB
from jobs import enqueue as queue
from jobs.context import Context
from jobs.enqueue import Duplicate, enqueue
from jobs.outcome import Fail
from jobs.why import situation

AT_ONCE = 500

Act = Callable[[str], Awaitable[bool]]


async def _cancel(job_id: str) -> bool:
    return await queue.cancel(id=job_id) > 0


async def _retry(job_id: str) -> bool:
    try:
        return await queue.retry(job_id)
    except Duplicate:
        return False


ACTIONS: dict[str, Act] = {
    "cancel": _cancel,
    "retry": _retry,
    "run_now": queue.run_now,
    "delete": queue.delete,
    "acknowledge": queue.acknowledge,
}


class Done(msgspec.Struct, frozen=True):
    """How many were changed; or the job that does it."""

    changed: int
    job_id: str = ""


async def act(
    viewer: Viewer,
    action: str,
    *,
    ids: Sequence[str] = (),
    state: str = "",
    q: str = "",
    newest: str = "",
    ip: str = "",
) -> Done:
    """Do `action` to the jobs of `ids`, or without ids to all that match. Raises Invalid."""
    if action not in ACTIONS:
        raise Invalid(action=_("Choose what to do."))
    if not ids and not newest:
        raise Invalid(id=_("Choose at least one job."))
    detail = {"state": state, "q": q} if not ids else {}
    if not ids:
        if await count_jobs(state, q, newest=newest) > AT_ONCE:
            payload = BulkAction(action=action, state=state, q=q, newest=newest, actor=viewer.id)
            async with DB.tx() as tx:
                asked = await enqueue(payload, tx=tx, owner=viewer.id)
                await _note(viewer.id, action, ip, {**detail, "job": asked.id})
            return Done(0, asked.id)
        ids = await _page(state, q, newest, "")
    async with DB.tx():
        changed = await _apply(action, ids[:AT_ONCE])
        await _note(viewer.id, action, ip, {**detail, "jobs": changed})
    return Done(changed)


async def work(job: BulkAction, ctx: Context) -> dict[str, int]:
    """The job: 500 rows to a transaction, from the newest down.

    Fail where who asked is no admin any more: a kept job must not outlive the right to it.
    """
    if not await is_admin(job.actor):
        raise Fail("who asked for this is no admin any more", "not_admin")
    total = await count_jobs(job.state, job.q, newest=job.newest)
    seen, changed, below = ctx.cursor or (0, 0, "")
    while ids := await _page(job.state, job.q, job.newest, below):
        ctx.check()
        async with DB.tx():
            changed += await _apply(job.action, [each for each in ids if each != ctx.id])
            seen, below = seen + len(ids), ids[-1]
            await ctx.save_cursor((seen, changed, below))
        await ctx.progress(seen, max(total, seen))
    await _note(job.actor, job.action, "", {"jobs": changed, "job": ctx.id})
    return {"jobs": changed}


async def _page(state: str, q: str, newest: str, below: str) -> list[str]:
    where, args = matching(state=state, q=q, newest=newest, before=below)
    sql = f"SELECT j.id FROM queueJobs j WHERE {where} ORDER BY j.id DESC LIMIT {AT_ONCE}"  # noqa: S608

    def read(connection: apsw.Connection) -> list[str]:
        rows = connection.execute(sql, {**situation(connection).args, **args})
        return [str(job_id) for (job_id,) in rows]

    return await DB.read(read)


async def _apply(action: str, ids: Sequence[str]) -> int:
    return sum([await ACTIONS[action](job_id) for job_id in ids])


async def _note(actor: str, action: str, ip: str, detail: dict[str, object]) -> None:
    await audit.record(
        f"jobs.{action}", actor_id=actor, ip=ip, object_type="queue", object_id="1", detail=detail
    )
