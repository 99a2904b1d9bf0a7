"""Addresses of our own routes: for this page, and to be passed on."""

from typing import Any

from app.web.auth import WebRequest


def url(request: WebRequest, name: str, **values: Any) -> str:
    """The path of a route, below the subpath if there is one."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return root + request.app.route_reverse(name, **values)


def absolute(request: WebRequest, name: str, **values: Any) -> str:
    """For links that are passed on.

    Below the public address if there is one, else as this page was asked for.
    """
    public: str = request.app.state.settings.public_url
    if public:
        return public + request.app.route_reverse(name, **values)
    return f"{request.url.scheme}://{request.url.netloc}{url(request, name, **values)}"
