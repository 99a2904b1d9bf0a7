"""One's own account: what it says, language and look, the password."""

import re
from datetime import datetime
from functools import lru_cache
from zoneinfo import available_timezones

import msgspec

from app.accounts.service import confirming, passwords, sessions
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import audit
from app.core.errors import Invalid, NotFound
from app.core.i18n import LANGUAGES, _
from db.engine import DB

THEMES = ("auto", "light", "dark")


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How pages are shown to somebody. An empty time zone is that of the server."""

    locale: str
    theme: str
    time_zone: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The head of the account page."""

    login: str
    email: str
    role: str
    created_at: datetime
    invited_by: str
    look: Look


async def get_account(user_id: str) -> Account:
    """Raises NotFound."""
    row = await DB.one(
        "SELECT u.login, coalesce(u.email, '') AS email, u.role, u.created_at, u.locale,"
        " coalesce((SELECT login FROM users i WHERE i.id = u.invited_by), '') AS invited_by,"
        " coalesce(s.theme, 'auto') AS theme, coalesce(s.timeZone, '') AS time_zone"
        " FROM users u LEFT JOIN userSettings s ON s.userId = u.id"
        " WHERE u.id = ? AND u.deleted_at IS NULL",
        (user_id,),
    )
    if row is None:
        raise NotFound
    return msgspec.convert(row | {"look": row}, Account)


async def set_look(user_id: str, look: Look) -> None:
    """Store language, theme and time zone. Raises Invalid for one there is not."""
    errors = {}
    if look.locale not in LANGUAGES:
        errors["locale"] = _("There is no such language.")
    if look.theme not in THEMES:
        errors["theme"] = _("There is no such theme.")
    if look.time_zone and look.time_zone not in time_zones():
        errors["time_zone"] = _("There is no such time zone. They look like Europe/Berlin.")
    if errors:
        raise Invalid(**errors)
    async with DB.tx():
        await DB.execute("UPDATE users SET locale = ? WHERE id = ?", (look.locale, user_id))
        await DB.execute(
            "INSERT INTO userSettings (userId, theme, timeZone) VALUES (?, ?, ?)"
            " ON CONFLICT (userId)"
            " DO UPDATE SET theme = excluded.theme, timeZone = excluded.timeZone",
            (user_id, look.theme, look.time_zone or None),
        )


async def change_password(
    user_id: str, current: str, password: str, caller: Caller, *, hasher: Hasher | None = None
) -> tuple[str, bool]:
    """Every session ends, the caller's begins anew: returns its token and whether it is remembered.

    Raises Invalid, Throttled, Busy. Wrong guesses of the present password count as at the door.
    """
    hasher = hasher or await passwords.current_hasher()
    stored = await confirming.check_own_password(
        user_id, current, caller, field="current", hasher=hasher
    )
    row = await get_account(user_id)
    await passwords.check_password(password, row.login, row.email)
    hashed = await hasher.hash(password)
    before = await DB.one(
        "SELECT remember, authLevel FROM sessions WHERE tokenHash = ? AND authLevel > 0",
        (sessions.hash_token(caller.token or ""),),
    )
    remember, level = (bool(before["remember"]), before["authLevel"]) if before else (False, 1)
    async with DB.tx():
        changed = await DB.execute(
            "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?",
            (hashed, user_id, stored),
        )
        if not changed:
            raise Invalid(current=_("The password was changed a moment ago, elsewhere."))
        await sessions.end_sessions(user_id, ip=caller.ip)
        token = await sessions.start_session(user_id, caller, remember=remember, auth_level=level)
        await audit.record(
            "user.password_changed",
            actor_id=user_id,
            ip=caller.ip,
            object_type="user",
            object_id=user_id,
        )
    return token, remember


@lru_cache(maxsize=1)
def time_zones() -> tuple[str, ...]:
    """The names a person may choose from."""
    return tuple(
        sorted(name for name in available_timezones() if re.match(r"[A-Z]\w+/|UTC$", name))
    )


_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device_words(user_agent: str) -> str:
    """Browser and system as a person calls them: "Firefox, Linux"."""
    names = [
        next((word for sign, word in signs if sign in user_agent), "")
        for signs in (_BROWSERS, _SYSTEMS)
    ]
    return ", ".join(filter(None, names)) or user_agent[:40] or _("unknown device")
