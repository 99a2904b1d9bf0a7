"""What is written down of a run: the ticket, the history line, what was learned of the login.

All of it joins one transaction with the job's own end.
"""

import asyncio
import json
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, Protocol

import msgspec

from app.core import paths
from app.core import settings as core
from app.core.errors import Conflict
from app.core.files import inside
from app.tickets.client.driver import FetchResult
from app.tickets.outcomes import AGAIN, Again, Fault, Outcome
from app.tickets.paper import document
from app.tickets.paper.validate import Status, Validation
from app.tickets.payloads import PushCopy
from app.tickets.service import logins, notices, pace
from app.tickets.service.wording import wording
from db import clock
from db.engine import DB
from db.failpoints import afailpoint, failpoint
from jobs.enqueue import enqueue
from jobs.log import JobLog
from jobs.outcome import Fail

QUARANTINE = 5


class Attempt(Protocol):
    """What a run needs of its job."""

    @property
    def id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def last_attempt(self) -> bool: ...
    @property
    def log(self) -> JobLog: ...
    async def progress(
        self, done: float, total: float | None = None, message: str | None = None
    ) -> None: ...
    async def complete(self, tx: Any, result: Any = None) -> None: ...
    def rate_blocked(self, key: str, until: datetime | int) -> NoReturn: ...


class Person(msgspec.Struct, frozen=True):
    """Whose ticket it is, and what they chose."""

    id: str
    active: bool
    auto: bool
    device: str | None
    choices: dict[str, Any]
    mirror: str | None = None

    def wants(self, kind: str) -> bool:
        """Whether a notice of this kind is wanted; all are until somebody says no."""
        return bool(self.choices.get("notify", {}).get(kind, True))

    @property
    def keeps_copy(self) -> bool:
        """Whether a copy of each new ticket goes somewhere."""
        return bool(self.mirror or self.choices.get("push"))


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as its history line will tell it."""

    user_id: str
    trigger: str
    job_id: str
    device: str
    began: float
    driver: str = "http"

    @property
    def automatic(self) -> bool:
        return self.trigger not in {"manual", "verify"}


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A document on disk with what was read from it, ready to be written down."""

    result: FetchResult
    validation: Validation
    content_hash: str
    file_path: str


async def record(run: Run, revision: int, kept: Kept, ctx: Attempt) -> None:
    """The one transaction: ticket, history, login, learned lines, the job's end."""
    rejected = kept.validation.status is Status.REJECTED
    async with DB.tx() as tx:
        person = await find_person(run.user_id)
        if person is None or not person.active:
            document.remove(paths.data_dir(), kept.file_path)
            await note(run, "skipped", Outcome.USER_INACTIVE)
            await ctx.complete(tx, {"outcome": Outcome.USER_INACTIVE.value})
            return
        await logins.note_good_login(run.user_id, revision)
        ticket_id, outcome, replaced = await _write_ticket(run.user_id, kept, rejected=rejected)
        status = {Outcome.NEW: "success"}.get(outcome, "error" if rejected else "duplicate")
        await note(run, status, outcome, ticket_id=ticket_id, kept=kept)
        await learn(kept.result)
        if kept.result.slow_patterns:
            await switch_off(kept.result.slow_patterns)
        await _announce(person, ticket_id, outcome)
        if replaced:
            tx.after_commit(partial(_take_away, replaced))
        if rejected:
            await _prune_quarantine(run.user_id, tx)
        else:
            await ctx.progress(1, 1, "Saved")
            await ctx.complete(tx, {"outcome": outcome.value, "ticket": ticket_id})
        await afailpoint("ticket_before_commit")
    await afailpoint("ticket_committed")
    if rejected:
        raise Fail(wording(outcome).text, outcome.value)


_UPSERT = """
INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status, error_message,
  validation_status, downloaded_at, created_at, valid_from, valid_to, holder_name, ticket_number,
  product, validation_json, barcode_format, barcode_hash, driver, size_bytes, has_pdf)
VALUES (:user, :version, :hash, :path, :status, :error, :checked, :now, :now, :from, :to, :holder,
  :number, :product, :checks, :format, :barcode, :driver, :size, :pdf)
ON CONFLICT (user_id, ticket_version) DO UPDATE SET content_hash = excluded.content_hash,
  file_path = excluded.file_path, downloaded_at = excluded.downloaded_at,
  validation_status = excluded.validation_status, validation_json = excluded.validation_json,
  barcode_format = excluded.barcode_format, barcode_hash = excluded.barcode_hash,
  size_bytes = excluded.size_bytes, driver = excluded.driver, has_pdf = excluded.has_pdf
RETURNING id
"""


async def _write_ticket(
    user_id: str, kept: Kept, *, rejected: bool
) -> tuple[int, Outcome, str | None]:
    """The ticket's row: its id, what it is to us, and the file it replaces."""
    found, result = kept.validation, kept.result
    version = f"rejected:{kept.content_hash}" if rejected else result.version
    old = await DB.one(
        "SELECT id, content_hash, file_path FROM tickets WHERE user_id = ? AND ticket_version = ?",
        (user_id, version),
    )
    outcome = found.outcome if rejected else Outcome.NEW
    if old is not None and not rejected:
        same = old["content_hash"] == kept.content_hash
        outcome = Outcome.DUPLICATE if same else Outcome.REFRESHED
    row = await DB.one(
        _UPSERT,
        {
            "user": user_id,
            "version": version,
            "hash": kept.content_hash,
            "path": kept.file_path,
            "status": "error" if rejected else "success",
            "error": outcome.value if rejected else None,
            "checked": found.status.value,
            "now": clock.text(),
            "from": found.valid_from.isoformat() if found.valid_from else None,
            "to": found.valid_to.isoformat() if found.valid_to else None,
            "holder": found.holder_name or None,
            "number": found.ticket_number or None,
            "product": found.product or None,
            "checks": msgspec.json.encode(found.checks).decode(),
            "format": found.code.format if found.code else None,
            "barcode": found.code.hash if found.code else None,
            "driver": result.driver,
            "size": len(result.raw_bytes),
            "pdf": bool(result.pdf),
        },
    )
    replaced = old["file_path"] if old and old["file_path"] != kept.file_path else None
    return int(row["id"] if row else 0), outcome, replaced


async def _announce(person: Person, ticket_id: int, outcome: Outcome) -> None:
    """Tell who wants to know, and ask for the copies; joins the open transaction."""
    link = f"/tickets/{ticket_id}"
    if outcome is Outcome.NEW and person.wants("new"):
        await notices.tell(
            person.id, "new", notices.NEW, level="good", link=link, dedupe=str(ticket_id)
        )
    if outcome in {Outcome.NEW, Outcome.REFRESHED} and person.keeps_copy:
        await enqueue(PushCopy(user_id=person.id, ticket_id=ticket_id), owner=person.id)
    if outcome is Outcome.FOREIGN_TICKET:
        await notices.alert(
            "foreign", notices.FOREIGN, link="/admin/tickets/history", dedupe=str(ticket_id)
        )


async def record_fault(run: Run, revision: int, fault: Fault, ctx: Attempt | None = None) -> None:
    """A run that ended without a document: the history line, and what follows from its end.

    A refused login is blocked, a row of outside faults pauses the portal, a page nobody knows is
    shown to the admins, and a person hears of a failure that is final.
    """
    async with DB.tx():
        await logins.note_bad_login(run.user_id, revision, fault)
        await note(run, "error", fault.outcome, fault=fault)
        if fault.outcome.value in pace.TROUBLE:
            await pace.note_trouble()
        await _alarm(fault)
        if run.automatic and is_final(fault, ctx):
            await _tell_failure(run.user_id, fault)
    if fault.outcome is Outcome.PORTAL_CHANGED and ctx is not None:
        old = await DB.value("SELECT page_skeleton_hash FROM base_ticket_state")
        ctx.log.warn("portal changed", old=old or "", new=fault.skeleton)  # noqa: G010 - ours
    await afailpoint("ticket_fault_recorded")


def is_final(fault: Fault, ctx: Attempt | None) -> bool:
    """Whether nothing comes after this attempt by itself."""
    match AGAIN[fault.outcome]:
        case Again.WAIT:
            return False
        case Again.LATER:
            return ctx is not None and ctx.last_attempt
        case Again.ONCE:
            return ctx is not None and (ctx.attempt > 1 or ctx.last_attempt)
    return True


async def _alarm(fault: Fault) -> None:
    """What the admins must hear of, once a day; joins the open transaction."""
    titles = {
        Outcome.PORTAL_CHANGED: ("changed", notices.CHANGED, "/admin/tickets/errors"),
        Outcome.STORAGE_ERROR: ("storage", notices.STORAGE, "/admin/tickets"),
    }
    if fault.outcome in titles:
        kind, title, link = titles[fault.outcome]
        await notices.alert(kind, title, link=link, dedupe=clock.text()[:10])


async def _tell_failure(user_id: str, fault: Fault) -> None:
    person = await find_person(user_id)
    if person is None or not person.active or not person.wants("failed"):
        return
    refused = fault.outcome in logins.BLOCKING
    await notices.tell(
        user_id,
        "refused" if refused else "failed",
        notices.REFUSED if refused else notices.FAILED,
        level="error" if refused else "warn",
        link="/tickets/settings" if refused else "/tickets/history",
        dedupe=f"{fault.outcome.value}:{clock.text()[:10]}",
        params={"outcome": fault.outcome.value},
    )


async def note(
    run: Run,
    status: str,
    outcome: Outcome,
    *,
    ticket_id: int | None = None,
    kept: Kept | None = None,
    fault: Fault | None = None,
    result: FetchResult | None = None,
) -> None:
    """One line of the history; joins the open transaction."""
    result = kept.result if kept else result
    steps = result.steps if result else fault.steps if fault else ()
    failed = status == "error"
    attributes = result.attributes if result else fault.attributes if fault else ()
    ignored = result.ignored if result else ()
    said = {"attributes": attributes, "ignored": ignored} if attributes or ignored else None
    await DB.execute(
        "INSERT INTO ticket_download_history (user_id, device_profile, ticket_version, status,"
        " message, error_message, file_path, downloaded_at, outcome, job_id, ticket_id, driver,"
        " trigger, duration_ms, steps_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.user_id or None,
            run.device,
            (result.version or None) if result else None,
            status,
            json.dumps(said) if said else None,
            (str(fault) if fault else outcome.value) if failed else None,
            kept.file_path if kept else None,
            clock.text(),
            outcome.value,
            run.job_id,
            ticket_id,
            result.driver if result else run.driver,
            run.trigger,
            round((clock.monotonic() - run.began) * 1000),
            msgspec.json.encode(steps).decode(),
        ),
    )


async def learn(result: FetchResult) -> None:
    """Keep the lines seen to change by themselves, and the shape of a page that worked."""
    if not result.volatile and not result.skeleton:
        return
    row = await DB.one("SELECT volatile_json, page_skeleton_hash FROM base_ticket_state")
    known = set(json.loads((row and row["volatile_json"]) or "[]"))
    if row and (result.volatile - known or row["page_skeleton_hash"] != result.skeleton):
        await DB.execute(
            "UPDATE base_ticket_state SET volatile_json = ?, page_skeleton_hash = ? WHERE id = 1",
            (json.dumps(sorted(known | result.volatile)), result.skeleton),
        )


async def switch_off(patterns: tuple[str, ...]) -> None:
    """Take ignore patterns that ran out of time out of force, and tell the admins."""
    used = await core.get("tickets.ignore_patterns")
    left = tuple(pattern for pattern in used if pattern not in patterns)
    if left == used:
        return
    with suppress(Conflict):  # given from outside: it can only be told
        await core.put("tickets.ignore_patterns", left, None, actor_kind="system")
    for pattern in patterns:
        await notices.alert(
            "pattern",
            notices.SLOW_PATTERN,
            level="warn",
            link="/admin/tickets/settings",
            dedupe=pattern,
            params={"pattern": pattern},
        )


async def find_person(user_id: str) -> Person | None:
    """The account a run is for, with its choices for tickets."""
    row = await DB.one(
        "SELECT id, is_active, deleted_at, auto_download_enabled, device_profile, flags, output_dir"
        " FROM users WHERE id = ?",
        (user_id,),
    )
    if row is None:
        return None
    return Person(
        id=row["id"],
        active=bool(row["is_active"]) and row["deleted_at"] is None,
        auto=bool(row["auto_download_enabled"]),
        device=row["device_profile"],
        choices=json.loads(row["flags"]).get("tickets", {}),
        mirror=row["output_dir"],
    )


async def sweep(user_id: str) -> None:
    """Remove folders that a run which died left behind. Only one run of a person goes at a time."""
    rows = await DB.all("SELECT file_path FROM tickets WHERE user_id = ?", (user_id,))
    kept = {row["file_path"].split("/")[2] for row in rows}

    def clear() -> None:
        home = inside(paths.data_dir(), document.FOLDER, user_id)
        for folder in home.iterdir() if home.is_dir() else ():
            if folder.name not in kept:
                document.remove(paths.data_dir(), f"{document.FOLDER}/{user_id}/{folder.name}/x")

    await asyncio.to_thread(clear)


async def _prune_quarantine(user_id: str, tx: Any) -> None:
    old = await DB.all(
        "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE user_id = ? AND"
        " status = 'error' ORDER BY downloaded_at DESC LIMIT -1 OFFSET ?) RETURNING file_path",
        (user_id, QUARANTINE),
    )
    for row in old:
        tx.after_commit(partial(_take_away, row["file_path"]))


def _take_away(file_path: str) -> None:
    """After the commit that named another file. Who dies here is tidied up after at the start."""
    failpoint("ticket_replaced")
    document.remove(paths.data_dir(), file_path)
