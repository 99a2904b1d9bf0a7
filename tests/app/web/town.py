"""The whole program with rows such as real people leave behind, and a browser on it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, ViewportSize

from app.accounts.service import invites, resets, sessions
from app.accounts.service.sessions import Caller
from app.core import notify, settings
from app.tickets.paper import document
from db import clock
from db.engine import DB
from db.keys import uuid7
from tests.app.house import House
from tests.app.house import running as program
from tests.app.web.places import Place, places
from tests.app.web.server import running as served

DESK: ViewportSize = {"width": 1366, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
# Sixty characters, as German offices write them.
HOLDER = "Wilhelmine von Hohenlohe-Schillingsfürst"
LONG = "Semesterticketverlängerungsbescheinigung für Frau Wilhelmine"
STATES = ("succeeded", "failed", "cancelled")

_JOB = """
INSERT INTO queueJobs (id, type, state, runAt, ownerUserId, label, attempts, lastError, errorCode,
  progress, progressMessage, lockedBy, lockedAt, lockExpiresAt, createdAt, updatedAt, startedAt,
  finishedAt)
VALUES (:id, :type, :state, :now + 86400000, :owner, :label, 1, :error, :code, :progress, :message,
  :worker, :lock, :until, :now - 90000, :now, :began, :ended)
"""
_PERSON = """
INSERT INTO users (id, login, email, role, invited_by, is_active, created_at, last_login_at)
VALUES (:id, :login, :email, 'user', :by, :active, :at, :at)
"""
_INVITE = """
INSERT INTO invite_tokens (token, created_by, expires_at, created_at, label, email, role)
VALUES (:token, :by, :until, :at, :label, :email, 'user')
"""
# The smallest picture there is; what is in the files is shown elsewhere.
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEANl9ngAAAAABJRU5ErkJggg=="
)
_FILES = ((document.VIEW, b"<p>a ticket</p>"), (document.CODE, _PNG), (document.PDF, b"%PDF-1.4"))
_THINGS = (
    "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status,"
    " validation_status, product, holder_name, valid_from, valid_to, size_bytes, driver)"
    " SELECT :me, version, printf('%064d', months), 'tickets/' || version || '/raw.html',"
    " 'success', 'valid', :long, :holder,"
    " date('now', 'start of month', months), date('now', '+20 days', months), 184000, 'http'"
    " FROM (SELECT 'old' AS version, '-1 month' AS months UNION ALL SELECT 'new', '+0 month')",
    "INSERT INTO firmware (version_code, filename, path, size_bytes, logic_value_factory,"
    " latest_fw_version, model, csc, state)"
    " VALUES ('S921BXXU1AXA1/S921BOXM1AXA1/S921BXXU1AXA1/S921BXXU1AXA1', 'SM-S921B.zip.enc4',"
    " '/neofus/1/', 96000000, 'x', 'x', 'SM-S921B', 'EUX', 'new')",
    "INSERT INTO queue_batches (id, label, ownerUserId, total, pending, succeeded, createdAt)"
    " VALUES ('batch', :long, :me, 9, 3, 6, :now)",
    "INSERT INTO device_profiles (id, user_id, name, user_agent, viewport_width, viewport_height)"
    " VALUES ('profile', :me, :long, 'Mozilla/5.0', 390, 844)",
)


def _person(number: int, by: str) -> dict[str, Any]:
    name = f"Wilhelmine-Friederike {number:02}" if number % 2 else f"tom{number:02}"
    return {
        "id": f"person-{number:02}",
        "login": name,
        "email": f"{number:02}@example.org",
        "by": by,
        "active": int(number % 9 != 0),
        "at": clock.text(clock.now() - timedelta(hours=number)),
    }


def _invite(number: int, by: str) -> dict[str, Any]:
    return {
        "token": f"{number:08x}" + "0" * 56,
        "by": by,
        "until": clock.text(clock.now() + timedelta(hours=number - 20)),
        "at": clock.text(clock.now() - timedelta(hours=number)),
        "label": LONG if number % 2 else f"Guest {number:02}",
        "email": f"guest{number:02}@example.org",
    }


@dataclass
class Town:
    """A running program, its address, and somebody who may see everything."""

    house: House
    url: str
    user_id: str
    browser: Browser
    ids: dict[str, str] = field(default_factory=dict)

    async def job(self, state: str, label: str = LONG, **more: Any) -> str:
        """A job of ours in that state; its id."""
        busy, over, now = state == "running", state in STATES, clock.ms()
        given = {
            "id": uuid7(),
            "type": "tickets.download",
            "state": state,
            "owner": self.user_id,
            "label": label,
            "error": "The portal did not answer in time." if state == "failed" else None,
            "code": "timeout" if state == "failed" else None,
            "progress": 63 if busy else None,
            "message": "14 of 22" if busy else None,
            "worker": self.house.app.litestar.state.worker.id if busy else None,
            "lock": now if busy else None,
            "until": now + 86_400_000 if busy else None,
            "now": now,
            "began": now - 80_000 if busy or over else None,
            "ended": now if over else None,
        }
        await DB.execute(_JOB, {**given, **more})
        return str(more.get("id", given["id"]))

    async def fill(self) -> None:
        """Rows enough for a second page in every list, and one of each thing that has a page."""
        for number in range(52):
            await self.job(STATES[number % 3], LONG if number % 2 else "Download semester ticket")
        self.ids |= {"job_id": await self.job("failed"), "running": await self.job("running")}
        await self.job("queued", type="tickets.later")
        async with DB.tx():
            for number in range(55):
                await DB.execute(_PERSON, _person(number, self.user_id))
                await DB.execute(_INVITE, _invite(number, self.user_id))
        for level in ("info", "good", "warn", "error"):
            await notify.tell(self.user_id, "tickets.new", LONG, level=level, link="/tickets")
        for sql in _THINGS:
            await DB.execute(
                sql, {"me": self.user_id, "long": LONG, "holder": HOLDER, "now": clock.ms()}
            )
        for version in ("old", "new"):
            folder = self.house.app.settings.data_dir / "tickets" / version
            folder.mkdir(parents=True)
            for name, content in (
                *_FILES,
                (document.RAW, f"<p>{LONG}</p><p>{version}</p>".encode()),
            ):
                (folder / name).write_bytes(content)
        await settings.put("tickets.admin_can_view", True, None, actor_kind="system")
        self.ids |= {
            "ticket_id": str(await DB.value("SELECT max(id) FROM tickets")),
            "firmware_id": str(await DB.value("SELECT id FROM firmware")),
            "batch_id": "batch",
            "profile_id": "profile",
            "person": _person(7, "")["id"],
            "person_id": self.user_id,
        }

    async def doors(self) -> list[Place]:
        """The pages of who is not signed in, those behind a link of one's own too."""
        reset = await resets.make_link(self.user_id, self.ids["person"])
        invite = await invites.create_invite(self.user_id)
        return [
            *(each for each in self.places() if each.outside),
            Place("reset", f"/reset/{reset.secret}", "anon_only"),
            Place("join", f"/join/{invite.secret}", "anon_only"),
        ]

    async def half_way(self) -> str:
        """A session that still waits for its second factor."""
        return await sessions.start_session(self.user_id, Caller(ip="192.0.2.7"), auth_level=0)

    def places(self) -> list[Place]:
        """Every page of the program, with things to show where it shows a thing."""
        return list(places(self.house.app.litestar, self.ids))

    @asynccontextmanager
    async def tab(self, *, token: str | None = "", **look: Any) -> AsyncIterator[Page]:
        """A tab of a fresh browser profile, signed in; `token`: as whom else, None: nobody."""
        usual = {"viewport": DESK, "locale": "en-GB", "reduced_motion": "reduce"}
        context = await self.browser.new_context(**{**usual, **look})
        if token is not None:
            token = token or await self.house.session(self.user_id)
            await context.add_cookies([{"name": "holdfast", "value": token, "url": self.url}])
        page = await context.new_page()
        page.set_default_timeout(15_000)
        try:
            yield page
        finally:
            await context.close()


@asynccontextmanager
async def town(database: Path, browser: Browser, **chosen: Any) -> AsyncIterator[Town]:
    """The program on a fresh file, listening, with one admin in it who may use everything."""
    async with program(database, **chosen) as house, served(house.app) as url:
        user_id = await house.person("wilhelmine", role="admin")
        yield Town(house, url, user_id, browser)


async def each_look(page: Page, look: Callable[[str], Awaitable[None]]) -> None:
    """Run `look` on the page as it stands at both sizes in both themes."""
    for size in (DESK, PHONE):
        await page.set_viewport_size(size)
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme=theme)
            await look(f"{size['width']} px, {theme}")
