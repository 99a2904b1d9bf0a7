"""What a run of one person is told: the portal, their choices, the device and the way to fetch."""

import json

import msgspec

from app.core import vault
from app.core.errors import NotFound
from app.core.ring import VaultError
from app.core.secret import SecretStr
from app.tickets import profiles, settings, words
from app.tickets.client import drivers
from app.tickets.client.driver import BeforePost, Credential, FetchResult, Policy, Progress
from app.tickets.profiles import Profile
from app.tickets.service.records import Person
from db.engine import DB

PRIVATE_FOR = "admin"


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The device a run appears as. `unknown`: what was chosen is gone; the default stands in."""

    profile: Profile
    name: str
    proxy_url: str | None = None
    proxy_login: tuple[str, SecretStr] | None = None
    private_proxy: bool = False
    unknown: bool = False


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One prepared run: go with `fetch`."""

    policy: Policy
    device: Device
    driver: str
    browser_path: str

    async def fetch(
        self, credential: Credential, progress: Progress, before_post: BeforePost | None
    ) -> FetchResult:
        """The driver's answer; raises Fault."""
        return await drivers.fetch(
            self.driver,
            credential,
            self.device.profile,
            self.policy,
            progress,
            before_post=before_post,
            browser_path=self.browser_path,
        )


async def prepare(person: Person, *, login_only: bool = False) -> Visit:
    """The rules of a run for this person, from the settings and their own choices."""
    known = await DB.all(
        "SELECT ticket_version FROM tickets WHERE user_id = ? AND status = 'success'", (person.id,)
    )
    device = await find_device(person.id, person.device)
    policy = msgspec.structs.replace(
        await portal_policy(),
        auto_consent=bool(person.choices.get("auto_consent")),
        accept_terms=bool(person.choices.get("accept_terms")),
        login_only=login_only,
        known_versions=frozenset(row["ticket_version"] for row in known),
        proxy_url=device.proxy_url,
        proxy_login=device.proxy_login,
        allow_private_proxy=device.private_proxy,
    )
    return Visit(
        policy=policy,
        device=device,
        driver=str(person.choices.get("driver") or await settings.get("driver")),
        browser_path=str(await settings.get("browser_path")),
    )


async def portal_policy() -> Policy:
    """The portal as the settings describe it, with nobody's choices: nothing is agreed to."""
    volatile = await DB.value("SELECT volatile_json FROM base_ticket_state")
    accept = await settings.get("accept_words")
    maintenance = await settings.get("maintenance_words")
    return Policy(
        portal_url=await settings.get("portal_url"),
        idp_hosts=await settings.get("idp_hosts"),
        markers=await settings.get("markers"),
        ignore_patterns=await settings.get("ignore_patterns"),
        accept_words=words.ACCEPT | {word.strip().casefold() for word in accept},
        maintenance_words=(*words.MAINTENANCE, *(word.casefold() for word in maintenance)),
        volatile=frozenset(json.loads(volatile or "[]")),
    )


async def find_device(user_id: str, chosen: str | None) -> Device:
    """The preset or own profile of this name or id; for an unknown one the default."""
    preset = profiles.find_preset(chosen)
    if preset is not None:
        return Device(profile=preset, name=preset.name)
    row = await DB.one(
        "SELECT p.*, u.role FROM device_profiles p JOIN users u ON u.id = p.user_id"
        " WHERE p.id = ? AND p.user_id = ?",
        (chosen, user_id),
    )
    if row is None:
        return Device(profile=profiles.HONEST, name=profiles.DEFAULT, unknown=True)
    profile = Profile(
        name=row["name"],
        user_agent=row["user_agent"],
        viewport_width=row["viewport_width"],
        viewport_height=row["viewport_height"],
        locale=row["locale"],
        timezone=row["timezone"],
        is_mobile=bool(row["is_mobile"]),
        has_touch=bool(row["has_touch"]),
        device_scale_factor=row["device_scale_factor"],
        latitude=row["geolocation_latitude"],
        longitude=row["geolocation_longitude"],
        own=True,
    )
    private = row["role"] == PRIVATE_FOR
    proxied = row["proxy_url"] and (private or await settings.get("allow_user_proxy"))
    return Device(
        profile=profile,
        name=row["name"],
        proxy_url=row["proxy_url"] if proxied else None,
        proxy_login=_proxy_login(row["id"], row["proxy_auth_encrypted"]) if proxied else None,
        private_proxy=private,
    )


def _proxy_login(profile_id: str, sealed: str | None) -> tuple[str, SecretStr] | None:
    if not sealed:
        return None
    try:
        stored = vault.open("device_profiles", "proxy_auth_encrypted", profile_id, sealed)
    except VaultError as error:
        raise NotFound from error
    name, _, password = stored.reveal().partition(":")
    return name, SecretStr(password)
