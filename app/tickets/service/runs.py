"""A run: fetch one student's ticket and keep what came of it.

Files come first, named by their content; then one transaction writes the ticket, the history line,
what was learned of the login and the job's own end. So a run that dies anywhere left nothing that
can be seen, and the next one does it all again.
"""

import asyncio
import json
from datetime import date
from zoneinfo import ZoneInfo

from app.core import paths
from app.core.errors import Conflict
from app.core.i18n import _
from app.tickets import client, document, profiles, settings
from app.tickets.driver import FetchResult, Policy
from app.tickets.outcomes import AGAIN, Again, Fault, Outcome
from app.tickets.page import Page
from app.tickets.payloads import Download
from app.tickets.service import logins, records
from app.tickets.service.records import Attempt, Kept, Person, Run
from app.tickets.service.wording import wording
from app.tickets.validate import Rules, validate, with_owner
from db import clock
from db.engine import DB
from db.failpoints import afailpoint
from jobs.enqueue import Enqueued, enqueue
from jobs.outcome import Fail, Retry, Snooze

BERLIN = ZoneInfo("Europe/Berlin")
STEPS = ("Queued", "Login", "Consent", "Ticket", "Check", "Saved")
ASKED, FANNED_OUT = 80, 30
RATE_WAIT_S = 900


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
        priority=ASKED if trigger == "manual" else FANNED_OUT,
        on_dup="replace" if trigger == "manual" else "skip",
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
        await _not_run(run, reason or Outcome.MISSING_CREDENTIALS, ctx)
        return

    async def tell(step: str) -> None:
        await ctx.progress(STEPS.index(step), len(STEPS) - 1, step)

    async def before_post() -> None:
        await logins.count_post(user_id, automatic=run.automatic or ctx.attempt > 1)
        await afailpoint("ticket_before_post")

    await tell("Queued")
    await records.sweep(user_id)
    try:
        policy = await _policy(person)
        profile = profiles.find_preset(person.device) or profiles.PRESETS[profiles.DEFAULT]
        result = await client.fetch(
            login.credential, profile, policy, tell, before_post=before_post
        )
        await afailpoint("ticket_fetched")
        await tell("Check")
        kept = await _keep(person, policy, result)
        await records.record(run, login.revision, kept, ctx)
    except Fault as fault:
        await records.record_fault(run, login.revision, fault)
        raise _verdict(fault) from fault


def _not_tried(person: Person | None, login: logins.StoredLogin | None, run: Run) -> Outcome | None:
    """Why nothing is asked of the portal at all; None where there is no reason."""
    if person is None or not person.active:
        return Outcome.USER_INACTIVE
    if run.trigger == "auto" and not person.auto:
        return Outcome.OPTED_OUT
    if login is None or login.credential is None:
        return Outcome.MISSING_CREDENTIALS
    return Outcome.CREDENTIAL_BLOCKED if login.blocked else None


async def _not_run(run: Run, outcome: Outcome, ctx: Attempt) -> None:
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
    )
    headers = {"content-type": f"text/html; charset={result.charset}"}
    page = Page(result.final_url, result.raw_bytes, status=result.status, headers=headers)
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
        return document.store(paths.data_dir(), person.id, result.raw_bytes, view, code)

    file_path = await asyncio.to_thread(write)
    await afailpoint("ticket_stored")
    return Kept(
        result=result,
        validation=validation,
        content_hash=document.content_hash(result.raw_bytes),
        file_path=file_path,
    )


def _verdict(fault: Fault) -> Exception:
    """What the queue is told: wait, try again, or never."""
    text = wording(fault.outcome).text
    match AGAIN[fault.outcome]:
        case Again.WAIT:
            return Snooze(fault.retry_after_s or RATE_WAIT_S)
        case Again.LATER | Again.ONCE:
            return Retry(reason=text)
    return Fail(text, fault.outcome.value)


async def _policy(person: Person) -> Policy:
    known = await DB.all(
        "SELECT ticket_version FROM tickets WHERE user_id = ? AND status = 'success'", (person.id,)
    )
    volatile = await DB.value("SELECT volatile_json FROM base_ticket_state")
    return Policy(
        portal_url=await settings.get("portal_url"),
        idp_hosts=await settings.get("idp_hosts"),
        markers=await settings.get("markers"),
        auto_consent=bool(person.choices.get("auto_consent")),
        accept_terms=bool(person.choices.get("accept_terms")),
        known_versions=frozenset(row["ticket_version"] for row in known),
        ignore_patterns=await settings.get("ignore_patterns"),
        volatile=frozenset(json.loads(volatile or "[]")),
    )
