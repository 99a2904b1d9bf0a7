"""The account jobs: each calls the service."""

from app.accounts.payloads import Export, Reencrypt, Sweep
from app.accounts.service import closing, rekey, sweep
from jobs.context import Context
from jobs.registry import handles
from jobs.schedule import schedule


@handles(Sweep, lane="io", limit=1)
async def sweep_accounts(_: Sweep, ctx: Context) -> None:
    """Safe twice: what is gone is gone. On failure the rows wait for the next hour."""
    ctx.log.info("swept", **await sweep.sweep())


@handles(Export, lane="io", limit=1)
async def export_account(job: Export, ctx: Context) -> None:
    """Safe twice: the archive is written whole, in place of an older one."""
    ctx.log.info("exported", size_bytes=await closing.write_export(job.user_id))


@handles(Reencrypt, lane="io", limit=1)
async def reencrypt_vault(_: Reencrypt, ctx: Context) -> None:
    """Safe twice and after any crash: each row says itself which key it is under."""
    ctx.log.info("resealed", **await rekey.reseal_all(ctx))


schedule("accounts.sweep", Sweep(), cron="7 * * * *")
