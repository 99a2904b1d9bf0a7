"""`serve --demo`: starts the stand-ins, points the settings at them, makes people to sign in as."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.accounts.service import passwords, setup, users
from app.core import guard, settings
from app.core.logs import log
from app.core.settings import Settings
from app.demo import life
from app.demo.fus.serve import Fus, running_fus
from app.demo.portal.serve import Portal, running_portal
from app.tickets.service import choices, logins
from app.tickets.service.choices import Choices
from db.engine import DB

ADMIN, STUDENT = "admin", "demo"
FIRMWARE_BYTES, FIRMWARE_RATE = 96 * 1024 * 1024, 224 * 1024  # slow enough to be watched


@asynccontextmanager
async def running_demo(start: Settings) -> AsyncIterator[Portal]:
    """Stand-ins on loopback ports for as long as the program runs; nothing else can be reached."""
    guard.local_only(True)
    firmware = running_fus(size=FIRMWARE_BYTES, rate=FIRMWARE_RATE)
    async with running_portal() as portal, firmware as fus:
        await _point_at(portal)
        await _point_at_fus(fus)
        await _people(start)
        log.info("demo.portal", at=portal.sp_url, start=str(start.data_dir))
        yield portal


async def _point_at(portal: Portal) -> None:
    await settings.put("tickets.portal_url", portal.sp_url, None, actor_kind="system")
    await settings.put("tickets.idp_hosts", (portal.idp_host,), None, actor_kind="system")
    await settings.put("tickets.base_number", "uk009000", None, actor_kind="system")
    await settings.put("tickets.base_password", "pw-9000", None, actor_kind="system")
    order = f"curl -H 'Authorization: Bearer {portal.control_token}' -d '{{\"name\": \"consent\"}}'"
    print(f"\n  Portal scenarios:  {order} {portal.sp_url}/__scenario", flush=True)  # noqa: T201


async def _point_at_fus(fus: Fus) -> None:
    for name, value in {**fus.profile, "protocol": "smart"}.items():
        await settings.put(f"firmware.profile.{name}", value, None, actor_kind="system")
    await settings.put("firmware.confirmed", True, None, actor_kind="system")


async def _people(start: Settings) -> None:
    """An admin and a student with fresh passwords, printed once; the student's login is stored."""
    admin, student = secrets.token_urlsafe(9), secrets.token_urlsafe(9)
    fresh = await setup.is_open()
    if fresh:
        await setup.create_admin(ADMIN, admin)
    else:
        await _renew(ADMIN, admin)
    if await DB.value("SELECT 1 FROM users WHERE login = ?", (STUDENT,)):
        await _renew(STUDENT, student)
    else:
        user = users.tidy(STUDENT, "", student)
        hasher = await passwords.current_hasher()
        user_id = await users.insert_user(user, await hasher.hash(student), role="user")
        await logins.save_login(user_id, "uk000001", "pw-1")
        await choices.save_choices(user_id, Choices(auto_consent=True))
    if fresh:
        await life.settle(ADMIN, STUDENT)
    # Passwords of a demo that lives on this machine only, shown to who started it.
    print(  # noqa: T201
        f"\n  Open http://{start.host}:{start.port} and sign in:\n"
        f"\n      {ADMIN} / {admin}    (sees everything)"
        f"\n      {STUDENT} / {student}     (a student)\n",
        flush=True,
    )


async def _renew(login: str, password: str) -> None:
    hasher = await passwords.current_hasher()
    await DB.execute(
        "UPDATE users SET password_hash = ? WHERE login = ?", (await hasher.hash(password), login)
    )
