"""A run: fetch one student's ticket and keep what came of it.

Files come first, named by their content; then one transaction writes the ticket, the history line,
what was learned of the login and the job's own end. So a run that dies anywhere left nothing that
can be seen, and the next one does it all again.
"""

import asyncio
from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from app.core import paths
from app.core.errors import Conflict
from app.core.i18n import _
from app.tickets import profiles
from app.tickets.client.driver import FetchResult, Policy
from app.tickets.outcomes import AGAIN, Again, Fault, Outcome
from app.tickets.paper import document
from app.tickets.paper.validate import Rules, validate, with_owner
from app.tickets.payloads import PORTAL, Download
from app.tickets.service import logins, pace, records, visits
from app.tickets.service.records import Attempt, Kept, Person, Run
from app.tickets.service.wording import wording
from db import clock
from db.engine import DB
from db.failpoints import afailpoint
from jobs.enqueue import Enqueued, enqueue
from jobs.outcome import Fail

BERLIN = ZoneInfo("Europe/Berlin")
STEPS = ("Queued", "Login", "Consent", "Ticket", "Check", "Saved")
ASKED, FANNED_OUT = 80, 30
BY_HAND = ("manual", "admin")


async def order_download(user_id: str, trigger: str = "manual") -> Enqueued:
    """Ask for a run. Pressed twenty times it is one run; a waiting automatic one is moved to now.

    Raises Conflict where no login is stored or the portal refused it.
    """
    login = await logins.find_login(user_id)
    if login is None:
        raise Conflict(_("Store your login at the university first."))
    if login.is_blocked:
        raise Conflict(_("The portal refused the stored password. Save the right one first."))
    payload = Download(user_id=user_id, revision=login.revision, trigger=trigger)
    return await enqueue(
        payload,
        priority=ASKED if trigger in BY_HAND else FANNED_OUT,
        on_dup="replace" if trigger in BY_HAND else "skip",
        owner=user_id,
    )


async def download_and_record(user_id: str, _revision: int, trigger: str, ctx: Attempt) -> None:
    """Fetch, check and store the ticket of `user_id`; ends the job in its last transaction.

    Raises Fail with the outcome's code, Retry for outside faults, Snooze where the portal asked for
    time. Every attempt leaves one line in the history.
    """
    person = await records.find_person(user_id)
    device = (person and person.device) or profiles.DEFAULT
    run = Run(
        user_id=user_id, trigger=trigger, job_id=ctx.id, device=device, began=clock.monotonic()
    )
    login = await logins.open_login(user_id)
    reason = _not_tried(person, login, run)
    if reason is not None or person is None or login is None or login.credential is None:
        await not_run(run, reason or Outcome.MISSING_CREDENTIALS, ctx)
        return

    async def tell(step: str) -> None:
        await ctx.progress(STEPS.index(step), len(STEPS) - 1, step)

    async def before_post() -> None:
        await logins.count_post(user_id, automatic=run.automatic or ctx.attempt > 1)
        await afailpoint("ticket_before_post")

    await tell("Queued")
    await records.sweep(user_id)
    visit = await visits.prepare(person)
    run = msgspec.structs.replace(run, device=visit.device.name, driver=visit.driver)
    if visit.device.unknown:
        ctx.log.warn("device unknown, the default was taken", device=device)  # noqa: G010 - ours
    try:
        result = await visit.fetch(login.credential, tell, before_post)
        await afailpoint("ticket_fetched")
        await tell("Check")
        kept = await _keep(person, visit.policy, result)
        await records.record(run, login.revision, kept, ctx)
    except Fault as fault:
        await records.record_fault(run, login.revision, fault, ctx)
        raise verdict(fault, ctx) from fault


def _not_tried(person: Person | None, login: logins.StoredLogin | None, run: Run) -> Outcome | None:
    """Why nothing is asked of the portal at all; None where there is no reason."""
    if person is None or not person.active:
        return Outcome.USER_INACTIVE
    if run.trigger == "auto" and not person.auto:
        return Outcome.OPTED_OUT
    if login is None or login.credential is None:
        return Outcome.MISSING_CREDENTIALS
    return Outcome.CREDENTIAL_BLOCKED if login.blocked else None


async def not_run(run: Run, outcome: Outcome, ctx: Attempt) -> None:
    """A pointless automatic run is skipped; one that a person asked for fails and says why."""
    skipped = run.automatic or outcome is Outcome.USER_INACTIVE
    async with DB.tx() as tx:
        await records.note(run, "skipped" if skipped else "error", outcome)
        if skipped:
            await ctx.complete(tx, {"outcome": outcome.value})
    if not skipped:
        raise Fail(wording(outcome).text, outcome.value)


async def _keep(person: Person, policy: Policy, result: FetchResult) -> Kept:
    """Check the document and put it on the disk, off the event loop: it parses and syncs."""
    newest = await DB.value(
        "SELECT max(valid_to) FROM tickets WHERE user_id = ? AND status = 'success'", (person.id,)
    )
    rules = Rules(
        portal_url=policy.portal_url,
        markers=policy.markers,
        today=clock.now().astimezone(BERLIN).date(),
        holder_name=str(person.choices.get("holder_name") or ""),
        current_valid_to=date.fromisoformat(newest) if newest else None,
        drawn=result.driver == "browser",
    )
    page = result.page()
    validation = await asyncio.to_thread(validate, page, rules, result.assets)
    if validation.code is not None and validation.code.hash:
        other = await DB.value(
            "SELECT 1 FROM tickets WHERE barcode_hash = ? AND user_id <> ? LIMIT 1",
            (validation.code.hash, person.id),
        )
        validation = with_owner(validation, seen_with_other=other is not None)
    code = validation.code.png if validation.code else b""

    def write() -> str:
        view = document.make_view(page, result.assets)
        return document.store(
            paths.data_dir(), person.id, result.raw_bytes, view, code, pdf=result.pdf
        )

    file_path = await asyncio.to_thread(write)
    await afailpoint("ticket_stored")
    return Kept(
        result=result,
        validation=validation,
        content_hash=document.content_hash(result.raw_bytes),
        file_path=file_path,
    )


def verdict(fault: Fault, ctx: Attempt) -> Exception:
    """What the queue is told: try again, or never. For a pause it raises what closes the gate."""
    text = wording(fault.outcome).text
    if AGAIN[fault.outcome] is Again.WAIT:
        wait_s = pace.DEFAULT_WAIT_S if fault.retry_after_s is None else fault.retry_after_s
        ctx.rate_blocked(PORTAL, clock.ms() + 1000 * wait_s)
    if records.is_final(fault, ctx):
        return Fail(text, fault.outcome.value)
    return Fault(fault.outcome, text)
