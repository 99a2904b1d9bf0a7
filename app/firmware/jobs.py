"""The firmware jobs: each calls the service."""

from app.firmware.payloads import RATE, Check, Cleanup, Fetch, Import, Resolve, Verify
from app.firmware.service import (
    fetching,
    importing,
    lookup,
    resolving,
    upkeep,
    verifying,
)
from jobs.context import Context
from jobs.rates import rate
from jobs.registry import Steps, handles
from jobs.schedule import schedule

TRANSIENT = Steps(60, 300, 1800, jitter=0.2)

rate(RATE, 1, per_s=1, burst=3)  # control calls, not bytes
schedule("firmware.cleanup", Cleanup(), cron="17 * * * *")
schedule("firmware.repair", Cleanup(), cron="@reboot")


@handles(Check, lane="io", limit=2, backoff=TRANSIENT)
async def check(job: Check, ctx: Context) -> None:
    """Safe twice: upserts. Unknown devices are permanent, outside faults retry."""
    await lookup.run_check(job, ctx)


@handles(Resolve, lane="io", limit=2, backoff=TRANSIENT, on_failed=resolving.on_resolve_failed)
async def resolve(job: Resolve, ctx: Context) -> None:
    """Safe twice: upserts, and one download per version. A refusal ends the requests."""
    await resolving.run_resolve(job, ctx)


@handles(Fetch, lane="long", limit=2, backoff=TRANSIENT, on_failed=fetching.on_fetch_failed)
async def fetch(job: Fetch, ctx: Context) -> None:
    """Safe at every batch of segments: goes on at the bytes on disk. Waits out transport faults."""
    await fetching.run_fetch(job, ctx)


@handles(Verify, lane="heavy", limit=1, on_failed=verifying.on_verify_failed)
async def verify(job: Verify, ctx: Context) -> None:
    """Safe any number of times: reads. A part that does not fit makes the version failed."""
    await verifying.run_verify(job, ctx)


@handles(Cleanup, lane="io", limit=1)
async def cleanup(job: Cleanup, ctx: Context) -> None:
    """Safe twice: files go first, then their rows."""
    await upkeep.run_cleanup(job, ctx)


@handles(Import, lane="heavy", limit=1)
async def take_over(job: Import, ctx: Context) -> None:
    """Safe twice: versions by their code, queries by number, model and time."""
    await importing.run_import(job, ctx)
