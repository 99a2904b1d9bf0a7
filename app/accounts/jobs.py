"""The account jobs: each calls the service."""

from app.accounts.payloads import Sweep
from app.accounts.service import sweep
from jobs.context import Context
from jobs.registry import handles
from jobs.schedule import schedule


@handles(Sweep, lane="io", limit=1)
async def sweep_accounts(_: Sweep, ctx: Context) -> None:
    """Safe twice: what is gone is gone. On failure the rows wait for the next hour."""
    ctx.log.info("swept", **await sweep.sweep())


schedule("accounts.sweep", Sweep(), cron="7 * * * *")
