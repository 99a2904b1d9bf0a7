"""A small application that shows any template to anybody, under the real headers."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import httpx
from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.types import Receive, Scope, Send

from app.core.errors import Conflict, NotFound
from app.core.paths import TEMPLATES
from app.web import errors, offline
from app.web.assets import serve_asset
from app.web.auth import Principal, WebRequest
from app.web.headers import Headers
from app.web.pages import done, page, redirect, saved, speak, template_config
from tests.app.web import rooms, samples

samples.ALL.update(rooms.ROOMS)

NAV = (
    ("tickets", "Tickets", "/tickets", "ticket", "user:tickets"),
    ("firmware", "Firmware", "/firmware", "firmware", "user:firmware"),
    ("queue", "Queue", "/admin/queue", "queue", "admin"),
)
_URL = re.compile(r"""url_for\(['"](\w+)['"](?:, (\w+)=)?""")


def person(**more: Any) -> Principal:
    """Jana, an admin who may use tickets only; `more` changes her."""
    given: dict[str, Any] = {
        "id": "u1",
        "login": "jana",
        "role": "admin",
        "domains": ("tickets",),
        "locale": "en",
        "theme": "auto",
        "time_zone": "Europe/Berlin",
        "session_id": "s1",
        "auth_level": 1,
        "reauth_at": None,
    }
    return Principal(**{**given, **more})


@get("/show/{name:str}", opt={"access": "public"})
async def show(request: WebRequest, name: FromPath[str]) -> Any:
    sample = samples.ALL[name]
    return page(request, sample.template, block=sample.blocks, **sample.data)


@post("/save/{name:str}", opt={"access": "public"}, status_code=200)
async def save(request: WebRequest, name: FromPath[str]) -> Any:
    sample = samples.ALL[name]
    blocks = sample.blocks
    return saved(
        request, "/there", "tickets", sample.template, block=blocks, toast="Kept ✓", **sample.data
    )


@post("/row", opt={"access": "public"}, status_code=200)
async def row(request: WebRequest) -> Any:
    return done(request, "/there", "job-7")


@post("/move", opt={"access": "public"}, status_code=200)
async def move(request: WebRequest) -> Any:
    return redirect(request, "/there", toast="Moved")


@get("/broken", opt={"access": "public"})
async def broken() -> str:
    raise RuntimeError("a secret detail")


@get("/gone", opt={"access": "public"})
async def gone() -> str:
    raise NotFound


@post("/late", opt={"access": "public"})
async def late() -> str:
    raise Conflict("Somebody was faster.")


@get("/api/v1/gone", opt={"access": "public"})
async def api_gone() -> str:
    raise NotFound


OWN = (show, save, row, move, broken, gone, late, api_gone, serve_asset, *offline.ROUTES)


@lru_cache(maxsize=16)  # drawing a page changes no application
def make_app(user: Principal | None, *more: Any) -> Any:
    """The application as `user` sees it. Routes that templates link to answer with their name."""
    inner = Litestar(
        route_handlers=[
            *OWN,
            *more,
            *_linked({"static", "worker", "offline"} | {str(h.name) for h in more}),
        ],
        template_config=template_config(),
        exception_handlers=errors.EXCEPTION_HANDLERS,
        before_request=speak,
        state=State({"nav": NAV}),
        openapi_config=None,
    )

    async def signed_in(scope: Scope, receive: Receive, send: Send) -> None:
        scope["user"] = scope["auth"] = user
        await inner(scope, receive, send)

    return Headers(signed_in)


def browser(user: Principal | None, base: str = "http://localhost:8040") -> httpx.AsyncClient:
    """A client that keeps cookies and follows nothing."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(make_app(user)), base_url=base)


def asking(target: str = "") -> dict[str, str]:
    """The headers htmx sends for a fragment."""
    return {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": f"div#{target}"}


def _linked(but: set[str]) -> list[Any]:
    links: dict[str, str] = {}
    for file in sorted(TEMPLATES.rglob("*.html")):
        for name, argument in _URL.findall(file.read_text("utf-8")):
            links[name] = argument or links.get(name, "")
    return [_stub(name, argument) for name, argument in links.items() if name not in but]


def _stub(name: str, argument: str) -> Any:
    async def plain() -> str:
        return name

    if not argument:
        return get(f"/linked/{name}", name=name, opt={"access": "public"})(plain)
    kind = "int" if argument == "ticket_id" else "str"
    path = f"/linked/{name}/{{{argument}:{kind}}}"
    return get(path, name=name, opt={"access": "public"})(plain)
