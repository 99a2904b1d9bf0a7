"""Leaving: what each domain gives along and what it wipes, through the hooks it hands over."""

import asyncio
import json
import os
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from app.accounts.payloads import Export
from app.accounts.service import confirming, passwords, users
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.accounts.service.users import OnAccountClosed
from app.core import audit, paths
from app.core.errors import Conflict, Invalid, NotFound
from app.core.files import inside, private_folder, sync_folder
from app.core.i18n import _
from db import clock
from db.engine import DB
from db.failpoints import failpoint
from db.keys import uuid7
from jobs.enqueue import enqueue

# Name inside the archive -> what stands there: a path or bytes are a file, else it becomes JSON.
ExportAccount = Callable[[str], Awaitable[Mapping[str, Any]]]

KEPT = timedelta(hours=24)
PER_HOURS, WINDOW = 5, timedelta(hours=1)

# Own rows of the core, by what a person may see of them: no hashes, nothing sealed.
_OWN = {
    "account": "SELECT id, login, email, role, locale, created_at, last_login_at FROM users"
    " WHERE id = ?",
    "settings": "SELECT defaultModel, timeZone, theme, shortcuts FROM userSettings"
    " WHERE userId = ?",
    "sessions": "SELECT createdAt, lastSeenAt, ip, userAgent FROM sessions WHERE userId = ?",
    "tokens": "SELECT id, name, scopes, created_at, expires_at, revoked_at, last_used_at"
    " FROM api_tokens WHERE user_id = ?",
    "passkeys": "SELECT name, created_at, last_used_at FROM passkeys WHERE user_id = ?",
    "notifications": "SELECT kind, level, title, params, created_at, read_at FROM notifications"
    " WHERE user_id = ?",
    "notification_targets": "SELECT scheme, kinds, quiet_from, quiet_to, created_at, last_ok_at"
    " FROM notification_targets WHERE owner_id = ?",
    "jobs": "SELECT id, type, label, state, createdAt, finishedAt FROM queueJobs"
    " WHERE ownerUserId = ?",
    "audit": "SELECT at, ip, action, object_type, object_id FROM audit_log WHERE actor_id = ?"
    " ORDER BY id",
}


class _Hooks:
    closed: Sequence[OnAccountClosed] = ()
    export: Mapping[str, ExportAccount] = {}


_hooks = _Hooks()


class ReadyExport(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that waits to be fetched, or None of it while it is being made."""

    made_at: datetime | None
    size_bytes: int
    running: bool


def use(closed: Sequence[OnAccountClosed], export: Mapping[str, ExportAccount]) -> None:
    """What the domains do when an account closes or is exported; the composition root says it."""
    _hooks.closed, _hooks.export = tuple(closed), dict(export)


async def close(actor_id: str, user_id: str, *, ip: str = "") -> None:
    """Delete an account with all its secrets, everywhere. Raises NotFound, Conflict."""
    await users.close_account(actor_id, user_id, ip=ip, hooks=_hooks.closed)
    await asyncio.to_thread(_path(user_id).unlink, missing_ok=True)


async def close_own(
    user_id: str, password: str, caller: Caller, *, hasher: Hasher | None = None
) -> None:
    """The same by the person, who proves it. Raises Invalid, Conflict, Throttled, Busy."""
    hasher = hasher or await passwords.current_hasher()
    await confirming.check_own_password(user_id, password, caller, hasher=hasher)
    await close(user_id, user_id, ip=caller.ip)


def not_sure() -> Invalid:
    """The refusal where the box was not ticked."""
    return Invalid(sure=_("Tick the box, so that it is not a slip."))


async def order_export(user_id: str, *, ip: str = "") -> None:
    """Ask for an archive of everything of theirs. Conflict after five within an hour."""
    since = clock.text(clock.now() - WINDOW)
    async with DB.tx() as tx:
        asked = await DB.value(
            "SELECT count(*) FROM audit_log"
            " WHERE actor_id = ? AND action = 'account.export_asked' AND at > ?",
            (user_id, since),
        )
        if asked >= PER_HOURS:
            raise Conflict(_("Enough archives for now. Please come back in an hour."))
        await enqueue(Export(user_id=user_id), tx=tx, owner=user_id)
        await audit.record(
            "account.export_asked", actor_id=user_id, ip=ip, object_type="user", object_id=user_id
        )


async def write_export(user_id: str) -> int:
    """Make the archive in place of an older one; returns its size in bytes. Safe to repeat."""
    path, part = _path(user_id), paths.data_dir() / "tmp" / f"export-{uuid7()}.zip"
    await asyncio.to_thread(private_folder, path.parent)
    await asyncio.to_thread(private_folder, part.parent)
    try:
        with await asyncio.to_thread(_open_new, part) as file:
            with zipfile.ZipFile(
                file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False
            ) as archive:
                async for name, found in _members(user_id):
                    await asyncio.to_thread(_add, archive, name, found)
            await asyncio.to_thread(_settle, file)
        failpoint("export_temp_written")
        size = (await asyncio.to_thread(part.replace, path)).stat().st_size
        failpoint("export_renamed")
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)
    await asyncio.to_thread(sync_folder, path.parent)
    return size


async def _members(user_id: str) -> AsyncIterator[tuple[str, Any]]:
    """Name and content of one file after the other: a domain's are asked for when it is due."""
    for name, statement in _OWN.items():
        yield f"account/{name}", await DB.all(statement, (user_id,))
    for domain, export in sorted(_hooks.export.items()):
        for name, found in sorted((await export(user_id)).items()):
            yield f"{domain}/{name}", found


async def find_export(user_id: str) -> ReadyExport:
    """Where the person's archive stands."""
    running = await DB.value(
        "SELECT 1 FROM queueJobs WHERE type = ? AND ownerUserId = ?"
        " AND state IN ('queued', 'running')",
        (Export.TYPE, user_id),
    )
    try:
        stat = await asyncio.to_thread(_path(user_id).stat)
    except FileNotFoundError:
        return ReadyExport(made_at=None, size_bytes=0, running=bool(running))
    made = datetime.fromtimestamp(stat.st_mtime, UTC)
    return ReadyExport(made_at=made, size_bytes=stat.st_size, running=bool(running))


async def fetch_export(user_id: str, *, ip: str = "") -> Path:
    """The archive, to be sent in pieces. Raises NotFound."""
    path = _path(user_id)
    if not path.is_file():
        raise NotFound
    await audit.record(
        "account.export_fetched", actor_id=user_id, ip=ip, object_type="user", object_id=user_id
    )
    return path


async def sweep() -> int:
    """Delete archives that waited for a day; returns how many."""
    return await asyncio.to_thread(_sweep, (clock.now() - KEPT).timestamp())


def _sweep(before: float) -> int:
    folder, gone = _folder(), 0
    if not folder.is_dir():
        return 0
    for file in folder.glob("*.zip"):
        if file.stat().st_mtime < before:
            file.unlink(missing_ok=True)
            gone += 1
    return gone


def _folder() -> Path:
    return paths.data_dir() / "files" / "accounts" / "exports"


def _path(user_id: str) -> Path:
    return inside(_folder(), f"{user_id}.zip")


def _open_new(path: Path) -> BinaryIO:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(fd, "w+b")


def _add(archive: zipfile.ZipFile, name: str, found: Any) -> None:
    """A path is a file of ours, read in pieces; bytes are a file; anything else becomes JSON."""
    if isinstance(found, Path):
        archive.write(found, name)
    elif isinstance(found, bytes):
        archive.writestr(name, found)
    else:
        text = json.dumps(found, ensure_ascii=False, indent=1)
        archive.writestr(f"{name}.json", text.encode())


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
