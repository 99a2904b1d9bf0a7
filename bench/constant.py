"""The peer of the list page: the same template from a constant list, with nothing behind it.

No session, no database, no middleware; the same server, settings and rendering call.
"""

import asyncio
import sys
from typing import Any

import uvicorn
import uvloop
from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.di import Provide

from app import domains
from app.server import http_config
from app.web import offline, sse
from app.web.auth import Principal, WebRequest, provide_user_id
from app.web.pages import page
from db.keys import uuid7

ROWS = [
    {
        "id": key,
        "label": "Download semester ticket",
        "type": "tickets.download",
        "look": "success",
        "word": "done",
        "progress": None,
        "text": "",
        "age_s": 2.0,
        "attempts": 1,
        "max_attempts": 5,
        "owner": "",
        "url": f"/jobs/{key}",
        "cancel_url": "",
        "retry_url": "",
        "run_url": "",
    }
    for key in (uuid7() for _ in range(50))
]
WORDS = ("All", "Queued", "Running", "Done", "Failed", "Cancelled")
DATA: dict[str, Any] = {
    "mine": True,
    "tabs": [{"title": word, "url": "/jobs", "here": False, "count": None} for word in WORDS],
    "q": "",
    "state": "",
    "states": [],
    "scope": "",
    "rows": ROWS,
    "newer": 0,
    "newest_url": "/jobs",
    "here_url": "/jobs",
    "tabs_url": "/jobs",
    "newer_url": "",
    "older_url": "/jobs?before=1",
    "search_url": "/jobs",
    "sections": [],
    "matching": 0,
    "newest": "",
    "bulk_actions": [],
}
SOMEBODY = Principal(
    id=uuid7(),
    login="owner",
    role="admin",
    domains=("tickets", "audiobooks", "projects", "campaigns", "firmware"),
    locale="en",
    theme="auto",
    time_zone="",
    session_id="",
    auth_level=1,
    reauth_at=None,
)


@get("/constant", opt={"access": "public"})
async def constant(request: WebRequest) -> Response[str]:
    """The list of jobs, always the same."""
    return page(request, "ops/jobs.html", block="job_rows", **DATA)


def make_app() -> Any:
    """The peer as an ASGI application."""
    routes = [handler for domain in domains.ALL for handler in domain.pages]
    nav = [item for domain in domains.ALL for item in domain.nav]
    litestar = Litestar(
        [constant, sse.live, *offline.ROUTES, *routes],
        dependencies={"user_id": Provide(provide_user_id)},
        openapi_config=None,
        logging_config=None,
        state=State({"nav": nav}),
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["user"], scope["csp_nonce"] = SOMEBODY, "constant"
        await litestar(scope, receive, send)

    return app


async def serve(port: int) -> None:
    """Listen until ended."""
    config = http_config(make_app())
    config.port = port
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
