"""The portal as admins set it up: settings, the probe, pinned hosts, patterns tried out."""

import asyncio
from pathlib import PurePosixPath
from typing import Any

import msgspec

from app.core import paths
from app.core import settings as core
from app.core.errors import Conflict, Invalid
from app.core.files import inside, read_bytes
from app.core.i18n import _
from app.tickets import settings
from app.tickets.client import chromium, probe
from app.tickets.outcomes import Fault
from app.tickets.paper import document
from app.tickets.paper.canonical import Ignore, steady
from app.tickets.paper.page import Page
from app.tickets.service import visits
from app.tickets.service.wording import wording
from db.engine import DB

FILE_LIMIT = 32 * 1024 * 1024


class Tried(msgspec.Struct, frozen=True):
    """How many lines of the newest page a pattern drops. No line is shown: it is somebody's."""

    pattern: str
    lines: int
    total: int
    slow: bool


async def show_settings() -> list[core.Shown]:
    """Every key of the domain with its value and source."""
    return [await core.show(setting.name) for setting in settings.KEYS]


async def save_settings(admin_id: str, given: dict[str, str], *, ip: str = "") -> None:
    """Store what changed. Raises Invalid with every key that does not fit; then nothing changed.

    A secret left empty stays; a list is one entry to a line.
    """
    errors: dict[str, str] = {}
    changes: dict[str, Any] = {}
    if unknown := sorted(set(given) - {setting.name for setting in settings.KEYS}):
        raise Invalid(form=_("This form has a field we do not know: %(name)s", name=unknown[0]))
    for setting in settings.KEYS:
        if setting.name not in given:
            continue
        shown = await core.show(setting.name)
        typed: Any = given[setting.name]
        if setting.kind is tuple:
            typed = tuple(line.strip() for line in typed.splitlines() if line.strip())
        if shown.locked or (setting.secret and not typed):
            continue
        try:
            value = core.parse(setting, typed)
        except ValueError as error:
            errors[setting.name] = str(error)
            continue
        if setting.secret or value != shown.value:
            changes[setting.name] = value
    if errors:
        raise Invalid(**errors)
    async with DB.tx():
        for name, value in changes.items():
            await core.put(name, value, admin_id, ip=ip)


async def look() -> probe.Probe:
    """Walk up to the login page of the portal, without a login."""
    return await probe.probe(await visits.portal_policy())


async def pin(admin_id: str, hosts: list[str], *, ip: str = "") -> None:
    """These hosts may be sent a portal password, and no others."""
    clean = tuple(dict.fromkeys(host.strip().lower() for host in hosts if host.strip()))
    await core.put("tickets.idp_hosts", clean, admin_id, ip=ip)


async def try_patterns(lines: list[str]) -> list[Tried]:
    """Each pattern on the newest stored page; Invalid for one that cannot be used."""
    newest = await DB.value(
        "SELECT file_path FROM tickets WHERE status = 'success' ORDER BY downloaded_at DESC LIMIT 1"
    )
    if newest is None:
        raise Conflict(_("There is no page yet to try them on."))
    folder = PurePosixPath(newest).parent
    path = inside(paths.data_dir(), *folder.parts, document.RAW)

    def attempt() -> list[Tried]:
        headers = {"content-type": "text/html"}
        page = steady(Page("", read_bytes(path, FILE_LIMIT), headers=headers).lines)
        tried = []
        for pattern in lines:
            kept, slow = Ignore((pattern,)).keep(page)
            tried.append(Tried(pattern, len(page) - len(kept), len(page), bool(slow)))
        return tried

    try:
        return await asyncio.to_thread(attempt)
    except ValueError as error:
        raise Invalid(**{"tickets.ignore_patterns": str(error)}) from None


async def test_browser() -> str:
    """The version of the browser that starts; Conflict with the reason where none does."""
    try:
        return await chromium.self_test(str(await settings.get("browser_path")))
    except Fault as fault:
        raise Conflict(wording(fault.outcome).text) from fault
