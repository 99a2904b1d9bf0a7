"""Checking a login without a download, and the one careful way out of a block.

"Try again" keeps the block and sends the password once: at most every ten minutes, three times a
day, counted in the audit log in the transaction that queues the job.
"""

from datetime import timedelta

from app.core import audit
from app.core.errors import Conflict
from app.core.i18n import _, fmt_time
from app.tickets.outcomes import Fault, Outcome
from app.tickets.payloads import VerifyLogin
from app.tickets.service import logins, records, runs, visits
from app.tickets.service.records import Attempt, Run
from app.tickets.service.wording import wording
from db import clock
from db.engine import DB
from db.failpoints import afailpoint
from jobs.enqueue import Enqueued, enqueue
from jobs.outcome import Fail

AGAIN_AFTER = timedelta(minutes=10)
AGAIN_A_DAY = 3
DAY = timedelta(hours=24)
TRIED = "tickets.tried_again"


async def save_and_check(user_id: str, uk_number: str, password: str) -> None:
    """Keep a login and have it checked; raises Invalid as `save_login` does."""
    async with DB.tx():
        await logins.save_login(user_id, uk_number, password)
        login = await logins.find_login(user_id)
        if login is not None and not login.is_blocked:
            payload = VerifyLogin(user_id=user_id, revision=login.revision)
            await enqueue(payload, owner=user_id, on_dup="replace")


async def order_check(user_id: str) -> Enqueued:
    """Have the stored login checked; pressed twice it is one check. Raises Conflict."""
    login = await logins.find_login(user_id)
    if login is None:
        raise Conflict(_("Store your login at the university first."))
    if login.is_blocked:
        raise Conflict(_("The portal refused the stored password. Save the right one first."))
    return await enqueue(VerifyLogin(user_id=user_id, revision=login.revision), owner=user_id)


async def try_again(user_id: str) -> Enqueued:
    """Send a refused password once more, because its owner says it is right. Raises Conflict."""
    async with DB.tx():
        login = await logins.find_login(user_id)
        if login is None or not login.is_blocked:
            return await order_check(user_id)
        tried = await DB.all(
            "SELECT at FROM audit_log WHERE action = ? AND actor_id = ? AND at > ?"
            " AND detail ->> 'revision' = ? ORDER BY id DESC",
            (TRIED, user_id, clock.text(clock.now() - DAY), login.revision),
        )
        if len(tried) >= AGAIN_A_DAY:
            raise Conflict(
                _(
                    "Tried %(n)s times in a day. Save the right password, or wait until %(time)s.",
                    n=AGAIN_A_DAY,
                    time=fmt_time(clock.parse(tried[-1]["at"]) + DAY),
                )
            )
        if tried and clock.parse(tried[0]["at"]) + AGAIN_AFTER > clock.now():
            at = clock.parse(tried[0]["at"]) + AGAIN_AFTER
            raise Conflict(_("Not again before %(time)s.", time=fmt_time(at)))
        detail = {"revision": login.revision}
        await audit.record(
            TRIED, actor_id=user_id, object_type="user", object_id=user_id, detail=detail
        )
        payload = VerifyLogin(user_id=user_id, revision=login.revision, again=True)
        return await enqueue(payload, owner=user_id, on_dup="replace")


async def check_login(user_id: str, *, again: bool, ctx: Attempt) -> None:
    """Log in and look no further; notes how it went and ends the job.

    Raises Fail with the outcome's code. A blocked login is sent only with `again`.
    """
    person = await records.find_person(user_id)
    run = Run(user_id=user_id, trigger="verify", job_id=ctx.id, device="", began=clock.monotonic())
    login = await logins.open_login(user_id)
    reason = None
    if person is None or not person.active:
        reason = Outcome.USER_INACTIVE
    elif login is None or login.credential is None:
        reason = Outcome.MISSING_CREDENTIALS
    elif login.blocked and not again:
        reason = Outcome.CREDENTIAL_BLOCKED
    if reason or person is None or login is None or login.credential is None:
        await runs.not_run(run, reason or Outcome.MISSING_CREDENTIALS, ctx)
        return

    async def tell(step: str) -> None:
        await ctx.progress(runs.STEPS.index(step), len(runs.STEPS) - 1, step)

    async def before_post() -> None:
        await logins.count_post(user_id, automatic=False)
        await afailpoint("ticket_before_post")

    visit = await visits.prepare(person, login_only=True)
    run = Run(
        user_id=user_id,
        trigger="verify",
        job_id=ctx.id,
        device=visit.device.name,
        began=run.began,
        driver=visit.driver,
    )
    try:
        result = await visit.fetch(login.credential, tell, before_post)
    except Fault as fault:
        await records.record_fault(run, login.revision, fault, ctx)
        if fault.outcome is Outcome.RATE_LIMITED:
            raise runs.verdict(fault, ctx) from fault
        raise Fail(wording(fault.outcome).text, fault.outcome.value) from fault
    async with DB.tx() as tx:
        await logins.note_good_login(user_id, login.revision)
        await records.note(run, "success", Outcome.OK, result=result)
        await ctx.complete(tx, {"outcome": Outcome.OK.value})
