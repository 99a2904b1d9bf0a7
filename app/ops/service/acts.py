"""What an admin or an owner may do to one job. Every action is audited."""

import apsw

from app.core import audit
from app.core.errors import Conflict, NotFound
from app.core.i18n import _
from app.core.live import Viewer
from app.core.settings import DOMAINS
from app.ops.service.job import visible
from app.ops.service.jobs import is_shared
from db import clock
from db.connection import Row
from db.engine import DB
from jobs import enqueue as queue
from jobs.enqueue import Duplicate
from jobs.payload import Payload
from jobs.why import situation


class AlreadyQueued(Conflict):
    """A live job does the same: `twin` is its id."""

    def __init__(self, twin: str) -> None:
        super().__init__(_("The same is already queued as another job."))
        self.twin = twin


async def cancel_job(viewer: Viewer, job_id: str, *, mine: bool, ip: str = "") -> None:
    """Cancel a waiting job, ask a running one to stop.

    Raises NotFound, and Conflict if it ended or if others may wait for it too.
    """
    async with DB.tx():
        row = await _visible(viewer, job_id, mine=mine)
        if mine and is_shared(row["type"]):
            raise Conflict(_("Others may wait for it too: take back your wish on its own page."))
        if not await queue.cancel(id=job_id):
            raise Conflict(_("This job has already ended."))
        await _note("job.cancelled", viewer, job_id, ip)


async def retry_job(viewer: Viewer, job_id: str, *, mine: bool, ip: str = "") -> None:
    """Queue a failed or cancelled job again. Raises NotFound, Conflict, AlreadyQueued.

    NotFound, too, where it belongs to a domain the viewer may no longer use.
    """
    async with DB.tx():
        row = await _visible(viewer, job_id, mine=mine)
        domain = row["type"].partition(".")[0]
        if viewer.role != "admin" and domain in DOMAINS and domain not in viewer.domains:
            raise NotFound
        try:
            queued = await queue.retry(job_id)
        except Duplicate as twin:
            raise AlreadyQueued(twin.holder_id) from twin
        if not queued:
            raise Conflict(_("Only a failed or cancelled job can be tried again."))
        await _note("job.retried", viewer, job_id, ip)


async def act_on_job(viewer: Viewer, job_id: str, action: str, *, ip: str = "") -> None:
    """Run now, delete, acknowledge or release one job. Raises NotFound, Conflict."""
    async with DB.tx():
        await _visible(viewer, job_id, mine=False)
        if not await _ACTS[action](job_id):
            raise Conflict(_refusal(action))
        await _note(f"job.{action}", viewer, job_id, ip)


async def edit_job(
    viewer: Viewer,
    job_id: str,
    *,
    payload: Payload | None,
    priority: int,
    delay_s: int | None,
    max_attempts: int,
    ip: str = "",
) -> None:
    """Change what a waiting job is told, its place and tries; None leaves it as it is.

    Raises NotFound, Conflict, AlreadyQueued.
    """
    run_at = None if delay_s is None else clock.ms() + delay_s * 1000
    async with DB.tx():
        await _visible(viewer, job_id, mine=False)
        try:
            edited = await queue.edit(
                job_id,
                payload=payload,
                priority=priority,
                run_at=run_at,
                max_attempts=max_attempts,
            )
        except Duplicate as twin:
            raise AlreadyQueued(twin.holder_id) from twin
        if not edited:
            raise Conflict(_("Only a waiting job can be changed."))
        await _note("job.edited", viewer, job_id, ip)


_ACTS = {
    "run_now": queue.run_now,
    "delete": queue.delete,
    "acknowledge": queue.acknowledge,
    "release": queue.force_release,
}


def _refusal(action: str) -> str:
    words = {
        "run_now": _("Only a waiting job can be started."),
        "delete": _("Only an ended job can be deleted. Cancel it first."),
        "acknowledge": _("Only a failed job can be marked as seen."),
        "release": _("Only a job whose worker does not answer can be released."),
    }
    return words[action]


async def _visible(viewer: Viewer, job_id: str, *, mine: bool) -> Row:
    def read(connection: apsw.Connection) -> Row:
        return visible(connection, viewer, job_id, mine=mine, now=situation(connection))

    return await DB.write(read)


async def _note(action: str, viewer: Viewer, job_id: str, ip: str) -> None:
    await audit.record(action, actor_id=viewer.id, ip=ip, object_type="job", object_id=job_id)
