"""The whole program with rows such as real people leave behind, and a browser on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, ViewportSize

from app.core import notify
from db import clock
from db.engine import DB
from db.keys import uuid7
from tests.app.house import House
from tests.app.house import running as program
from tests.app.web.server import running as served

DESK: ViewportSize = {"width": 1366, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
# Sixty characters, as German offices write them.
LONG = "Semesterticketverlängerungsbescheinigung für Frau Wilhelmine"
STATES = ("succeeded", "failed", "cancelled")

PAGES = {
    "dashboard": "/",
    "notifications": "/notifications",
    "palette": "/palette?q=ticket",
    "jobs": "/jobs",
    "account": "/account",
    "tickets": "/tickets",
    "history": "/tickets/history",
    "settings": "/tickets/settings",
    "queue": "/admin/queue",
    "all_jobs": "/admin/queue/jobs",
    "invites": "/admin/invites",
    "patterns": "/admin/patterns",
    "missing": "/no/such/place",
}
DOORS = {"login": "/login", "join": "/join", "offline": "/offline"}

_JOB = """
INSERT INTO queueJobs (id, type, state, runAt, ownerUserId, label, attempts, lastError, errorCode,
  progress, progressMessage, lockedBy, lockedAt, lockExpiresAt, createdAt, updatedAt, startedAt,
  finishedAt)
VALUES (:id, :type, :state, :now + 86400000, :owner, :label, 1, :error, :code, :progress, :message,
  :worker, :lock, :until, :now - 90000, :now, :began, :ended)
"""


@dataclass
class Town:
    """A running program, its address, and somebody who may see everything."""

    house: House
    url: str
    user_id: str
    browser: Browser

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

    async def fill(self) -> dict[str, str]:
        """Fifty jobs and more, a ticket, notices, invites; further pages by name."""
        for number in range(52):
            await self.job(STATES[number % 3], LONG if number % 2 else "Download semester ticket")
        failed = await self.job("failed")
        busy = await self.job("running")
        await self.job("queued", type="tickets.later")
        await DB.execute(
            "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status,"
            " validation_status, product, holder_name, valid_from, valid_to, size_bytes, driver)"
            " VALUES (?, 'v1', ?, 'tickets/x/y/raw.html', 'success', 'valid', ?, ?,"
            " date('now', 'start of month'), date('now', '+20 days'), 184000, 'http')",
            (self.user_id, "0" * 64, LONG, "Wilhelmine von Hohenlohe-Schillingsfürst"),
        )
        for level in ("info", "good", "warn", "error"):
            await notify.tell(self.user_id, "tickets.new", LONG, level=level, link="/tickets")
        ticket = await DB.value("SELECT id FROM tickets")
        return {
            "ticket": f"/tickets/{ticket}",
            "failed_job": f"/admin/queue/jobs/{failed}",
            "running_job": f"/jobs/{busy}",
        }

    @asynccontextmanager
    async def tab(self, *, signed_in: bool = True, **look: Any) -> AsyncIterator[Page]:
        """A tab of a fresh browser profile."""
        usual = {"viewport": DESK, "locale": "en-GB", "reduced_motion": "reduce"}
        context = await self.browser.new_context(**{**usual, **look})
        if signed_in:
            token = await self.house.session(self.user_id)
            await context.add_cookies([{"name": "holdfast", "value": token, "url": self.url}])
        page = await context.new_page()
        page.set_default_timeout(15_000)
        try:
            yield page
        finally:
            await context.close()


@asynccontextmanager
async def town(database: Path, browser: Browser) -> AsyncIterator[Town]:
    """The program on a fresh file, listening, with one admin in it who may use everything."""
    async with program(database) as house, served(house.app) as url:
        user_id = await house.person("wilhelmine", role="admin")
        yield Town(house, url, user_id, browser)


async def each_look(page: Page, look: Callable[[str], Awaitable[None]]) -> None:
    """Run `look` on the page as it stands at both sizes in both themes."""
    for size in (DESK, PHONE):
        await page.set_viewport_size(size)
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme=theme)
            await look(f"{size['width']} px, {theme}")
