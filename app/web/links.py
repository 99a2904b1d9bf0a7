"""Addresses of our own routes, below the path that a proxy shows us under.

The one rule: `route_reverse`, `url_for` and `url` give an address as a browser asks for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.handlers.base import BaseRouteHandler

if TYPE_CHECKING:
    from app.web.auth import WebRequest
    from app.web.headers import App, Receive, Scope, Send


class House(Litestar):
    """Litestar whose routes know the path they are shown under: `state.root`, "" or "/x/y"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A page names a hundred addresses, and a live one the same ones again and again.
        self._address = lru_cache(maxsize=4096)(super().route_reverse)

    def route_reverse(self, name: str | BaseRouteHandler, **path_parameters: Any) -> str:
        """The address of a route, the path in front of all pages included."""
        return str(self.state.get("root", "")) + self._address(str(name), **path_parameters)


class Below:
    """Says to the application that it is shown below `root`.

    A proxy may pass the path as it was asked for, or without `root`; inside it begins with it.
    """

    def __init__(self, app: App, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and self._root:
            path = str(scope["path"])
            whole = path if f"{path}/".startswith(f"{self._root}/") else self._root + path
            scope["path"], scope["root_path"] = whole, self._root
        await self._app(scope, receive, send)


def root_of(scope: Any) -> str:
    """The path a proxy shows us under, without a slash at its end; mostly empty."""
    return str(scope.get("root_path", "")).rstrip("/")


def inner_path(scope: Any) -> str:
    """The path below that place."""
    path, root = str(scope["path"]), root_of(scope)
    return path[len(root) :] or "/" if root and f"{path}/".startswith(f"{root}/") else path


def url(request: WebRequest, name: str, **values: Any) -> str:
    """The path of a route, as a browser asks for it."""
    return str(request.app.route_reverse(name, **values))


def absolute(request: WebRequest, name: str, **values: Any) -> str:
    """For links that are passed on.

    Below the public address if there is one, else as this page was asked for.
    """
    public: str = request.app.state.settings.public_url
    if public:
        return public + url(request, name, **values).removeprefix(root_of(request.scope))
    return f"{request.url.scheme}://{request.url.netloc}{url(request, name, **values)}"
