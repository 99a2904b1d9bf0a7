"""The base ticket: one login stands for all. A change and the fan-out's job are one transaction."""

from datetime import timedelta

import msgspec

from app.core.errors import Conflict
from app.core.i18n import _
from app.tickets import profiles, settings
from app.tickets.client import drivers
from app.tickets.client.driver import FetchResult
from app.tickets.outcomes import REFUSALS, Fault, Outcome
from app.tickets.paper import validate
from app.tickets.paper.canonical import base_version
from app.tickets.payloads import CheckBase, FanOut
from app.tickets.service import base_login, notices, records, rounds, runs, visits
from app.tickets.service.records import Attempt, Run
from app.tickets.service.rounds import BERLIN
from db import clock
from db.engine import DB
from db.failpoints import afailpoint
from jobs.enqueue import Enqueued, enqueue

ALARM_AFTER = 3
SLACK = timedelta(minutes=10)  # the hourly slot before is late enough
LAST_HOUR = 10  # of the first of a month
BASE_DEVICE = "base"


class BaseState(msgspec.Struct, frozen=True):
    """What is known of the base ticket."""

    base_ticket_hash: str | None
    effective_from: str | None
    last_checked_at: str | None
    last_ok_at: str | None
    failure_streak: int
    last_outcome: str | None
    base_valid_from: str | None
    base_valid_to: str | None


async def get_state() -> BaseState:
    """The single row."""
    row = await DB.one(
        "SELECT base_ticket_hash, effective_from, last_checked_at, last_ok_at, failure_streak,"
        " last_outcome, base_valid_from, base_valid_to FROM base_ticket_state WHERE id = 1"
    )
    return msgspec.convert(row, BaseState)


async def has_login() -> bool:
    """Whether an admin gave a base login; without one the calendar alone decides."""
    return await base_login.find() is not None


async def order_check() -> Enqueued:
    """Look at the portal now. Raises Conflict where there is no login to look with."""
    if not await has_login():
        raise Conflict(_("Nothing is stored yet. Save it first."))
    return await enqueue(CheckBase(trigger="admin"), on_dup="replace", priority=80)


async def order_fan_out(reason: str = "admin") -> Enqueued:
    """Queue everybody who opted in."""
    return await enqueue(FanOut(reason=reason))


async def check_base(ctx: Attempt, *, asked: bool) -> None:
    """Fetch the base ticket; where it changed, note it and queue the fan-out in one transaction.

    Where nobody `asked` it is done when it is due and the login was not refused. Raises what a run
    raises.
    """
    login, state = await base_login.find(), await get_state()
    if login is None or not (asked or ctx.attempt > 1 or await is_due(state)):
        async with DB.tx() as tx:
            await ctx.complete(tx, {"outcome": "not_needed"})
        return
    if not (asked and ctx.attempt == 1) and await base_login.is_held():
        async with DB.tx() as tx:
            await ctx.complete(tx, {"outcome": Outcome.CREDENTIAL_BLOCKED.value})
        return
    run = Run(
        user_id="",
        trigger="base",
        job_id=ctx.id,
        device=BASE_DEVICE,
        began=clock.monotonic(),
        driver=await settings.get("driver"),
    )

    async def tell(step: str) -> None:
        await ctx.progress(runs.STEPS.index(step), len(runs.STEPS) - 1, step)

    try:
        policy = msgspec.structs.replace(
            await visits.portal_policy(), auto_consent=True, accept_terms=False
        )
        result = await drivers.fetch(
            run.driver,
            login,
            profiles.HONEST,
            policy,
            tell,
            browser_path=await settings.get("browser_path"),
        )
        await record(run, result, ctx)
    except Fault as fault:
        await _record_failure(run, state, fault, ctx)
        raise runs.verdict(fault, ctx) from fault


async def record(run: Run, result: FetchResult, ctx: Attempt) -> None:
    """The one transaction of a good check: state, history, learned lines, fan-out, the job's end.

    Raises Fault for a page that is no ticket.
    """
    found = validate.validate(
        result.page(),
        validate.Rules(
            portal_url=await settings.get("portal_url"),
            markers=await settings.get("markers"),
            today=clock.now().astimezone(BERLIN).date(),
            drawn=result.driver == "browser",
        ),
        result.assets,
    )
    if found.status is validate.Status.REJECTED:
        raise Fault(found.outcome)
    digest = base_version(result.lines, found.personal)
    async with DB.tx() as tx:
        state = await get_state()
        now = clock.text()
        changed = state.base_ticket_hash != digest
        first = state.base_ticket_hash is None
        await DB.execute(
            "UPDATE base_ticket_state SET base_ticket_hash = ?1, last_checked_at = ?2,"
            " last_ok_at = ?2, failure_streak = 0, last_outcome = ?3, base_valid_from = ?4,"
            " base_valid_to = ?5, effective_from = CASE WHEN ?6 THEN ?2 ELSE effective_from END",
            (
                *(digest, now, (Outcome.NEW if changed else Outcome.DUPLICATE).value),
                found.valid_from.isoformat() if found.valid_from else None,
                found.valid_to.isoformat() if found.valid_to else None,
                changed,
            ),
        )
        if changed and (not first or await _somebody_waits()):
            await enqueue(FanOut(reason="base", hash=digest))
        outcome = Outcome.NEW if changed else Outcome.DUPLICATE
        await records.note(run, "success" if changed else "duplicate", outcome, result=result)
        await records.learn(result)
        await ctx.complete(tx, {"outcome": outcome.value})
        await afailpoint("base_before_commit")
    await afailpoint("base_committed")


async def fan_out(ctx: Attempt) -> None:
    """Queue a download for everybody who opted in; the portal's own pace spaces them out."""
    people = await rounds.opted_in()
    await ctx.progress(0, 1, "Queue")
    queued = await rounds.queue(people)
    await afailpoint("fan_out_queued")
    async with DB.tx() as tx:
        await ctx.complete(tx, {"people": len(people), "new": queued})


async def _record_failure(run: Run, state: BaseState, fault: Fault, ctx: Attempt) -> None:
    async with DB.tx():
        await DB.execute(
            "UPDATE base_ticket_state SET last_checked_at = ?, last_outcome = ?,"
            " failure_streak = failure_streak + 1",
            (clock.text(), fault.outcome.value),
        )
        if fault.outcome in REFUSALS:
            await notices.alert(
                "base_refused",
                notices.BASE_REFUSED,
                link="/admin/tickets/settings",
                dedupe=run.job_id,
            )
        elif state.failure_streak + 1 == ALARM_AFTER:
            await notices.alert(
                "base",
                notices.BASE_FAILS,
                dedupe=clock.text()[:10],
                params={"outcome": fault.outcome.value},
            )
    await records.record_fault(run, 0, fault, ctx)


async def is_due(state: BaseState) -> bool:
    """As often as the setting says, and in the first ten hours of a month until it is seen."""
    if state.last_checked_at is None:
        return True
    every = timedelta(hours=int(await settings.get("base_interval_h")))
    if clock.now() >= clock.parse(state.last_checked_at) + every - SLACK:
        return True
    here = clock.now().astimezone(BERLIN)
    return here.day == 1 and here.hour <= LAST_HOUR and not _seen_this_month(state)


def _seen_this_month(state: BaseState) -> bool:
    """Whether the base ticket already covers today, or changed since the month began."""
    here = clock.now().astimezone(BERLIN)
    if state.base_valid_to:
        return state.base_valid_to >= here.date().isoformat()
    begun = here.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return bool(state.effective_from and clock.parse(state.effective_from) >= begun)


async def _somebody_waits() -> bool:
    return bool(
        await DB.value(
            "SELECT 1 FROM users u WHERE u.auto_download_enabled = 1 AND u.is_active = 1"
            " AND u.deleted_at IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM tickets t WHERE t.user_id = u.id AND t.status = 'success') LIMIT 1"
        )
    )
