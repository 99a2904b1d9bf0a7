"""Closed for repair: while the database file is known to be damaged, no page is served from it."""

from collections.abc import Callable
from typing import Final

from app.web.headers import App, Receive, Scope, Send
from app.web.links import inner_path

# Supervisors still ask, and the page that says so still wants its looks.
OPEN: Final = ("/healthz", "/readyz", "/static/")


class Closed:
    """Hands every request to `refuse` while `is_damaged` says so.

    What a damaged file shows may be wrong, and what is written to it may be lost.
    """

    def __init__(self, app: App, is_damaged: Callable[[], bool], refuse: App) -> None:
        self._app = app
        self._is_damaged = is_damaged
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        shut = scope["type"] == "http" and self._is_damaged()
        if shut and not inner_path(scope).startswith(OPEN):
            await self._refuse(scope, receive, send)
        else:
            await self._app(scope, receive, send)
