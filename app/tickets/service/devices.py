"""Devices a run can appear as: the presets, and profiles people make for themselves."""

import re
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import apsw
import msgspec

from app.core import vault
from app.core.errors import Invalid, NotFound
from app.core.i18n import _
from app.tickets import profiles, settings
from db.engine import DB
from db.keys import uuid7

SCHEMES = ("http", "https", "socks4", "socks5", "socks5h")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
MOST = 20


class DeviceForm(msgspec.Struct, kw_only=True):
    """An own profile as it is typed; texts, so that every wrong field can be named at once."""

    name: str = ""
    user_agent: str = ""
    viewport_width: str = "1366"
    viewport_height: str = "768"
    locale: str = "de-DE"
    timezone: str = "Europe/Berlin"
    is_mobile: bool = False
    has_touch: bool = False
    device_scale_factor: str = "1"
    latitude: str = ""
    longitude: str = ""
    proxy_url: str = ""
    proxy_login: str = ""
    proxy_password: str = ""


class DeviceCard(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as a list shows it. `key` is what `users.device_profile` holds."""

    key: str
    name: str
    user_agent: str
    width: int
    height: int
    locale: str
    timezone: str
    is_mobile: bool
    own: bool
    chosen: bool
    works_with: tuple[str, ...]
    proxied: bool = False


async def list_devices(user_id: str) -> list[DeviceCard]:
    """Own profiles first, then the presets, the honest one at their head."""
    chosen = await DB.value("SELECT device_profile FROM users WHERE id = ?", (user_id,))
    rows = await DB.all(
        "SELECT * FROM device_profiles WHERE user_id = ? ORDER BY name COLLATE NOCASE", (user_id,)
    )
    own = [
        DeviceCard(
            key=row["id"],
            name=row["name"],
            user_agent=row["user_agent"],
            width=row["viewport_width"],
            height=row["viewport_height"],
            locale=row["locale"],
            timezone=row["timezone"],
            is_mobile=bool(row["is_mobile"]),
            own=True,
            chosen=row["id"] == chosen,
            works_with=works_with(row["proxy_url"] or "", bool(row["proxy_auth_encrypted"])),
            proxied=bool(row["proxy_url"]),
        )
        for row in rows
    ]
    named = chosen if chosen in profiles.PRESETS or chosen in {c.key for c in own} else None
    presets = [
        DeviceCard(
            key=profile.name,
            name=profile.name,
            user_agent=profile.user_agent,
            width=profile.viewport_width,
            height=profile.viewport_height,
            locale=profile.locale,
            timezone=profile.timezone,
            is_mobile=profile.is_mobile,
            own=False,
            chosen=profile.name == (named or profiles.DEFAULT),
            works_with=("http", "browser"),
        )
        for profile in profiles.PRESETS.values()
    ]
    return [*own, *presets]


async def get_device(user_id: str, profile_id: str) -> DeviceForm:
    """An own profile to be edited; its proxy password stays where it is. NotFound for others'."""
    row = await DB.one(
        "SELECT * FROM device_profiles WHERE id = ? AND user_id = ?", (profile_id, user_id)
    )
    if row is None:
        raise NotFound
    sealed = row["proxy_auth_encrypted"]
    login = ""
    if sealed:
        stored = vault.open("device_profiles", "proxy_auth_encrypted", profile_id, sealed)
        login = stored.reveal().partition(":")[0]
    place = (row["geolocation_latitude"], row["geolocation_longitude"])
    return DeviceForm(
        name=row["name"],
        user_agent=row["user_agent"],
        viewport_width=str(row["viewport_width"]),
        viewport_height=str(row["viewport_height"]),
        locale=row["locale"],
        timezone=row["timezone"],
        is_mobile=bool(row["is_mobile"]),
        has_touch=bool(row["has_touch"]),
        device_scale_factor=f"{row['device_scale_factor']:g}",
        latitude="" if place[0] is None else f"{place[0]:g}",
        longitude="" if place[1] is None else f"{place[1]:g}",
        proxy_url=row["proxy_url"] or "",
        proxy_login=login,
    )


async def save_device(
    user_id: str, form: DeviceForm, profile_id: str = "", *, admin: bool = False
) -> str:
    """Make or change an own profile; its id. Raises Invalid with every field that does not fit."""
    columns, errors = _columns(form)
    if columns["proxy_url"] and not (admin or await settings.get("allow_user_proxy")):
        errors["proxy_url"] = _("An admin of this server has not allowed proxies.")
    if profile_id:
        await get_device(user_id, profile_id)
    elif await DB.value("SELECT count(*) FROM device_profiles WHERE user_id = ?", (user_id,)) >= (
        MOST
    ):
        errors["name"] = _("At most %(n)s devices.", n=MOST)
    if errors:
        raise Invalid(**errors)
    key = profile_id or uuid7()
    try:
        async with DB.tx():
            if profile_id:
                marks = ", ".join(f"{name} = ?" for name in columns)
                await DB.execute(
                    f"UPDATE device_profiles SET {marks} WHERE id = ?",  # noqa: S608 - our names
                    (*columns.values(), key),
                )
                await _save_proxy_login(key, form, columns["proxy_url"])
            else:
                await insert_device(user_id, key, form)
    except apsw.ConstraintError:
        raise Invalid(name=_("You have a device of this name.")) from None
    return key


async def insert_device(user_id: str, key: str, form: DeviceForm) -> None:
    """A new row of a form that was checked, with its proxy login; joins the open transaction."""
    columns, _errors = _columns(form)
    names = ", ".join(columns)
    await DB.execute(
        f"INSERT INTO device_profiles (id, user_id, {names})"  # noqa: S608 - our names
        f" VALUES (?, ?{', ?' * len(columns)})",
        (key, user_id, *columns.values()),
    )
    await _save_proxy_login(key, form, columns["proxy_url"])


async def remove_device(user_id: str, profile_id: str) -> None:
    """Delete an own profile; where it was in use the default takes its place at once."""
    gone = await DB.execute(
        "DELETE FROM device_profiles WHERE id = ? AND user_id = ?", (profile_id, user_id)
    )
    if not gone:
        raise NotFound


async def choose_device(user_id: str, key: str) -> None:
    """Appear as this device from now on; NotFound for one that is not there."""
    own = await DB.value(
        "SELECT 1 FROM device_profiles WHERE id = ? AND user_id = ?", (key, user_id)
    )
    if not own and key not in profiles.PRESETS:
        raise NotFound
    await DB.execute("UPDATE users SET device_profile = ? WHERE id = ?", (key, user_id))


def works_with(proxy_url: str, with_login: bool) -> tuple[str, ...]:
    """The drivers that can use this profile."""
    scheme = urlsplit(proxy_url).scheme if proxy_url else ""
    if not scheme:
        return ("http", "browser")
    return profiles.works_with(scheme, with_login=with_login)


def check(form: DeviceForm) -> dict[str, str]:
    """What is wrong with each field, for the form while it is typed."""
    return _columns(form)[1]


def _columns(form: DeviceForm) -> tuple[dict[str, Any], dict[str, str]]:
    errors: dict[str, str] = {}
    agent = form.user_agent.strip()
    if not 1 <= len(form.name) <= 80 or not form.name.isprintable():
        errors["name"] = _("A name has 1 to 80 characters.")
    if not re.fullmatch(r"[ -~]{1,512}", agent):
        errors["user_agent"] = _("1 to 512 plain characters, in one line.")
    if not _LOCALE.fullmatch(form.locale):
        errors["locale"] = _("A language such as de-DE.")
    if form.timezone not in available_timezones():
        errors["timezone"] = _("A time zone such as Europe/Berlin.")
    width = _number(form.viewport_width, 240, 7680, whole=True)
    height = _number(form.viewport_height, 240, 7680, whole=True)
    scale = _number(form.device_scale_factor, 0.5, 4)
    for name, value, words in (
        ("viewport_width", width, _("A whole number from 240 to 7680.")),
        ("viewport_height", height, _("A whole number from 240 to 7680.")),
        ("device_scale_factor", scale, _("A number from 0.5 to 4.")),
    ):
        if value is None:
            errors[name] = words
    place = {}
    for name, typed, limit in (
        ("latitude", form.latitude, 90),
        ("longitude", form.longitude, 180),
    ):
        place[name] = _number(typed, -limit, limit) if typed else None
        if typed and place[name] is None:
            errors[name] = _("A number from -%(n)s to %(n)s.", n=limit)
    if bool(form.latitude) != bool(form.longitude):
        errors["longitude" if form.latitude else "latitude"] = _("Both or none.")
    errors |= _proxy_errors(form)
    columns = {
        "name": form.name,
        "user_agent": agent,
        "viewport_width": width,
        "viewport_height": height,
        "locale": form.locale,
        "timezone": form.timezone,
        "proxy_url": form.proxy_url or None,
        "geolocation_latitude": place["latitude"],
        "geolocation_longitude": place["longitude"],
        "is_mobile": form.is_mobile,
        "has_touch": form.has_touch,
        "device_scale_factor": scale,
    }
    return columns, errors


def _proxy_errors(form: DeviceForm) -> dict[str, str]:
    if not form.proxy_url:
        return {}
    if "@" in form.proxy_url:
        return {"proxy_url": _("Name and password of the proxy have their own fields below.")}
    try:
        parts = urlsplit(form.proxy_url)
        good = parts.scheme in SCHEMES and parts.hostname and parts.port
    except ValueError:
        good = None
    if not good or parts.path.strip("/") or parts.query:
        return {"proxy_url": _("An address such as socks5://proxy.example:1080.")}
    if ":" in form.proxy_login:
        return {"proxy_login": _("A name without a colon.")}
    if form.proxy_login and not works_with(form.proxy_url, with_login=True):
        return {"proxy_url": _("No driver can use such a proxy with a login.")}
    return {}


async def _save_proxy_login(key: str, form: DeviceForm, proxy_url: str | None) -> None:
    """A login is a secret of its own; without a name there is none, an empty password stays."""
    if not proxy_url or not form.proxy_login:
        await DB.execute(
            "UPDATE device_profiles SET proxy_auth_encrypted = NULL WHERE id = ?", (key,)
        )
        return
    if not form.proxy_password:
        return
    text = f"{form.proxy_login}:{form.proxy_password}"
    sealed = vault.seal("device_profiles", "proxy_auth_encrypted", key, text)
    await DB.execute(
        "UPDATE device_profiles SET proxy_auth_encrypted = ? WHERE id = ?", (sealed, key)
    )


def _number(typed: str, low: float, high: float, *, whole: bool = False) -> float | None:
    pattern = r"\d{1,6}" if whole else r"-?\d{1,4}(?:\.\d{1,10})?"
    if not re.fullmatch(pattern, typed.strip()):
        return None
    value = int(typed) if whole else float(typed)
    return value if low <= value <= high else None
