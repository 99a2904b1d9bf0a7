"""The operations' jobs: each calls the service."""

from app.core import notify
from app.ops.payloads import BulkAction, FoldStats, Notify, Prune
from app.ops.service import bulk, courier, upkeep
from app.ops.service import watch as watching
from jobs.context import Context
from jobs.rates import rate
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


@handles(Notify, lane="io", limit=4)
async def carry_notice(job: Notify, ctx: Context) -> None:
    """At least once: after a crash it may come twice, under the same id, which receivers can see.

    What failed stands at the target; what came meanwhile is asked for as it ends.
    """
    await courier.deliver(job, ctx)


@tick(every_s=15)
async def watch() -> None:
    """It reads, and writes one row a minute and at most one notice an hour: each is guarded."""
    await watching.look()


schedule("ops.queue_prune", Prune(), cron="*/15 * * * *")
schedule("ops.stats_fold", FoldStats(), cron="20 4 * * *")
rate("notify:*", 10, per_s=3600, burst=3)
notify.carry(courier.plan)
