"""Copies of the newest ticket: a mirror folder for sync tools, a WebDAV folder of one's own."""

import asyncio
import json
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import msgspec

from app.core import audit, outbound, paths, vault
from app.core.errors import Invalid, NotFound, Upstream
from app.core.files import inside, read_bytes, write_whole
from app.core.i18n import _
from app.core.ring import VaultError
from app.tickets import settings
from app.tickets.client import webdav
from app.tickets.paper import document
from app.tickets.service.records import Attempt
from db.engine import DB
from db.keys import uuid7
from jobs.outcome import Fail

SERVICE = "tickets.webdav"
FILE_LIMIT = 32 * 1024 * 1024
SEGMENTS = 4
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """Where copies go, as its owner sees it; the password is never among it."""

    url: str = ""
    login_name: str = ""
    saved_at: str | None = None


async def get_push(user_id: str) -> Push:
    """The push target; an empty one where there is none."""
    row = await DB.one(
        "SELECT c.login_name, c.updated_at AS saved_at, u.flags -> '$.tickets.push' AS push"
        " FROM credentials c JOIN users u ON u.id = c.owner_id"
        " WHERE c.owner_id = ? AND c.service = ?",
        (user_id, SERVICE),
    )
    if row is None or not row["push"]:
        return Push()
    url = str(json.loads(row["push"]).get("url", ""))
    return Push(url=url, login_name=row["login_name"] or "", saved_at=row["saved_at"])


async def save_push(user_id: str, url: str, login_name: str, password: str) -> None:
    """Keep a push target; an empty password keeps the stored one. Raises Invalid."""
    stored = await get_push(user_id)
    errors: dict[str, str] = {}
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:  # half a bracket, a port that is none
        raise Invalid(push_url=_("This is not the address of a folder.")) from None
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname == "127.0.0.1"):
        errors["push_url"] = _("The address begins with https://.")
    elif not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        errors["push_url"] = _("This is not the address of a folder.")
    if not login_name or ":" in login_name:
        errors["push_login"] = _("Enter the login name of your cloud.")
    if not password and (not stored.saved_at or _place(stored.url) != (parts.hostname, port)):
        # A stored password is shown to nobody: it goes to no other server either, whoever sits at
        # this browser.
        errors["push_password"] = _("Enter the password of your cloud.")
    if errors:
        raise Invalid(**errors)
    async with DB.tx():
        row = await DB.value(
            "SELECT id FROM credentials WHERE owner_id = ? AND service = ?", (user_id, SERVICE)
        )
        key = str(row or uuid7())
        await DB.execute(
            "INSERT INTO credentials (id, owner_id, service, label, login_name)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET label = excluded.label,"
            " login_name = excluded.login_name",
            (key, user_id, SERVICE, parts.hostname, login_name),
        )
        if password:
            sealed = vault.seal("credentials", "login_password_encrypted", key, password)
            await DB.execute(
                "UPDATE credentials SET login_password_encrypted = ? WHERE id = ?", (sealed, key)
            )
        await DB.execute(
            "UPDATE users SET flags = json_set(flags, '$.tickets',"
            " json_patch(coalesce(flags -> '$.tickets', '{}'), ?)) WHERE id = ?",
            (json.dumps({"push": {"credential_id": key, "url": url}}), user_id),
        )


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


async def remove_push(user_id: str) -> None:
    """Forget the push target at once."""
    async with DB.tx():
        await DB.execute(
            "DELETE FROM credentials WHERE owner_id = ? AND service = ?", (user_id, SERVICE)
        )
        await DB.execute(
            "UPDATE users SET flags = json_remove(flags, '$.tickets.push') WHERE id = ?",
            (user_id,),
        )


async def set_mirror(admin_id: str, user_id: str, folder: str, *, ip: str = "") -> None:
    """Where below the mirror root a person's newest ticket lies; empty: nowhere. Admins only."""
    folder = folder.strip().strip("/")
    parts = folder.split("/") if folder else []
    good = len(parts) <= SEGMENTS and all(
        _SEGMENT.fullmatch(part) and part not in {".", ".."} for part in parts
    )
    if not good:
        raise Invalid(
            output_dir=_("Up to four names of letters, digits, dot, dash and underscore.")
        )
    async with DB.tx():
        changed = await DB.execute(
            "UPDATE users SET output_dir = ? WHERE id = ? AND deleted_at IS NULL",
            (folder or None, user_id),
        )
        if not changed:
            raise NotFound
        await audit.record(
            "tickets.mirror_set",
            actor_id=admin_id,
            ip=ip,
            object_type="user",
            object_id=user_id,
            detail={"folder": folder},
        )


async def push_copy(user_id: str, ticket_id: int, ctx: Attempt) -> None:
    """Copy a ticket to its owner's mirror folder and cloud; ends the job.

    Raises Fail for what no retry mends, Upstream for outside faults.
    """
    row = await DB.one(
        "SELECT t.file_path, u.output_dir FROM tickets t JOIN users u ON u.id = t.user_id"
        " WHERE t.id = ? AND t.user_id = ? AND u.is_active = 1 AND t.status = 'success'",
        (ticket_id, user_id),
    )
    done: list[str] = []
    if row is not None:
        folder = PurePosixPath(row["file_path"]).parent
        view = inside(paths.data_dir(), *folder.parts, document.VIEW)
        data = await asyncio.to_thread(read_bytes, view, FILE_LIMIT)
        root = str(await settings.get("mirror_root"))
        if row["output_dir"] and root:
            await asyncio.to_thread(mirror, Path(root), row["output_dir"], data)
            done.append("mirror")
        if await _push(user_id, data):
            done.append("webdav")
    async with DB.tx() as tx:
        await ctx.complete(tx, {"copied": done})


def mirror(root: Path, folder: str, data: bytes) -> None:
    """Replace `ticket.html` in a folder below the root, whole or not at all."""
    if not root.is_dir():
        raise Fail("the mirror root does not exist", "mirror_root")
    place = inside(root, *PurePosixPath(folder).parts)
    place.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_whole(place / webdav.NAME, data, mode=0o640, point="mirror")


async def _push(user_id: str, data: bytes) -> bool:
    row = await DB.one(
        "SELECT c.id, c.login_name, c.login_password_encrypted AS sealed,"
        " u.flags ->> '$.tickets.push.url' AS url FROM credentials c"
        " JOIN users u ON u.id = c.owner_id WHERE c.owner_id = ? AND c.service = ?",
        (user_id, SERVICE),
    )
    if row is None or not row["url"] or not row["sealed"]:
        return False
    try:
        password = vault.open("credentials", "login_password_encrypted", row["id"], row["sealed"])
    except VaultError as error:
        raise Fail("the stored password of the cloud cannot be opened", "vault") from error
    allow = await outbound.allowed(webdav.PURPOSE)
    try:
        await webdav.put(row["url"], (row["login_name"] or "", password), data, allow=allow)
    except Upstream as error:
        if error.retry:
            raise
        raise Fail(str(error), error.code) from error
    return True
