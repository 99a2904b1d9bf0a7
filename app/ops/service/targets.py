"""Where notices go besides the inbox: a person's own targets, and those of the instance."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from app.core import audit, vault
from app.core.errors import Conflict, Invalid, NotFound, Upstream
from app.core.i18n import _
from app.ops.client import address, messengers
from app.ops.client.address import Address, BadAddress
from app.ops.client.message import Message
from app.ops.service import courier
from db import clock
from db.engine import DB
from db.keys import uuid7

MOST: Final = 10  # of one person, and of the instance
TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
OWN_KINDS: Final = ("tickets", "security")
ADMIN_KINDS: Final = ("tickets", "queue")

# `owner_id IS ?`: a person's own, or with NULL those of the instance; nobody reaches another's.
_MINE = "SELECT * FROM notification_targets WHERE owner_id IS ?"
_INSERT = """
INSERT INTO notification_targets (id, owner_id, url, scheme, kinds, quiet_from, quiet_to)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One target as a page shows it: what it is and where to, never its whole address."""

    id: str
    word: str
    where: str
    kinds: list[str]
    quiet_from: str
    quiet_to: str
    last_ok_at: str | None
    error: str


async def list_targets(owner: str | None) -> list[Target]:
    """The targets of a person, or of the instance; oldest first."""
    rows = await DB.all(f"{_MINE} ORDER BY created_at, id", (owner,))
    return [_target(row) for row in rows]


async def add(
    owner: str | None,
    text: str,
    *,
    kinds: Sequence[str] = (),
    quiet_from: str = "",
    quiet_to: str = "",
    actor: str,
    ip: str = "",
) -> str:
    """Keep a new target, its address sealed; its id. Raises Invalid, Conflict above `MOST`."""
    errors = _wrong(owner, kinds, quiet_from, quiet_to)
    try:
        found = address.parse(text)
        if found.is_messenger:
            await _check_messenger(found, by_admin=owner is None)
    except BadAddress as error:
        errors["address"] = _BAD[str(error)]()
    if errors:
        raise Invalid(**errors)
    target_id = uuid7()
    sealed = vault.seal("notification_targets", "url", target_id, text)
    row = (target_id, owner, sealed, found.scheme, json.dumps(list(kinds)))
    async with DB.tx():
        if len(await DB.all(_MINE, (owner,))) >= MOST:
            raise Conflict(_("There are %(n)s targets already. Remove one first.", n=MOST))
        await DB.execute(_INSERT, (*row, quiet_from or None, quiet_to or None))
        await _note("added", target_id, actor, ip, scheme=found.scheme)
    return target_id


async def change(
    owner: str | None,
    target_id: str,
    *,
    kinds: Sequence[str],
    quiet_from: str,
    quiet_to: str,
    actor: str,
    ip: str = "",
) -> None:
    """Choose anew what is sent there, and when not. Raises NotFound, Invalid."""
    if errors := _wrong(owner, kinds, quiet_from, quiet_to):
        raise Invalid(**errors)
    chosen = (json.dumps(list(kinds)), quiet_from or None, quiet_to or None, target_id, owner)
    async with DB.tx():
        if not await DB.execute(
            "UPDATE notification_targets SET kinds = ?, quiet_from = ?, quiet_to = ?"
            " WHERE id = ? AND owner_id IS ?",
            chosen,
        ):
            raise NotFound
        await _note("changed", target_id, actor, ip)


async def remove(owner: str | None, target_id: str, *, actor: str, ip: str = "") -> None:
    """Forget a target and its address; what waits for it ends. Raises NotFound."""
    async with DB.tx():
        if not await DB.execute(
            "DELETE FROM notification_targets WHERE id = ? AND owner_id IS ?", (target_id, owner)
        ):
            raise NotFound
        await _note("removed", target_id, actor, ip)


async def test(owner: str | None, target_id: str) -> str:
    """Send a word there now. The sentence that says what went wrong; "" if it went well.

    Quiet hours do not hold it: somebody pressed a button. Raises NotFound.
    """
    row = await DB.one(f"{_MINE} AND id = ?", (owner, target_id))
    if row is None:
        raise NotFound
    title = _("Holdfast: a test")
    text = _("It works: notices arrive here.")
    message = Message(
        id=uuid7(), kind="test", level="info", title=title, text=text, url="", at=clock.text()
    )
    try:
        await courier.send(row, message)
        code = ""
    except Upstream as error:
        code = error.code
    except vault.VaultError:
        code = "vault"
    await courier.note(target_id, code)
    return said(code)


def said(code: str) -> str:
    """What the code of a failed attempt means, in a sentence."""
    if not code:
        return ""
    if code.startswith("http_"):
        return _("The server answered %(status)s.", status=code.removeprefix("http_"))
    words = {
        "timeout": _("There was no answer in time."),
        "unreachable": _("The server cannot be reached."),
        "tls": _("Its certificate cannot be trusted."),
        "open": _("The mail server offers no encryption."),
        "login": _("The mail server refused the login."),
        "recipient": _("The mail server refused the address."),
        "refused": _("The mail server refused the mail."),
        "forbidden_host": _("This place may not be called: it is not public, or the port is odd."),
        "demo": _("A demo sends nothing out of this machine."),
        "vault": _("The stored address cannot be opened. Remove the target and add it again."),
    }
    return words.get(code) or _("The server did not answer as expected.")


def kinds_of(owner: str | None) -> dict[str, str]:
    """What may be chosen to be sent, in words."""
    words = {
        "tickets": _("Semester tickets"),
        "security": _("Security of the account"),
        "queue": _("Jobs"),
    }
    return {kind: words[kind] for kind in (ADMIN_KINDS if owner is None else OWN_KINDS)}


_BAD = {
    "scheme": lambda: _("It begins like one of the examples."),
    "form": lambda: _("This is not an address like one of the examples."),
    "to": lambda: _("Say whom it is for: ?to=name@example.org"),
    "topic": lambda: _("The topic or the token after the host is missing."),
    "secret": lambda: _("The secret before the @ needs at least 16 characters."),
    "messenger": lambda: _("This messenger's address lacks a part, or has one too many."),
    "own_server": lambda: _("This one runs on a server of one's own: admins add it at Channels."),
}


def _wrong(
    owner: str | None, kinds: Sequence[str], quiet_from: str, quiet_to: str
) -> dict[str, str]:
    errors = {}
    if not set(kinds) <= set(ADMIN_KINDS if owner is None else OWN_KINDS):
        errors["kinds"] = _("There is no such kind of notice.")
    for name, text in (("quiet_from", quiet_from), ("quiet_to", quiet_to)):
        if text and not TIME.fullmatch(text):
            errors[name] = _("A time of day looks like 22:30.")
    if bool(quiet_from) != bool(quiet_to):
        errors["quiet_to" if quiet_from else "quiet_from"] = _("Both times, or none.")
    return errors


async def _check_messenger(found: Address, *, by_admin: bool) -> None:
    if not by_admin and found.scheme not in messengers.HOSTED:
        raise BadAddress("own_server")
    if not await messengers.is_valid(found.text):
        raise BadAddress("messenger")


def _target(row: Mapping[str, Any]) -> Target:
    words = {"mailto": _("E-mail"), "ntfy": "ntfy", "gotify": "Gotify", "webhook": _("Webhook")}
    words |= messengers.NAMES
    try:
        text = vault.open("notification_targets", "url", row["id"], row["url"])
        where = address.parse(text.reveal()).shown
    except (vault.VaultError, BadAddress):
        where = "–"
    return Target(
        id=row["id"],
        word=words[row["scheme"].removesuffix("s")],
        where=where,
        kinds=json.loads(row["kinds"]),
        quiet_from=row["quiet_from"] or "",
        quiet_to=row["quiet_to"] or "",
        last_ok_at=row["last_ok_at"],
        error=said(row["last_error"] or ""),
    )


async def _note(what: str, target_id: str, actor: str, ip: str, **detail: Any) -> None:
    await audit.record(
        f"notify.target_{what}",
        actor_id=actor,
        ip=ip,
        object_type="target",
        object_id=target_id,
        detail=detail,
    )
