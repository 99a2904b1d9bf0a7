"""What a person chose for their tickets: consent, notices, name to expect, device to appear as."""

import json
from typing import Any

import msgspec

from app.core.errors import Invalid
from app.core.i18n import _
from app.tickets import profiles
from app.tickets.payloads import Download
from app.tickets.service import logins
from db.engine import DB
from jobs.enqueue import enqueue

NAME_LIMIT = 120


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """The key `tickets` of `users.flags`, and the two columns beside it."""

    auto_download: bool = False
    auto_consent: bool = False
    accept_terms: bool = False
    holder_name: str = ""
    notify_new: bool = True
    notify_failed: bool = True
    notify_expiring: bool = True
    device_profile: str = ""
    decided: bool = False


async def get_choices(user_id: str) -> Choices:
    """What was chosen, or the defaults: nothing is agreed to that nobody agreed to."""
    row = await DB.one(
        "SELECT auto_download_enabled, device_profile, flags FROM users WHERE id = ?", (user_id,)
    )
    flags: dict[str, Any] = json.loads(row["flags"]) if row else {}
    chosen: dict[str, Any] = flags.get("tickets", {})
    notify = chosen.get("notify", {})
    return Choices(
        auto_download=bool(row and row["auto_download_enabled"]),
        auto_consent=bool(chosen.get("auto_consent")),
        accept_terms=bool(chosen.get("accept_terms")),
        holder_name=str(chosen.get("holder_name") or ""),
        notify_new=bool(notify.get("new", True)),
        notify_failed=bool(notify.get("failed", True)),
        notify_expiring=bool(notify.get("expiring", True)),
        device_profile=str((row and row["device_profile"]) or ""),
        decided="auto_consent" in chosen,
    )


async def check_choices(user_id: str, chosen: Choices) -> None:
    """Raise Invalid where `save_choices` would, before anything else of the form is kept."""
    if len(chosen.holder_name) > NAME_LIMIT or not chosen.holder_name.isprintable():
        raise Invalid(holder_name=_("A name has at most %(n)s characters.", n=NAME_LIMIT))
    if chosen.device_profile and not await _is_device(user_id, chosen.device_profile):
        raise Invalid(device_profile=_("There is no such device."))


async def save_choices(user_id: str, chosen: Choices) -> None:
    """Keep the choices; keys of others in `flags` stay untouched. Raises Invalid."""
    await check_choices(user_id, chosen)
    mine = {
        "auto_consent": chosen.auto_consent,
        "accept_terms": chosen.accept_terms,
        "holder_name": chosen.holder_name or None,
        "notify": {
            "new": chosen.notify_new,
            "failed": chosen.notify_failed,
            "expiring": chosen.notify_expiring,
        },
    }
    async with DB.tx():
        was_on = await DB.value("SELECT auto_download_enabled FROM users WHERE id = ?", (user_id,))
        await DB.execute(
            "UPDATE users SET flags = json_set(flags, '$.tickets',"
            " json_patch(coalesce(flags -> '$.tickets', '{}'), ?2)),"
            " auto_download_enabled = ?3, device_profile = ?4 WHERE id = ?1",
            (user_id, json.dumps(mine), chosen.auto_download, chosen.device_profile or None),
        )
        if chosen.auto_download and not was_on:
            await _first_download(user_id)


async def _is_device(user_id: str, chosen: str) -> bool:
    return profiles.find_preset(chosen) is not None or bool(
        await DB.value(
            "SELECT 1 FROM device_profiles WHERE id = ? AND user_id = ?", (chosen, user_id)
        )
    )


async def _first_download(user_id: str) -> None:
    """Whoever opts in is served at once; joins the open transaction."""
    login = await logins.find_login(user_id)
    if login is not None and not login.is_blocked:
        payload = Download(user_id=user_id, revision=login.revision, trigger="auto")
        await enqueue(payload, owner=user_id)
