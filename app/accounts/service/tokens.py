"""API tokens: `hf_<8 id>_<43 secret><6 check>`, shown once, stored as a hash.

A token never may more than its owner, and dies with him.
"""

import json
import re
import secrets
import string
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any
from zlib import crc32

import msgspec

from app.accounts.service import sessions
from app.accounts.service.sessions import Visit
from app.core import audit, settings
from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _
from db import clock
from db.engine import DB

USUAL_DAYS, MOST_DAYS = 90, 3650
MOST = 50  # of one person
NAME_MAX = 80
NOTE_EVERY = timedelta(minutes=5)
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
FORM = re.compile(r"hf_([0-9A-Za-z]{8})_([A-Za-z0-9_-]{43})([0-9A-Za-z]{6})")

_READ = """
SELECT a.id AS token_id, a.secret_hash, a.scopes, a.ip_list, a.last_used_at, u.id AS user_id
FROM api_tokens a JOIN users u ON u.id = a.user_id
WHERE a.id = :id AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > :now)
  AND u.is_active = 1 AND u.deleted_at IS NULL
"""


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list. `state`: live, expired or revoked."""

    id: str
    name: str
    scopes: list[str]
    ip_list: list[str]
    state: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token just made; `text` is shown once and stored nowhere."""

    id: str
    text: str
    name: str
    expires_at: datetime | None


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token it is, and what it may at most."""

    visit: Visit
    token_id: str
    scopes: tuple[str, ...]


async def possible_scopes(role: str, domains: Sequence[str], built: Sequence[str]) -> list[str]:
    """What a token of this person may be given: never more than they may themselves."""
    places = ["jobs", *(name for name in built if name in domains)]
    if role == "admin":
        places.append("admin")
    scopes = [f"{place}:{what}" for place in places for what in ("read", "write")]
    return [*scopes, "metrics:read"] if role == "admin" else scopes


async def create_token(
    user_id: str,
    *,
    name: str,
    scopes: Sequence[str],
    possible: Sequence[str],
    days: str | int = USUAL_DAYS,
    addresses: str = "",
    ip: str = "",
) -> NewToken:
    """A token for programs. `days`: 0 never ends; `addresses`: from where, empty for anywhere.

    Raises Invalid, Conflict where a person has too many.
    """
    errors: dict[str, str] = {}
    name = name.strip()
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        errors["name"] = _("At most %(n)s characters, on one line.", n=NAME_MAX)
    chosen = sorted(set(scopes))
    if not chosen or not set(chosen) <= set(possible):
        errors["scopes"] = _("Choose at least one thing the token may do.")
    life = _days(days)
    if life is None:
        errors["days"] = _("Whole days, 0 to %(n)s. 0 means that it never ends.", n=MOST_DAYS)
    networks = _networks(addresses)
    if networks is None:
        errors["addresses"] = _("Addresses or networks, with commas between them.")
    if errors or life is None or networks is None:
        raise Invalid(**errors)

    now = clock.now()
    expires_at = now + timedelta(days=life) if life else None
    token_id, secret = _word(8), secrets.token_urlsafe(32)
    async with DB.tx():
        if await count_live(user_id) >= MOST:
            raise Conflict(_("At most %(n)s tokens. Revoke one you no longer need.", n=MOST))
        await DB.execute(
            "INSERT INTO api_tokens (id, user_id, secret_hash, name, scopes, ip_list, expires_at,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                token_id,
                user_id,
                sessions.hash_token(secret),
                name,
                json.dumps(chosen),
                json.dumps(networks),
                clock.text(expires_at) if expires_at else None,
                clock.text(now),
            ),
        )
        await _note("token.created", user_id, token_id, ip, {"scopes": chosen, "days": life})
    text = f"hf_{token_id}_{secret}"
    return NewToken(id=token_id, text=text + check_of(text), name=name, expires_at=expires_at)


async def list_tokens(user_id: str) -> list[TokenRow]:
    """Newest first."""
    rows = await DB.all(
        "SELECT id, name, scopes, ip_list, created_at, expires_at, last_used_at,"
        " CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= ?2 THEN 'expired'"
        " ELSE 'live' END AS state FROM api_tokens WHERE user_id = ?1"
        " ORDER BY created_at DESC, id LIMIT 200",
        (user_id, clock.text()),
    )
    for row in rows:
        row["scopes"], row["ip_list"] = json.loads(row["scopes"]), json.loads(row["ip_list"])
    return msgspec.convert(rows, list[TokenRow])


async def count_live(user_id: str) -> int:
    """How many still open something."""
    return int(
        await DB.value(
            "SELECT count(*) FROM api_tokens WHERE user_id = ? AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > ?)",
            (user_id, clock.text()),
        )
    )


async def revoke_token(user_id: str, token_id: str, *, ip: str = "") -> None:
    """From now on it opens nothing. Raises NotFound for one that is not theirs."""
    async with DB.tx():
        revoked = await DB.execute(
            "UPDATE api_tokens SET revoked_at = ?"
            " WHERE id = ? AND user_id = ? AND revoked_at IS NULL",
            (clock.text(), token_id, user_id),
        )
        if not revoked:
            raise NotFound
        await _note("token.revoked", user_id, token_id, ip, {})


async def revoke_all(user_id: str, *, actor_id: str | None, kind: str, ip: str = "") -> int:
    """Revoke what still opens something of theirs; returns how many. Joins the open transaction."""
    revoked = await DB.execute(
        "UPDATE api_tokens SET revoked_at = ? WHERE user_id = ? AND revoked_at IS NULL",
        (clock.text(), user_id),
    )
    if revoked:
        await audit.record(
            "token.all_revoked",
            actor_id=actor_id,
            actor_kind=kind,
            ip=ip,
            object_type="user",
            object_id=user_id,
            detail={"count": revoked},
        )
    return revoked


async def read_token(text: str, ip: str) -> Admitted | None:
    """Who comes with this token; None for anything that is not a live one from an allowed place.

    The check sum spares the database what was mistyped or made up.
    """
    found = FORM.fullmatch(text)
    if found is None or check_of(text[:-6]) != found[3]:
        return None
    now = clock.now()
    row = await DB.one(_READ, {"id": found[1], "now": clock.text(now)})
    if row is None or not secrets.compare_digest(row["secret_hash"], sessions.hash_token(found[2])):
        return None
    if not _is_from(ip, json.loads(row["ip_list"])):
        await _note("token.refused", row["user_id"], row["token_id"], ip, {"reason": "address"})
        return None
    last = row["last_used_at"]
    if last is None or now - clock.parse(last) >= NOTE_EVERY:
        await DB.execute(
            "UPDATE api_tokens SET last_used_at = ? WHERE id = ?",
            (clock.text(now), row["token_id"]),
        )
    visit = await sessions.read_owner(row["user_id"])
    if visit is None:
        return None
    return Admitted(visit=visit, token_id=row["token_id"], scopes=tuple(json.loads(row["scopes"])))


def check_of(text: str) -> str:
    """Six base-62 digits of the CRC-32: tells a mistyped token from a wrong one."""
    number, digits = crc32(text.encode()), ""
    while len(digits) < 6:
        number, rest = divmod(number, len(DIGITS))
        digits = DIGITS[rest] + digits
    return digits


async def built_domains() -> tuple[str, ...]:
    """The domains that are switched on."""
    return tuple(await settings.get("domains.enabled"))


def _word(length: int) -> str:
    return "".join(secrets.choice(DIGITS) for _place in range(length))


def _days(given: str | int) -> int | None:
    text = str(given).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        return None
    return int(text) if int(text) <= MOST_DAYS else None


def _networks(text: str) -> list[str] | None:
    words = [word.strip() for word in text.replace("\n", ",").split(",") if word.strip()]
    try:
        return [str(ip_network(word, strict=False)) for word in words[:50]]
    except ValueError:
        return None


def _is_from(ip: str, networks: Sequence[str]) -> bool:
    if not networks:
        return True
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    nets = [ip_network(net) for net in networks]
    return any(address.version == net.version and address in net for net in nets)


async def _note(action: str, user_id: str, token_id: str, ip: str, detail: dict[str, Any]) -> None:
    await audit.record(
        action,
        actor_id=user_id,
        ip=ip,
        object_type="api_token",
        object_id=token_id,
        detail=detail,
    )
