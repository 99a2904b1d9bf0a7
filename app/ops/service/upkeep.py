"""Keeping the queue's own tables small."""

from app.core import paths
from jobs import upkeep
from jobs.context import Context
from jobs.outcome import Snooze

BREATH_S = 5.0


async def prune(ctx: Context) -> None:
    """Delete what is past its time, two seconds of it at once; snoozes while more waits."""
    gone, more = await upkeep.prune(paths.data_dir())
    if gone:
        ctx.log.info("pruned", jobs=gone)
    if more:
        raise Snooze(BREATH_S)


async def fold(ctx: Context) -> None:
    """Fold figures older than a week."""
    folded = await upkeep.fold()
    if folded:
        ctx.log.info("folded", rows=folded)
