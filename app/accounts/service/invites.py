"""Invites: making links, listing and revoking them. How one is redeemed stands in `redeem.py`."""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from app.accounts.service import users
from app.core import audit, settings
from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _
from app.core.ordering import Came, order_by
from db import clock
from db.engine import DB

STATES = ("open", "used", "revoked", "expired", "void")
ORDERS = {
    "for": ("coalesce(nullif(label, ''), email, token) COLLATE NOCASE", "token"),
    "made": ("created_at", "token"),
    "ends": ("expires_at", "token"),
}
USUAL = "-made"
MOST_LINES = 200
MOST_OPEN = 1000  # so that a script gone wrong ends somewhere
LABEL_MAX = 80
SLIP_MS = 60_000  # as long as the way back is shown

CREATOR_MAY = (
    "EXISTS (SELECT 1 FROM users c WHERE c.id = invite_tokens.created_by AND c.role = 'admin'"
    " AND c.is_active = 1 AND c.deleted_at IS NULL)"
)
# One word for each row; `:now` is the moment of asking. At the very moment it ends an invite is
# expired.
STATE = (
    "CASE WHEN used_by IS NOT NULL THEN 'used' WHEN revoked_at IS NOT NULL THEN 'revoked'"
    f" WHEN expires_at <= :now THEN 'expired' WHEN NOT {CREATOR_MAY} THEN 'void' ELSE 'open' END"
)


class InviteRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list.

    `short` is the beginning of the stored hash: a name for it that opens nothing.
    """

    short: str
    state: str
    label: str
    email: str
    role: str
    domains: tuple[str, ...] | None
    creator: str
    used_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


class InviteList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list, and how many the same search finds in each state, `all` in sum."""

    rows: list[InviteRow]
    counts: dict[str, int]
    total: int
    came: Came


class NewInvite(msgspec.Struct, frozen=True, kw_only=True):
    """A link just made. `secret` is shown once and stored nowhere."""

    secret: str
    short: str
    label: str
    email: str
    expires_at: datetime


async def create_invite(
    admin_id: str,
    *,
    hours: str | int = "",
    label: str = "",
    email: str = "",
    role: str = "user",
    domains: Sequence[str] | None = None,
    ip: str = "",
) -> NewInvite:
    """One link.

    `hours`: whole, 1 to 720, empty for the setting's value; `domains`: None for all. Raises
    Invalid.
    """
    checked, errors = await _hours(hours), _line_errors(label, email)
    if checked is None:
        errors["hours"] = _("Whole hours, 1 to 720. 72 is usual.")
    if role not in {"user", "admin"}:
        errors["role"] = _("There are users and admins.")
    if not set(domains or ()) <= set(settings.DOMAINS):
        errors["domains"] = _("There is no such area.")
    if errors or checked is None:
        raise Invalid(**errors)
    async with DB.tx():
        return await _insert(admin_id, checked, label.strip(), email.strip(), role, domains, ip)


async def look_at(*, hours: str = "", label: str = "", email: str = "") -> dict[str, str]:
    """What is wrong with a form so far, by field."""
    errors = _line_errors(label, email)
    if await _hours(hours) is None:
        errors["hours"] = _("Whole hours, 1 to 720. 72 is usual.")
    return errors


async def create_from_console(
    *, hours: str = "", label: str = "", email: str = "", role: str = "user"
) -> NewInvite:
    """An invite by whoever runs the server, in the name of the first active admin.

    Raises Invalid, Conflict where there is no admin yet.
    """
    admin_id = await DB.value(
        "SELECT id FROM users WHERE role = 'admin' AND is_active = 1 AND deleted_at IS NULL"
        " ORDER BY is_setup_admin DESC, created_at LIMIT 1"
    )
    if admin_id is None:
        raise Conflict(_("There is no admin yet."))
    return await create_invite(admin_id, hours=hours, label=label, email=email, role=role)


async def create_invites(
    admin_id: str,
    lines: str,
    *,
    hours: str | int = "",
    role: str = "user",
    domains: Sequence[str] | None = None,
    ip: str = "",
) -> list[NewInvite]:
    """A link for each line `email[,label]`, all or none, at most 200.

    Raises Invalid(lines=…) naming the first bad one.
    """
    people = [line.strip() for line in lines.splitlines() if line.strip()]
    checked = await _hours(hours)
    if checked is None:
        raise Invalid(hours=_("Whole hours, 1 to 720. 72 is usual."))
    if not 1 <= len(people) <= MOST_LINES:
        raise Invalid(
            lines=_(
                "1 to %(n)s lines, each an e-mail address and, if you like, a comma and a name.",
                n=MOST_LINES,
            )
        )
    pairs = []
    for number, line in enumerate(people, 1):
        email, _comma, label = (part.strip() for part in line.partition(","))
        errors = _line_errors(label, email)
        if errors or not email:
            why = next(iter(errors.values()), _("This is not an e-mail address."))
            raise Invalid(lines=_("Line %(n)s: %(why)s", n=number, why=why))
        pairs.append((email, label))
    async with DB.tx():
        return [
            await _insert(admin_id, checked, label, email, role, domains, ip)
            for email, label in pairs
        ]


async def list_invites(
    *,
    state: str = "",
    q: str = "",
    sort: str = USUAL,
    upto: str = "",
    viewer: str = "",
    limit: int = 50,
    offset: int = 0,
) -> InviteList:
    """Sorted by one of `ORDERS`. `q` is looked for in label and e-mail. Used ones stay for good.

    `upto`: only what was there when the list was opened, and what `viewer` has made since; the
    rest is counted.
    """
    state = state if state in STATES else ""
    asked = {"now": clock.text(), "q": q.strip(), "state": state, "upto": upto, "viewer": viewer}
    args = {**asked, "limit": limit, "offset": offset}
    text = "lower(coalesce(label, '') || ' ' || coalesce(email, ''))"
    found = f"(:q = '' OR instr({text}, lower(:q)) > 0)"
    counted = await DB.all(
        f"SELECT {STATE} AS state, count(*) AS n FROM invite_tokens"  # noqa: S608 - constants
        f" WHERE {found} GROUP BY 1",
        args,
    )
    counts = dict.fromkeys(STATES, 0) | {row["state"]: row["n"] for row in counted}
    rows = await DB.all(
        f"SELECT substr(token, 1, 8) AS short, {STATE} AS state,"  # noqa: S608 - constants
        " coalesce(label, '') AS label,"
        " coalesce(email, '') AS email, role, domains, created_at, expires_at, used_at, revoked_at,"
        " coalesce((SELECT login FROM users u WHERE u.id = created_by), '') AS creator,"
        " coalesce((SELECT login FROM users u WHERE u.id = used_by), '') AS used_by"
        f" FROM invite_tokens WHERE {found} AND (:state = '' OR {STATE} = :state)"
        " AND (:upto = '' OR created_at <= :upto OR created_by = :viewer)"
        f" ORDER BY {order_by(sort, ORDERS, USUAL)} LIMIT :limit OFFSET :offset",
        args,
    )
    came = await DB.one(
        "SELECT coalesce(max(created_at), '') AS newest,"  # noqa: S608 - constants
        " count(*) FILTER (WHERE :upto <> '' AND created_at > :upto AND created_by <> :viewer)"
        f" AS newer FROM invite_tokens WHERE {found} AND (:state = '' OR {STATE} = :state)",
        args,
    )
    for row in rows:
        row["domains"] = json.loads(row["domains"]) if row["domains"] else None
    counts["all"] = sum(counts.values())
    return InviteList(
        rows=msgspec.convert(rows, list[InviteRow]),
        counts=counts,
        total=counts[state or "all"],
        came=msgspec.convert(came, Came),
    )


async def revoke_many(admin_id: str, shorts: Sequence[str], *, ip: str = "") -> list[str]:
    """Revoke what is still open of these; which ones that were."""
    if not shorts:
        raise Invalid(id=_("Choose at least one invite."))
    revoked: list[str] = []
    for short in dict.fromkeys(shorts[:MOST_LINES]):
        try:
            await revoke_invite(admin_id, short, ip=ip)
        except (Conflict, NotFound):
            continue
        revoked.append(short)
    return revoked


async def reopen_many(admin_id: str, shorts: Sequence[str], *, ip: str = "") -> int:
    """Take back what was revoked a moment ago, and that only; how many open again."""
    since = clock.text(clock.from_ms(clock.ms() - SLIP_MS))
    reopened = 0
    async with DB.tx():
        for short in dict.fromkeys(shorts[:MOST_LINES]):
            back = await DB.execute(
                "UPDATE invite_tokens SET revoked_at = NULL"
                " WHERE substr(token, 1, 8) = ? AND used_by IS NULL AND revoked_at >= ?",
                (short, since),
            )
            if back:
                await audit.record(
                    "invite.reopened",
                    actor_id=admin_id,
                    ip=ip,
                    object_type="invite",
                    object_id=short,
                )
            reopened += back
    return reopened


async def revoke_invite(admin_id: str, short: str, *, ip: str = "") -> None:
    """From now on the link opens nothing.

    Raises NotFound, or Conflict for one that was used or revoked before.
    """
    async with DB.tx():
        rows = await DB.all(
            "SELECT token, used_by, (SELECT login FROM users u WHERE u.id = used_by) AS login"
            " FROM invite_tokens WHERE substr(token, 1, 8) = ? LIMIT 2",
            (short,),
        )
        if len(rows) != 1:
            raise NotFound
        row = rows[0]
        revoked = await DB.execute(
            "UPDATE invite_tokens SET revoked_at = ?"
            " WHERE token = ? AND used_by IS NULL AND revoked_at IS NULL",
            (clock.text(), row["token"]),
        )
        if not revoked:
            used = (
                _("This invite was already used by %(login)s.", login=row["login"] or "?")
                if row["used_by"]
                else ""
            )
            raise Conflict(used or _("This invite was revoked before."))
        await audit.record(
            "invite.revoked", actor_id=admin_id, ip=ip, object_type="invite", object_id=short
        )


async def enabled_domains() -> tuple[str, ...]:
    """The domains an invite can name."""
    return tuple(await settings.get("domains.enabled"))


async def usual_hours() -> int:
    """The life of an invite nobody says a life for."""
    return int(await settings.get("accounts.invite_hours"))


def hash_secret(secret: str) -> str:
    """What the table knows of a link's secret."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


async def _insert(
    admin_id: str,
    hours: int,
    label: str,
    email: str,
    role: str,
    domains: Sequence[str] | None,
    ip: str,
) -> NewInvite:
    secret, now = secrets.token_urlsafe(32), clock.now()
    open_ones = await DB.value(
        "SELECT count(*) FROM invite_tokens"
        " WHERE used_by IS NULL AND revoked_at IS NULL AND expires_at > ?",
        (clock.text(now),),
    )
    if open_ones >= MOST_OPEN:
        raise Conflict(_("%(n)s invites are open. Revoke some first.", n=MOST_OPEN))
    token, expires_at = hash_secret(secret), now + timedelta(hours=hours)
    await DB.execute(
        "INSERT INTO invite_tokens"
        " (token, created_by, expires_at, created_at, label, email, role, domains)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            token,
            admin_id,
            clock.text(expires_at),
            clock.text(now),
            label or None,
            email or None,
            role,
            None if domains is None else json.dumps(list(domains)),
        ),
    )
    detail = {"hours": hours, "role": role}
    await audit.record(
        "invite.created",
        actor_id=admin_id,
        ip=ip,
        object_type="invite",
        object_id=token[:8],
        detail=detail,
    )
    return NewInvite(
        secret=secret, short=token[:8], label=label, email=email, expires_at=expires_at
    )


async def _hours(given: str | int) -> int | None:
    """Whole hours in range; None for anything else, whatever other programs make of it."""
    text = str(given).strip()
    if not text:
        return await usual_hours()
    if isinstance(given, bool) or not (text.isascii() and text.isdigit()) or len(text) > 4:
        return None
    return int(text) if 1 <= int(text) <= 720 else None


def _line_errors(label: str, email: str) -> dict[str, str]:
    errors = {}
    if len(label.strip()) > LABEL_MAX or not label.strip().isprintable():
        errors["label"] = _("At most %(n)s characters, on one line.", n=LABEL_MAX)
    if email.strip() and not users.is_email(email.strip()):
        errors["email"] = _("This is not an e-mail address.")
    return errors
