"""Accounts: names, making and closing them, roles.

The last active admin and the first one stay what they are.
"""

import json
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import apsw
import msgspec

from app.accounts.service import sessions
from app.core import audit, i18n
from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _
from db import clock
from db.engine import DB, Tx
from db.keys import uuid7

OnAccountClosed = Callable[[Tx, str], Awaitable[None]]

LONGEST_LOGIN = 254
MOST_AT_ONCE = 200
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,190}")
_ANOTHER_ADMIN = (
    "EXISTS (SELECT 1 FROM users o WHERE o.id <> users.id AND o.role = 'admin' AND o.is_active = 1"
    " AND o.deleted_at IS NULL)"
)
# What may happen to an admin's row: only to one who is not the first, and not the last that can
# sign in.
_NOT_NEEDED = f"(role <> 'admin' OR (is_setup_admin = 0 AND (is_active = 0 OR {_ANOTHER_ADMIN})))"


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says about themselves.

    The rest (role, domains) is said by whoever lets them in.
    """

    login: str
    email: str | None
    password: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An account as the sign-in needs it."""

    id: str
    login: str
    password_hash: str | None
    role: str


def tidy(login: str, email: str, password: str) -> NewUser:
    """The fields as they are stored. Raises Invalid for each that cannot be taken."""
    login, email = plain_login(login), email.strip()
    errors = {}
    if (
        not 1 <= len(login) <= LONGEST_LOGIN
        or not login.isprintable()
        or login.lower().startswith("deleted:")
    ):
        errors["login"] = _("1 to %(n)s characters that can be seen.", n=LONGEST_LOGIN)
    if email and not is_email(email):
        errors["email"] = _("This is not an e-mail address.")
    if errors:
        raise Invalid(**errors)
    return NewUser(login=login, email=email or None, password=password)


def is_email(text: str) -> bool:
    """Whether it has the shape of an address; only a letter that arrives proves more."""
    return bool(_EMAIL.fullmatch(text)) and "." in text.rpartition("@")[2].strip(".")


def plain_login(text: str) -> str:
    """A login as it is compared: one spelling for each letter, nothing around it."""
    return unicodedata.normalize("NFC", text).strip()


async def find_by_login(text: str) -> Found | None:
    """The active account with this login or, failing that, this e-mail address."""
    row = await DB.one(
        "SELECT id, login, password_hash, role FROM users WHERE (login = ?1 OR email = ?1)"
        " AND is_active = 1 AND deleted_at IS NULL ORDER BY login = ?1 DESC LIMIT 1",
        (plain_login(text),),
    )
    return msgspec.convert(row, Found) if row else None


async def insert_user(user: NewUser, password_hash: str, *, role: str, **columns: Any) -> str:
    """A new row, in the open transaction; returns its id.

    Raises Conflict if login or e-mail has an account already.

    A login may not be another's e-mail address, nor the other way round: either signs in.
    """
    taken = await DB.value(
        "SELECT 1 FROM users WHERE deleted_at IS NULL AND (login IN (?1, ?2) OR email IN (?1, ?2))",
        (user.login, user.email or user.login),
    )
    row = {
        "id": uuid7(),
        "login": user.login,
        "email": user.email,
        "password_hash": password_hash,
        "role": role,
        "locale": i18n.current(),
        **columns,
    }
    try:
        if taken:
            raise apsw.ConstraintError
        await DB.execute(
            f"INSERT INTO users ({', '.join(row)})"  # noqa: S608 - names from this program
            f" VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )
    except apsw.ConstraintError:
        raise AlreadyRegistered(
            _("This name or address has an account already. Sign in instead?")
        ) from None
    return str(row["id"])


class AlreadyRegistered(Conflict):
    """Login or e-mail belongs to an account."""


async def set_role(admin_id: str, user_id: str, role: str, *, ip: str = "") -> None:
    """Make somebody an admin, or no admin any more; ends their sessions.

    Conflict for the first and the last admin.
    """
    if role not in {"user", "admin"}:
        raise Invalid(role=_("There are users and admins."))
    async with DB.tx():
        await _change(user_id, "role = ?", (role,), guarded=role != "admin")
        await sessions.end_sessions(user_id, actor_id=admin_id, ip=ip)
        await _note("user.role_changed", admin_id, user_id, ip, {"role": role})


async def set_active(admin_id: str, user_id: str, active: bool, *, ip: str = "") -> None:
    """Let somebody sign in again, or never mind: then every session ends at once.

    Conflict as in `set_role`.
    """
    async with DB.tx():
        await _change(user_id, "is_active = ?", (int(active),), guarded=not active)
        if not active:
            await sessions.end_sessions(user_id, actor_id=admin_id, ip=ip)
        await _note("user.enabled" if active else "user.disabled", admin_id, user_id, ip)


async def change_many(
    admin_id: str, user_ids: Sequence[str], action: str, *, ip: str = ""
) -> list[str]:
    """Disable or enable many accounts, or sign them out; those that it was done to.

    Oneself, closed accounts and those that must stay are left as they are.
    """
    if action not in ("disable", "enable", "sessions"):
        raise Invalid(action=_("Choose what to do."))
    if not user_ids:
        raise Invalid(id=_("Choose at least one person."))
    changed = list[str]()
    for user_id in dict.fromkeys(user_ids[:MOST_AT_ONCE]):
        if user_id == admin_id:
            continue
        try:
            if action == "sessions":
                await sessions.end_sessions(user_id, actor_id=admin_id, ip=ip)
            else:
                await set_active(admin_id, user_id, action == "enable", ip=ip)
        except (Conflict, NotFound):
            continue
        changed.append(user_id)
    return changed


async def set_domains(
    admin_id: str, user_id: str, domains: Sequence[str] | None, *, ip: str = ""
) -> None:
    """Which domains somebody may use; None: all that are switched on.

    Other flags stay as they are.
    """
    async with DB.tx():
        flags = (
            "json_remove(flags, '$.domains')"
            if domains is None
            else "json_set(flags, '$.domains', json(?))"
        )
        args = () if domains is None else (json.dumps(list(domains)),)
        await _change(user_id, f"flags = {flags}", args, guarded=False)
        detail = {"domains": None if domains is None else list(domains)}
        await _note("user.domains_changed", admin_id, user_id, ip, detail)


async def close_account(
    actor_id: str, user_id: str, *, ip: str = "", hooks: Sequence[OnAccountClosed] = ()
) -> None:
    """Soft delete: the name is free again, sessions and secrets go at once, history stays.

    `hooks`: what each domain does about it, in the same transaction. Conflict as in `set_role`.
    """
    async with DB.tx() as tx:
        now = clock.text()
        await _change(
            user_id,
            "is_active = 0, deleted_at = ?, login = 'deleted:' || id, password_hash = NULL,"
            " auth_token = NULL, auto_download_enabled = 0",
            (now,),
            guarded=True,
        )
        await sessions.end_sessions(user_id, actor_id=actor_id, ip=ip)
        await DB.execute(
            "UPDATE userSettings SET openrouterApiKey = NULL WHERE userId = ?", (user_id,)
        )
        await DB.execute("DELETE FROM credentials WHERE owner_id = ?", (user_id,))
        for table in ("totp_secrets", "passkeys", "recovery_codes", "reset_links"):
            sql = f"DELETE FROM {table} WHERE user_id = ?"  # noqa: S608 - constants
            await DB.execute(sql, (user_id,))
        await DB.execute(
            "UPDATE api_tokens SET revoked_at = ? WHERE user_id = ? AND revoked_at IS NULL",
            (now, user_id),
        )
        await DB.execute("DELETE FROM notification_targets WHERE owner_id = ?", (user_id,))
        for hook in hooks:
            await hook(tx, user_id)
        await _note("user.closed", actor_id, user_id, ip)


async def _change(user_id: str, setting: str, args: tuple[Any, ...], *, guarded: bool) -> None:
    """One UPDATE that looks and writes at once.

    Two admins who demote each other cannot both succeed.
    """
    condition = f" AND {_NOT_NEEDED}" if guarded else ""
    sql = f"UPDATE users SET {setting} WHERE id = ? AND deleted_at IS NULL"  # noqa: S608
    if await DB.execute(sql + condition, (*args, user_id)):
        return
    if not await DB.value("SELECT 1 FROM users WHERE id = ? AND deleted_at IS NULL", (user_id,)):
        raise NotFound
    raise Conflict(_("The first admin and the last active admin keep their account and role."))


async def _note(
    action: str, actor_id: str, user_id: str, ip: str, detail: dict[str, Any] | None = None
) -> None:
    await audit.record(
        action, actor_id=actor_id, ip=ip, object_type="user", object_id=user_id, detail=detail
    )
