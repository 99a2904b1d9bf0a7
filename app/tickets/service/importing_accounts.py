"""The part of the import that is about people: accounts, invites, logins, devices."""

import asyncio
import hashlib
import json
from collections import Counter
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from app.core import vault
from app.core.i18n import LANGUAGES
from app.tickets import origin, profiles
from app.tickets.service import devices
from app.tickets.service.devices import DeviceForm
from db.engine import DB

DEFAULT_ADMIN = "admin"  # the origin ships with admin:admin
STATES = {"success": "ok", "duplicate": "ok"}


class Accounts:
    """Writes people into the open transaction and counts into the report's own counters."""

    def __init__(
        self,
        made: Counter[str],
        there: Counter[str],
        skipped: list[str],
        key: str,
        on_clash: str,
    ) -> None:
        self.made = made
        self.there = there
        self.skipped = skipped
        self._key = key
        self._on_clash = on_clash

    async def people(self, rows: list[dict[str, Any]]) -> dict[str, str]:
        """Accounts with their own ids; the ids of those that are here now."""
        ids: dict[str, str] = {}
        for row in rows:
            key = str(row["id"])
            if await DB.value("SELECT 1 FROM users WHERE id = ?", (key,)):
                self.there["users"] += 1
                ids[key] = key
                continue
            login = await self._login(row)
            if login is None:
                self.skipped.append(f"user {key}: the login {row.get('login')} is taken")
                continue
            await self._insert(key, login, row)
            self.made["users"] += 1
            ids[key] = key
        return ids

    async def invites(self, rows: list[dict[str, Any]], ids: dict[str, str]) -> None:
        """Open links go on working: what is stored is the hash of what people hold."""
        for row in rows:
            digest = hashlib.sha256(str(row["token"]).encode()).hexdigest()
            creator, user = ids.get(str(row["created_by"])), ids.get(str(row.get("used_by")))
            if creator is None or (row.get("used_by") and user is None):
                self.skipped.append("an invite whose people did not come over")
                continue
            created = origin.moment(row.get("created_at"))
            made = await DB.execute(
                "INSERT INTO invite_tokens (token, created_by, used_by, expires_at, created_at,"
                " used_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    *(digest, creator, user, origin.moment(row.get("expires_at"), created)),
                    *(created, created if user else None),
                ),
            )
            (self.made if made else self.there)["invites"] += 1

    async def logins(self, rows: list[dict[str, Any]], ids: dict[str, str]) -> None:
        """Portal logins, opened with the origin's key and sealed for their new row."""
        for row in rows:
            user_id = ids.get(str(row["user_id"]))
            if user_id is None:
                continue
            stored = "SELECT 1 FROM user_credentials WHERE user_id = ?"
            if await DB.value(stored, (user_id,)):
                self.there["logins"] += 1
                continue
            number = str(row.get("uk_number") or "").strip()
            password = origin.decrypt(str(row.get("uk_password_encrypted") or ""), self._key)
            if password is None or not 2 <= len(number) <= 64:
                self.skipped.append(
                    f"login of {user_id}: cannot be opened; it must be entered anew"
                )
                continue
            sealed = vault.seal(
                "user_credentials", "uk_password_encrypted", user_id, password.reveal()
            )
            at = row.get("last_login_at")
            await DB.execute(
                "INSERT INTO user_credentials (user_id, uk_number, uk_password_encrypted,"
                " last_login_status, last_login_at, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(user_id, number, sealed, STATES.get(str(row.get("last_login_status")))),
                    *(origin.moment(at) if at else None, origin.moment(row.get("created_at"))),
                ),
            )
            self.made["logins"] += 1

    async def devices(self, rows: list[dict[str, Any]], ids: dict[str, str]) -> None:
        """Own devices; a login inside a proxy's address moves to the secret column."""
        for row in rows:
            user_id, key = ids.get(str(row["user_id"])), str(row["id"])
            if user_id is None:
                continue
            if await DB.value("SELECT 1 FROM device_profiles WHERE id = ?", (key,)):
                self.there["devices"] += 1
                continue
            form = _device(row)
            wrong = devices.check(form)
            if wrong:
                self.skipped.append(f"device {key}: {', '.join(sorted(wrong))}")
                continue
            await devices.insert_device(user_id, key, form)
            self.made["devices"] += 1

    async def _login(self, row: dict[str, Any]) -> str | None:
        login = str(row.get("login") or row.get("email") or "").strip()[:254]
        taken = "SELECT 1 FROM users WHERE login = ?"
        if login and not await DB.value(taken, (login,)):
            return login
        if self._on_clash != "rename" or not login:
            return None
        for n in range(2, 100):
            if not await DB.value(taken, (f"{login}-{n}",)):
                return f"{login}-{n}"
        return None

    async def _password_hash(self, login: str, stored: str) -> str | None:
        """A hash people can sign in with once; none of an account whose password everybody knows.

        How it is made is the origin's business (bcryptjs); whether it opens is the accounts'.
        """
        if not stored:
            return None
        if not origin.HASH.fullmatch(stored):
            self.skipped.append(f"password of {login}: of an unknown kind, so it must be set anew")
            return None
        if login == DEFAULT_ADMIN and await asyncio.to_thread(origin.is_default, stored):
            self.skipped.append(
                f"password of {login}: the one everybody knows; it must be set anew"
            )
            return None
        return stored

    async def _insert(self, key: str, login: str, row: dict[str, Any]) -> None:
        folder = row.get("output_dir")
        if folder and str(folder).startswith("/"):
            self.skipped.append(f"mirror folder of {login}: absolute")
            folder = None
        flags = _flags(row.get("flags"))
        role, locale = row.get("role"), row.get("locale")
        deleted = row.get("deleted_at")
        email = row.get("email")
        taken = "SELECT 1 FROM users WHERE email = ? AND deleted_at IS NULL"
        if email and await DB.value(taken, (email,)):
            email = None
        known = await self._password_hash(login, str(row.get("password_hash") or ""))
        await DB.execute(
            "INSERT INTO users (id, login, email, password_hash, role, flags, locale, is_active,"
            " device_profile, output_dir, auto_download_enabled, created_at, deleted_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, login, email, known if not deleted else None),
                role if role in {"user", "admin"} else "user",
                flags,
                locale if locale in LANGUAGES else "en",
                bool(row.get("is_active", 1)) and not deleted,
                row.get("device_profile") or None,
                folder or None,
                bool(row.get("auto_download_enabled")) and not deleted,
                origin.moment(row.get("created_at")),
                origin.moment(deleted) if deleted else None,
            ),
        )


def _flags(stored: Any) -> str:
    try:
        found = json.loads(stored or "{}")
    except ValueError:
        return "{}"
    return json.dumps(found) if isinstance(found, dict) else "{}"


def _device(row: dict[str, Any]) -> DeviceForm:
    url, login, password = str(row.get("proxy_url") or ""), "", ""
    parts = urlsplit(url)
    if parts.username is not None:
        login, password = unquote(parts.username), unquote(parts.password or "")
        host = parts.netloc.rpartition("@")[2]
        url = urlunsplit((parts.scheme, host, "", "", ""))
    place = (row.get("geolocation_latitude"), row.get("geolocation_longitude"))
    both = None not in place
    known = profiles.HONEST
    return msgspec.convert(
        {
            "name": str(row.get("name") or "")[:80],
            "user_agent": str(row.get("user_agent") or known.user_agent),
            "viewport_width": str(row.get("viewport_width")),
            "viewport_height": str(row.get("viewport_height")),
            "locale": str(row.get("locale") or known.locale),
            "timezone": str(row.get("timezone") or known.timezone),
            "latitude": f"{place[0]:g}" if both else "",
            "longitude": f"{place[1]:g}" if both else "",
            "proxy_url": url,
            "proxy_login": login,
            "proxy_password": password,
        },
        DeviceForm,
    )
