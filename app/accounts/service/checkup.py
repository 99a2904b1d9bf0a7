"""What `holdfast doctor` looks at in accounts and vault, and the bundle for whoever helps."""

import asyncio
import io
import json
import platform
import sys
import zipfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

import apsw
import msgspec

from app.accounts.service import passwords, rekey, setup
from app.core import (
    audit,
    doctor,
    doctor_disk,
    doctor_file,
    doctor_outside,
    paths,
    settings,
    vault,
)
from app.core.doctor import Finding
from app.core.i18n import FALLBACK, _, use
from app.core.ring import VaultError
from app.core.settings import Settings
from db import clock
from db.engine import DB

SLOW_MS, QUICK_MS = 1000.0, 5.0


async def look(
    chosen: Settings, env: Mapping[str, str], *, mend: bool = False
) -> AsyncIterator[Finding]:
    """The one list of all checks, on an open database; the vault is opened here, if it can be.

    Inside the running program the vault is open, and stays as it is.
    """
    for found in (*doctor.look(chosen, mend=mend), *doctor_disk.look(chosen)):
        yield found
    async for seen in doctor_file.look(chosen):
        yield seen
    settings.use(chosen)
    async for seen in _keys(chosen, env):
        yield seen
    if chosen.public_url:
        async for seen in doctor_outside.look(chosen.public_url):
            yield seen


async def _keys(chosen: Settings, env: Mapping[str, str]) -> AsyncIterator[Finding]:
    if not await DB.value("SELECT 1 FROM vault_keys"):  # opening it would make keys: not our place
        yield Finding(name="key ring", state="ok", text=_("not made yet; the first start makes it"))
        return
    try:
        if not vault.is_loaded():
            await vault.load(chosen.data_dir, env)
    except VaultError as error:
        yield Finding(
            name="key ring",
            state="bad",
            text=str(error),
            hint=_("bring the key back, or give the secrets up with: holdfast vault forget"),
        )
    else:
        async for found in _vault():
            yield found
    async for found in _people():
        yield found
    yield await _argon2()


async def _vault() -> AsyncIterator[Finding]:
    now = await rekey.get_standing()
    yield Finding(
        name="key ring",
        state="ok",
        text=_(
            "opens this database; current key %(key)s from %(source)s",
            key=now.kids[0],
            source=now.source,
        ),
    )
    yield Finding(
        name="stored secrets",
        state="bad" if now.unreadable else "ok",
        text=_("%(n)s sealed, %(bad)s of them cannot be opened", n=now.values, bad=now.unreadable),
        hint=_("people must enter those again") if now.unreadable else "",
    )
    bad = await audit.verify()
    yield Finding(
        name="audit log",
        state="ok" if bad is None else "bad",
        text=_("the chain is whole")
        if bad is None
        else _("the chain breaks at line %(line)s", line=bad),
        hint="" if bad is None else _("somebody wrote to the file: compare with a copy"),
    )


async def _people() -> AsyncIterator[Finding]:
    if await setup.is_open():
        yield Finding(
            name="accounts",
            state="warn",
            text=_("there is no admin yet"),
            hint=_("open /setup with the token in the file %(file)s", file=setup.TOKEN_FILE),
        )
        return
    bare = await DB.all(
        "SELECT login FROM users u WHERE role = 'admin' AND is_active = 1 AND deleted_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM passkeys p WHERE p.user_id = u.id) AND NOT EXISTS (SELECT 1"
        " FROM totp_secrets t WHERE t.user_id = u.id AND t.confirmed_at IS NOT NULL) ORDER BY login"
    )
    names = ", ".join(row["login"] for row in bare)
    yield Finding(
        name="accounts",
        state="warn" if bare else "ok",
        text=_("admins without a second factor: %(names)s", names=names)
        if bare
        else _("every admin has a second factor"),
        hint=_("set one up at /account/security") if bare else "",
    )


async def _argon2() -> Finding:
    hasher = await passwords.current_hasher()
    begun = clock.monotonic()
    await hasher.verify(None, "a password that nobody has")
    took = (clock.monotonic() - begun) * 1000
    preset = await settings.get("accounts.argon2_preset")
    fits = QUICK_MS <= took <= SLOW_MS
    return Finding(
        name="password hashing",
        state="ok" if fits else "warn",
        text=_("%(ms)s ms with the preset %(preset)s", ms=round(took), preset=preset),
        hint=""
        if fits or took < QUICK_MS
        else _("%(setting)s costs less", setting="HOLDFAST_ACCOUNTS_ARGON2_PRESET=small"),
    )


async def look_running(chosen: Settings, env: Mapping[str, str]) -> list[Finding]:
    """The same inside the running program; nothing is mended."""
    return [found async for found in look(chosen, env)]


async def hand_out(
    chosen: Settings, env: Mapping[str, str], actor_id: str, *, ip: str = ""
) -> bytes:
    """The bundle for an admin who asks in the browser, in English for any helper; audited."""
    with use(FALLBACK):
        packed = await bundle(await look_running(chosen, env))
    await audit.record("system.bundle_fetched", actor_id=actor_id, ip=ip)
    return packed


def versions() -> dict[str, Any]:
    """What runs here, to be named in a question."""
    return {
        "holdfast": paths.version(),
        "python": sys.version.split()[0],
        "sqlite": apsw.sqlite_lib_version(),
        "system": platform.platform(),
    }


async def bundle(findings: list[Finding]) -> bytes:
    """A zip for whoever helps: versions, settings, findings and sizes; no secret, no person."""
    tables = await DB.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    counts = {
        row["name"]: await DB.value(f'SELECT count(*) FROM "{row["name"]}"')  # noqa: S608
        for row in tables
    }
    told = [one for one in findings if one.name != "accounts"]  # it names people
    parts = {
        "versions.json": {**versions(), "schema": await DB.value("PRAGMA user_version")},
        "findings.json": msgspec.to_builtins(told),
        "settings.json": await doctor.describe_settings(),
        "rows.json": counts,
    }
    return await asyncio.to_thread(_zipped, parts)


def _zipped(parts: Mapping[str, object]) -> bytes:
    filled = io.BytesIO()
    with zipfile.ZipFile(filled, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, json.dumps(part, indent=2, ensure_ascii=False))
    return filled.getvalue()
