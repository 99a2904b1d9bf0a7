"""The running program with its stand-in portal, and students who use it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from app.core import settings
from app.demo.portal.serve import Portal, running_portal
from app.tickets.service import choices, logins, runs
from app.tickets.service.choices import Choices
from db import clock
from db.engine import DB
from jobs import rates
from tests.app.house import House, running

PATIENCE_S = 30
FAST = 100_000  # starts a minute: the limiter is there and out of the way


@dataclass(frozen=True)
class Desk:
    """What the tests of the service and the pages work with."""

    house: House
    portal: Portal

    async def student(self, number: int = 1, *, password: str = "", **chosen: Any) -> str:
        """An account with a stored portal login; its id. Consent is given unless said otherwise."""
        user_id = await self.house.person(f"student{number}")
        await logins.save_login(user_id, f"uk{number:06}", password or f"pw-{number}")
        wanted = {"auto_consent": True, **chosen}
        auto = wanted.pop("auto_download", False)
        await choices.save_choices(user_id, Choices(**wanted))
        if auto:
            await DB.execute("UPDATE users SET auto_download_enabled = 1 WHERE id = ?", (user_id,))
        return user_id

    async def admin(self) -> str:
        """An admin's account."""
        return await self.house.person("boss", role="admin")

    async def run(self, user_id: str, trigger: str = "manual") -> dict[str, Any]:
        """One ordered download, waited for; its newest history line."""
        await runs.order_download(user_id, trigger)
        await self.idle()
        return await self.last(user_id)

    async def idle(self, patience_s: float = PATIENCE_S) -> None:
        """Until no job of the tickets is due or running."""
        with anyio.fail_after(patience_s):
            while await DB.value(  # noqa: ASYNC110 - a wait from outside the queue
                "SELECT 1 FROM queueJobs WHERE type LIKE 'tickets.%' AND (state = 'running'"
                " OR (state = 'queued' AND runAt <= ?))",
                (clock.ms(),),
            ):
                await anyio.sleep(0.01)

    async def looked(self) -> None:
        """Until the worker has looked for work once more and begun what it may."""
        worker = self.house.app.litestar.state.worker
        for _ in range(2):  # the look under way may have begun before what was asked
            turns = worker.turns
            worker.poke()
            with anyio.fail_after(PATIENCE_S):
                while worker.turns == turns:  # noqa: ASYNC110 - a wait from outside the queue
                    await anyio.sleep(0.005)

    async def last(self, user_id: str) -> dict[str, Any]:
        """The newest history line of somebody."""
        row = await DB.one(
            "SELECT * FROM ticket_download_history WHERE user_id = ? ORDER BY id DESC LIMIT 1",
            (user_id,),
        )
        assert row is not None
        return row

    async def job(self, kind: str = "tickets.download") -> dict[str, Any]:
        """The newest job of a type."""
        row = await DB.one("SELECT * FROM queueJobs WHERE type = ? ORDER BY id DESC", (kind,))
        assert row is not None
        return row

    async def notices(self, user_id: str) -> list[str]:
        """Kinds of the notices of somebody, oldest first."""
        rows = await DB.all(
            "SELECT kind FROM notifications WHERE user_id = ? ORDER BY id", (user_id,)
        )
        return [row["kind"] for row in rows]

    def posts(self) -> int:
        """How often the portal was sent a password."""
        return sum(line["kind"] == "password" for line in self.portal.log())


@asynccontextmanager
async def opened(database: Path) -> AsyncIterator[Desk]:
    """The program pointed at a fresh stand-in, its pace so high that nobody waits."""
    async with running_portal() as portal, running(database) as house:
        await point_at(portal)
        yield Desk(house, portal)


async def point_at(portal: Portal, more: Mapping[str, Any] | None = None) -> None:
    given = {"portal_url": portal.sp_url, "idp_hosts": (portal.idp_host,), **(more or {})}
    for name, value in given.items():
        await settings.put(f"tickets.{name}", value, None, actor_kind="system")
    await rates.put("nvv", FAST, per_s=60, burst=FAST)


def said(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a history line tells beside its outcome."""
    return dict(json.loads(row["message"] or "{}"))
