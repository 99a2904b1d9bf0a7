"""The ticket jobs: each calls the service."""

from app.tickets.payloads import Download
from app.tickets.service import runs
from jobs.context import Context
from jobs.registry import Steps, handles

TRANSIENT = Steps(60, 300, 1800, 7200, jitter=0.2)


@handles(Download, lane="io", limit=2, backoff=TRANSIENT)
async def download(job: Download, ctx: Context) -> None:
    """Safe twice: files are named by content, (user, version) is unique. Outside faults retry."""
    await runs.download_and_record(job.user_id, job.revision, job.trigger, ctx)
