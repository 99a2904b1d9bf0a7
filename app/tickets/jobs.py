"""The ticket jobs: each calls the service."""

from app.tickets import payloads
from app.tickets.service import base, checks, copies, pace, retention, rounds, runs
from jobs.context import Context
from jobs.rates import rate
from jobs.registry import Steps, handles
from jobs.schedule import schedule

TRANSIENT = Steps(60, 300, 1800, 7200, jitter=0.2)
BASE = Steps(60, 300, 1800)
PUSH = Steps(60, 600, 3600, 21600)
SOON = Steps(30)
BERLIN = "Europe/Berlin"

rate(payloads.PORTAL, pace.PACE.limit, per_s=pace.PACE.per_s, burst=pace.PACE.burst)
# Hourly: the service knows whether a look is due, by its setting and on the first of the month.
schedule("tickets.check_base", payloads.CheckBase(), cron="5 * * * *", timezone=BERLIN)
schedule("tickets.calendar", payloads.Calendar(), cron="10 0 * * *", timezone=BERLIN)
schedule("tickets.expiry_scan", payloads.ExpiryScan(), cron="0 8 * * *", timezone=BERLIN)
schedule("tickets.prune", payloads.Prune(), cron="30 3 * * *", timezone=BERLIN)


@handles(payloads.Download, lane="io", limit=2, backoff=TRANSIENT)
async def download(job: payloads.Download, ctx: Context) -> None:
    """Safe twice: files are named by content, (user, version) is unique. Outside faults retry."""
    await runs.download_and_record(job.user_id, job.revision, job.trigger, ctx)


@handles(payloads.VerifyLogin, lane="io", limit=2)
async def verify_login(job: payloads.VerifyLogin, ctx: Context) -> None:
    """Safe twice: it only notes how the login went. Never retried by itself."""
    await checks.check_login(job.user_id, again=job.again, ctx=ctx)


@handles(payloads.CheckBase, lane="io", limit=1, backoff=BASE)
async def check_base(job: payloads.CheckBase, ctx: Context) -> None:
    """Safe twice: the state and the fan-out's job are one transaction. Outside faults retry."""
    await base.check_base(ctx, asked=job.trigger != "auto")


@handles(payloads.FanOut, lane="io", limit=1, backoff=SOON)
async def fan_out(_job: payloads.FanOut, ctx: Context) -> None:
    """Safe twice: who is queued already is not queued again."""
    await base.fan_out(ctx)


@handles(payloads.Calendar, lane="io", limit=1, backoff=SOON)
async def calendar(_job: payloads.Calendar, ctx: Context) -> None:
    """Safe twice: who is queued already is not queued again."""
    await rounds.queue_due(ctx)


@handles(payloads.ExpiryScan, lane="io", limit=1, backoff=SOON)
async def expiry_scan(_job: payloads.ExpiryScan, ctx: Context) -> None:
    """Safe twice: a notice is unique by ticket and kind."""
    await rounds.warn_expiring(ctx)


@handles(payloads.PushCopy, lane="io", limit=2, backoff=PUSH)
async def push_copy(job: payloads.PushCopy, ctx: Context) -> None:
    """Safe twice: the same file is put at the same place. Outside faults retry."""
    await copies.push_copy(job.user_id, job.ticket_id, ctx)


@handles(payloads.Prune, lane="io", limit=1)
async def prune(_job: payloads.Prune, ctx: Context) -> None:
    """Safe twice: what is gone is gone."""
    await retention.prune(ctx)
