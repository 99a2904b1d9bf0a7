"""Bringing over what people had in the origin: accounts, logins sealed anew, tickets, attempts.

Files first, named by their content; then one transaction. A second run finds everything there.
"""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from app.core import paths
from app.core.errors import Invalid, NotFound
from app.core.files import read_bytes
from app.tickets import origin, profiles
from app.tickets.paper import document
from app.tickets.paper.canonical import canonical
from app.tickets.paper.page import Page
from app.tickets.paper.validate import Rules, Status, Validation, validate
from app.tickets.service import visits
from app.tickets.service.importing_accounts import Accounts
from db import clock
from db.engine import DB

FILE_LIMIT = 5 * 1024 * 1024
OnClash = Literal["skip", "rename"]


class Report(msgspec.Struct):
    """How many of what came over, what was there already, and each row that was left out."""

    made: Counter[str] = msgspec.field(default_factory=Counter)
    there: Counter[str] = msgspec.field(default_factory=Counter)
    skipped: list[str] = msgspec.field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as people read it."""
        kinds = sorted({*self.made, *self.there})
        counts = [f"{kind}: {self.made[kind]} new, {self.there[kind]} there" for kind in kinds]
        return [*counts, *(f"skipped: {line}" for line in self.skipped)]


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket file, read, checked and stored."""

    user_id: str
    version: str
    content_hash: str
    file_path: str
    at: str
    first_at: str
    size: int
    found: Validation
    code: bool


class _Abandoned(Exception):
    """A dry run ends by rolling back."""


async def import_origin(
    database: Path,
    downloads: Path | None,
    key: str = "",
    *,
    dry_run: bool = False,
    on_clash: OnClash = "skip",
    with_deleted: bool = False,
) -> Report:
    """Everything from the origin's file. Raises Invalid where it is none."""
    try:
        rows = await asyncio.to_thread(origin.read, database)
    except origin.NoOrigin as error:
        raise Invalid(db=str(error)) from error
    report = Report()
    accounts = Accounts(report.made, report.there, report.skipped, key, on_clash)
    kept = [row for row in rows["users"] if with_deleted or not row.get("deleted_at")]
    report.skipped += [f"user {row['id']}: deleted" for row in rows["users"] if row not in kept]
    wanted = {str(row["id"]) for row in kept}
    tickets = [row for row in rows["tickets"] if str(row["user_id"]) in wanted]
    read = await _read_all(tickets, downloads, database.parent, report, keep=not dry_run)
    with suppress(_Abandoned):
        async with DB.tx():
            ids = await accounts.people(kept)
            await accounts.invites(rows["invite_tokens"], ids)
            await accounts.logins(rows["user_credentials"], ids)
            await accounts.devices(rows["device_profiles"], ids)
            await _write_tickets(read, ids, report)
            await _write_history(rows["download_history"], ids, report)
            await _write_base(rows["base_ticket_state"])
            if dry_run:
                raise _Abandoned
    return report


async def import_folder(folder: Path, login: str, *, dry_run: bool = False) -> Report:
    """A folder of `ticket-*.html` that the plain script wrote, for one account."""
    user_id = await DB.value(
        "SELECT id FROM users WHERE login = ? AND deleted_at IS NULL", (login,)
    )
    if user_id is None:
        raise Invalid(user=f"no account {login}")
    report = Report()
    files = await asyncio.to_thread(lambda: sorted(folder.glob("ticket-*.html")))
    rules = await _rules()
    read: list[Read] = []
    for file in files:
        at = origin.moment_of(file)
        read += await _read_one(str(user_id), file, at, at, rules, report, keep=not dry_run)
    with suppress(_Abandoned):
        async with DB.tx():
            await _write_tickets(_newest(read), {str(user_id): str(user_id)}, report)
            if dry_run:
                raise _Abandoned
    return report


async def _read_all(
    rows: list[dict[str, Any]], downloads: Path | None, home: Path, report: Report, *, keep: bool
) -> list[Read]:
    rules = await _rules()
    read: list[Read] = []
    for row in rows:
        user_id, at = str(row["user_id"]), origin.moment(row.get("downloaded_at"))
        file = _find(str(row.get("file_path") or ""), user_id, downloads, home)
        first = origin.moment(row.get("created_at"), at)
        if file is None:
            report.skipped.append(f"ticket {row['id']}: file missing")
            continue
        read += await _read_one(user_id, file, at, first, rules, report, keep=keep)
    return _newest(read)


async def _read_one(
    user_id: str,
    file: Path,
    at: str,
    first_at: str,
    rules: Rules,
    report: Report,
    *,
    keep: bool,
) -> list[Read]:
    """The file as a row to be, its document stored with `keep`; empty if it cannot be read."""

    def work() -> Read:
        raw = read_bytes(file, FILE_LIMIT)
        headers = {"content-type": "text/html"}
        page = Page(rules.portal_url, raw, headers=headers)
        found = validate(page, rules, {})
        digest = document.content_hash(raw)
        rejected = found.status is Status.REJECTED
        code = found.code.png if found.code else b""
        path = ""
        if keep:
            view = document.make_view(page, {})
            path = document.store(paths.data_dir(), user_id, raw, view, code)
        return Read(
            user_id=user_id,
            version=f"rejected:{digest}" if rejected else canonical(page).version,
            content_hash=digest,
            file_path=path,
            at=at,
            first_at=first_at,
            size=len(raw),
            found=found,
            code=bool(code),
        )

    try:
        return [await asyncio.to_thread(work)]
    except NotFound:
        report.skipped.append(f"{file.name}: cannot be read")
        return []


def _newest(read: list[Read]) -> list[Read]:
    """One of each version: the newest file, first seen at the earliest."""
    best: dict[tuple[str, str], Read] = {}
    for each in sorted(read, key=lambda item: item.at):
        key = (each.user_id, each.version)
        first = min(each.first_at, best[key].first_at) if key in best else each.first_at
        best[key] = msgspec.structs.replace(each, first_at=first)
    return list(best.values())


def _find(path: str, user_id: str, downloads: Path | None, home: Path) -> Path | None:
    """The file at its place, or under the folder of downloads by its last two names, or one."""
    name = Path(path).name
    if not name:
        return None
    places = [Path(path), home / path]
    if downloads is not None:
        places += [
            downloads / path.removeprefix("/"),
            *(downloads / part / name for part in (Path(path).parent.name, user_id)),
            downloads / name,
        ]
    return next((place for place in places if place.is_file()), None)


async def _rules() -> Rules:
    policy = await visits.portal_policy()
    today = clock.now().date()
    return Rules(portal_url=policy.portal_url, markers=policy.markers, today=today)


async def _write_tickets(read: list[Read], ids: dict[str, str], report: Report) -> None:
    for each in read:
        user_id = ids.get(each.user_id)
        if user_id is None:
            continue
        rejected = each.version.startswith("rejected:")
        found = each.found
        made = await DB.execute(
            "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status,"
            " error_message, validation_status, downloaded_at, created_at, valid_from, valid_to,"
            " holder_name, ticket_number, product, validation_json, barcode_format, barcode_hash,"
            " driver, size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (user_id, ticket_version) DO NOTHING",
            (
                *(user_id, each.version, each.content_hash, each.file_path),
                "error" if rejected else "success",
                found.outcome.value if rejected else None,
                *(found.status.value, each.at, each.first_at),
                found.valid_from.isoformat() if found.valid_from else None,
                found.valid_to.isoformat() if found.valid_to else None,
                *(found.holder_name or None, found.ticket_number or None, found.product or None),
                msgspec.json.encode(found.checks).decode(),
                found.code.format if found.code else None,
                found.code.hash if found.code else None,
                *("import", each.size),
            ),
        )
        (report.made if made else report.there)["tickets"] += 1


async def _write_history(rows: list[dict[str, Any]], ids: dict[str, str], report: Report) -> None:
    for row in rows:
        mark = f"origin:{row['id']}"
        if await DB.value("SELECT 1 FROM ticket_download_history WHERE job_id = ?", (mark,)):
            report.there["attempts"] += 1
            continue
        status = row.get("status")
        known = status in {"success", "duplicate", "error"}
        device = row.get("device_profile")
        await DB.execute(
            "INSERT INTO ticket_download_history (user_id, device_profile, status, message,"
            " error_message, downloaded_at, job_id, trigger)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'import')",
            (
                ids.get(str(row.get("user_id"))),
                device if device in profiles.PRESETS else None,
                status if known else "error",
                json.dumps({"said": row["message"]}) if row.get("message") else None,
                row.get("error_message"),
                *(origin.moment(row.get("downloaded_at")), mark),
            ),
        )
        report.made["attempts"] += 1


async def _write_base(rows: list[dict[str, Any]]) -> None:
    """Only the times: the hash was made by another method, so the first check stores its own."""
    if rows and rows[0].get("last_checked_at"):
        await DB.execute(
            "UPDATE base_ticket_state SET last_checked_at = ? WHERE last_checked_at IS NULL",
            (origin.moment(rows[0]["last_checked_at"]),),
        )
