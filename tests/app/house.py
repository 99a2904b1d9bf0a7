"""The whole program in the test's own event loop, with people in it and a browser for each."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.accounts.service import sessions
from app.accounts.service.sessions import Caller
from app.asgi import App, create_app
from app.core import settings
from db.engine import DB
from db.keys import uuid7

HOME = "http://localhost:8040"


@dataclass(frozen=True)
class House:
    """The running program. Its doors answer like the real ones, sessions included."""

    app: App

    def client(self, token: str = "", ip: str = "192.0.2.7") -> httpx.AsyncClient:
        """A browser with that session that comes from our own pages and follows nothing."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(ip, 50000)),
            base_url=HOME,
            headers={"Origin": HOME},
            cookies={"holdfast": token} if token else {},
        )

    async def person(self, login: str, *, role: str = "user", flags: str = "{}") -> str:
        """A new account; its id. It has no password: tests hand out sessions themselves."""
        user_id = uuid7()
        await DB.execute(
            "INSERT INTO users (id, login, role, flags) VALUES (?, ?, ?, ?)",
            (user_id, login, role, flags),
        )
        return user_id

    async def session(self, user_id: str) -> str:
        """A fresh session's token."""
        return await sessions.start_session(user_id, Caller(ip="192.0.2.7"))

    async def browser(self, user_id: str) -> httpx.AsyncClient:
        """A browser that is signed in."""
        return self.client(await self.session(user_id))


@asynccontextmanager
async def running(database: Path, **chosen: Any) -> AsyncIterator[House]:
    """The program on a migrated file, from start to end; stand-ins only if asked for."""
    given = {"data_dir": database.parent, "log_level": "error", "rate_anonymous": 0, **chosen}
    app = create_app(settings.load(given, {}), {})
    async with app.litestar.lifespan():
        yield House(app)


def marker() -> str:
    """A text that stands nowhere else."""
    return f"marker{secrets.token_hex(6)}"
