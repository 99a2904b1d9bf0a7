"""The operations' jobs: each calls the service."""

from app.ops.payloads import BulkAction, FoldStats, Prune
from app.ops.service import bulk, upkeep
from app.ops.service import watch as watching
from jobs.context import Context
from jobs.registry import handles, tick
from jobs.schedule import schedule


@handles(Prune, lane="io", limit=1)
async def prune(_: Prune, ctx: Context) -> None:
    """Safe twice: what is gone is gone. With more to do it comes back after a breath."""
    await upkeep.prune(ctx)


@handles(FoldStats, lane="io", limit=1)
async def fold_stats(_: FoldStats, ctx: Context) -> None:
    """Safe twice: each step moves its rows in one transaction."""
    await upkeep.fold(ctx)


@handles(BulkAction, lane="io", limit=1)
async def bulk_action(job: BulkAction, ctx: Context) -> dict[str, int]:
    """Safe twice: a job that has changed already is passed over; goes on at its cursor."""
    return await bulk.work(job, ctx)


@tick(every_s=15)
async def watch() -> None:
    """It reads, and writes one row a minute and at most one notice an hour: each is guarded."""
    await watching.look()


schedule("ops.queue_prune", Prune(), cron="*/15 * * * *")
schedule("ops.stats_fold", FoldStats(), cron="20 4 * * *")
