"""The account pages as a small application of their own, and a browser for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware

from app.accounts.pages.rooms import PAGES
from app.accounts.service import sessions
from app.core import settings
from app.ops.pages.shell import NoticePages, PalettePages, ShellPages
from app.ops.pages.targets import TargetPages
from app.web import auth, errors, offline, openapi, pages
from app.web.auth import WebRequest

HTTPS = "https://hafen.example.org"
HTTP = "http://localhost:8040"


@get("/", name="dashboard", opt={"access": "user"}, sync_to_thread=False)
def dashboard(request: WebRequest) -> str:
    return f"{request.user.login} {request.user.role}" if request.user else ""


@get("/jobs", name="my_jobs", opt={"access": "user"}, sync_to_thread=False)
def my_jobs() -> str:
    """The layout links to it."""
    return ""


@get("/live", name="live", opt={"access": "user"}, sync_to_thread=False)
def live() -> str:
    """The layout listens to it."""
    return ""


def make_app(data_dir: Path, *more: Any, **env: str) -> Litestar:
    chosen = settings.load({"data_dir": data_dir}, {"HOLDFAST_LOG_LEVEL": "error", **env})
    return Litestar(
        route_handlers=[
            *(*PAGES, ShellPages, NoticePages, PalettePages, TargetPages, *offline.ROUTES),
            *(openapi.openapi, dashboard, my_jobs, live, *more),
        ],
        middleware=[DefineMiddleware(auth.SessionMiddleware, read=sessions.read_session)],
        guards=[auth.guard],
        dependencies={"user_id": Provide(auth.provide_user_id)},
        exception_handlers=errors.EXCEPTION_HANDLERS,
        before_request=pages.speak,
        state=State({"settings": chosen, "nav": (), "api": (), "api_scopes": ("tickets",)}),
        openapi_config=None,
    )


@asynccontextmanager
async def browser(
    app: Any, base: str = HTTPS, ip: str = "192.0.2.7"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies, follows nothing, and comes from `ip`."""
    transport = httpx.ASGITransport(app, client=(ip, 50000))
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        yield client
