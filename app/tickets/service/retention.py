"""What goes, and when: orphan folders, closed accounts' tickets, old attempts; a login at once."""

import asyncio
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from app.core import audit, paths
from app.core.errors import NotFound
from app.core.files import inside
from app.tickets import settings
from app.tickets.paper import document
from app.tickets.service.library import own_row
from app.tickets.service.records import Attempt
from db import clock
from db.engine import DB
from jobs.enqueue import cancel

ORPHAN_AFTER_S = 3600
AT_ONCE = 500
PORTAL_TYPES = ("tickets.download", "tickets.verify_login", "tickets.push_copy")


async def on_account_closed(_tx: Any, user_id: str) -> None:
    """The portal login goes at once and what waits is cancelled; in the closing transaction.

    Ticket files follow after `tickets.purge_after_days`; attempts stay, as history does.
    """
    await DB.execute("DELETE FROM user_credentials WHERE user_id = ?", (user_id,))
    await DB.execute("DELETE FROM device_profiles WHERE user_id = ?", (user_id,))
    await DB.execute(
        "UPDATE users SET flags = json_remove(flags, '$.tickets.push', '$.tickets.holder_name'),"
        " output_dir = NULL WHERE id = ?",
        (user_id,),
    )
    for kind in PORTAL_TYPES:
        await cancel(type=kind, subject=("user", user_id))


async def export_account(user_id: str) -> dict[str, bytes | Path]:
    """Everything of this domain about one person, without secrets: a list, and the documents."""
    tickets = await DB.all(
        "SELECT id, ticket_version, status, validation_status, downloaded_at, created_at,"
        " valid_from, valid_to, holder_name, ticket_number, product, file_path FROM tickets"
        " WHERE user_id = ? ORDER BY id",
        (user_id,),
    )
    attempts = await DB.all(
        "SELECT downloaded_at, status, outcome, trigger, driver, duration_ms"
        " FROM ticket_download_history WHERE user_id = ? ORDER BY id",
        (user_id,),
    )
    login = await DB.one(
        "SELECT uk_number, last_login_status, last_login_at, created_at FROM user_credentials"
        " WHERE user_id = ?",
        (user_id,),
    )
    devices = await DB.all(
        "SELECT name, user_agent, viewport_width, viewport_height, locale, timezone, proxy_url,"
        " geolocation_latitude, geolocation_longitude FROM device_profiles WHERE user_id = ?",
        (user_id,),
    )
    told = {"tickets": tickets, "attempts": attempts, "login": login, "devices": devices}
    files: dict[str, bytes | Path] = {}
    files["tickets.json"] = msgspec.json.format(msgspec.json.encode(told), indent=1)
    for row in tickets:
        with suppress(NotFound):
            folder = PurePosixPath(row["file_path"]).parent
            path = inside(paths.data_dir(), *folder.parts, document.VIEW)
            if path.is_file():
                files[f"ticket-{row['id']}.html"] = path
    return files


async def delete_ticket(user_id: str, ticket_id: int) -> None:
    """Remove one's own version, row and files; NotFound for any other."""
    await own_row(user_id, ticket_id)
    async with DB.tx() as tx:
        rows = await DB.all(
            "DELETE FROM tickets WHERE id = ? AND user_id = ? RETURNING file_path",
            (ticket_id, user_id),
        )
        if not rows:
            raise NotFound
        path = rows[0]["file_path"]
        shared = await DB.value("SELECT 1 FROM tickets WHERE file_path = ?", (path,))
        await audit.record(
            "tickets.deleted", actor_id=user_id, object_type="ticket", object_id=str(ticket_id)
        )
        if not shared:
            tx.after_commit(lambda: document.remove(paths.data_dir(), path))


async def prune(ctx: Attempt) -> None:
    """All three brooms; ends the job with how much went."""
    closed = await purge_closed()
    orphans = await remove_orphans()
    history = await prune_history()
    async with DB.tx() as tx:
        await ctx.complete(tx, {"tickets": closed, "folders": orphans, "attempts": history})


async def purge_closed() -> int:
    """Tickets of accounts closed long enough ago: the rows, then their folders."""
    days = int(await settings.get("purge_after_days"))
    before = clock.text(clock.now() - timedelta(days=days))
    people = await DB.all(
        "SELECT DISTINCT u.id FROM users u JOIN tickets t ON t.user_id = u.id"
        " WHERE u.deleted_at <= ?",
        (before,),
    )
    gone = 0
    for person in people:
        gone += await DB.execute("DELETE FROM tickets WHERE user_id = ?", (person["id"],))
        home = inside(paths.data_dir(), document.FOLDER, person["id"])
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
    return gone


async def prune_history() -> int:
    """Attempts older than the setting says, some hundred at a time."""
    days = int(await settings.get("history_days"))
    before = clock.text(clock.now() - timedelta(days=days))
    gone = 0
    while True:
        some = await DB.execute(
            "DELETE FROM ticket_download_history WHERE id IN (SELECT id FROM"
            " ticket_download_history WHERE downloaded_at < ? ORDER BY downloaded_at LIMIT ?)",
            (before, AT_ONCE),
        )
        gone += some
        if some < AT_ONCE:
            return gone


async def clear_left_over() -> None:
    """At start: what a life that ended between a commit and its clean-up did not take away."""
    await remove_orphans(older_s=0)


async def remove_orphans(older_s: float = ORPHAN_AFTER_S) -> int:
    """Folders that no row names and no run is about to name: a run that died left them.

    The folders are listed before the rows are read, so whatever was made for a row has it by then,
    or its run still goes; runs of another worker are left to themselves.
    """
    home = paths.data_dir() / document.FOLDER
    there = await asyncio.to_thread(_listed, home)
    if not there:
        return 0
    runs = "SELECT ownerUserId FROM queueJobs WHERE type = 'tickets.download' AND state = 'running'"
    busy = {row["ownerUserId"] for row in await DB.all(runs)}
    rows = await DB.all("SELECT DISTINCT file_path FROM tickets")
    kept = {row["file_path"].rpartition("/")[0] for row in rows}
    limit = time.time() - older_s  # the files' own clock
    gone = [
        folder
        for folder, changed in there.items()
        if f"{document.FOLDER}/{folder.parent.name}/{folder.name}" not in kept
        and folder.parent.name not in busy
        and changed <= limit
    ]

    def clear() -> None:
        for folder in gone:
            shutil.rmtree(folder, ignore_errors=True)

    await asyncio.to_thread(clear)
    return len(gone)


def _listed(home: Path) -> dict[Path, float]:
    """Every person's folders and when each was last changed."""
    found: dict[Path, float] = {}
    for person in home.iterdir() if home.is_dir() else ():
        for folder in person.iterdir() if person.is_dir() else ():
            with suppress(OSError):  # another worker may be about to take it away
                if folder.is_dir():
                    found[folder] = folder.stat().st_mtime
    return found
