"""Requests from other sites: whatever changes something must come from one of our own pages.

No form tokens. GET and HEAD change nothing, and other sites may lead a browser here, but not make
it fetch something behind its person's back (browsers say so by `Sec-Fetch-Dest`). Every other
request needs `Sec-Fetch-Site: same-origin` or, from a browser that does not send that header (old
ones, and all of them on plain http), an `Origin` equal to ours.
"""

from collections.abc import Awaitable, Callable, Iterable
from html import escape
from typing import Final
from urllib.parse import urlsplit

from app.core.logs import log
from app.web.headers import App, Receive, Scope, Send
from app.web.links import inner_path, root_of

SAFE: Final = {"GET", "HEAD"}
ELSEWHERE: Final = {"cross-site", "same-site"}
# Path, whether everything below it is meant, why it needs no check.
EXEMPT: Final[tuple[tuple[str, bool, str], ...]] = (
    ("/webhooks/twilio", True, "checks Twilio's signature"),
    ("/csp-report", False, "writes a log line only"),
    ("/api/v1", True, "takes bearer tokens and ignores cookies"),
)
_DEFAULT_PORT: Final = {"http": 80, "https": 443}

OnRefused = Callable[[Scope, str], Awaitable[None]]


class Origin:
    """Stands between the headers and the application, behind whatever reads the proxy's headers.

    `refuse` writes the 403 (default: a small page, a fragment for htmx); `on_refused(scope,
    reason)` is told first, for the audit log. `public_url` counts as ours beside the address the
    request names.
    """

    def __init__(
        self,
        app: App,
        *,
        refuse: App | None = None,
        on_refused: OnRefused | None = None,
        public_url: str = "",
        exempt: Iterable[tuple[str, bool, str]] = EXEMPT,
    ) -> None:
        self._app = app
        self._refuse = refuse or _refuse
        self._on_refused = on_refused
        self._public = _origin(public_url)
        self._exempt = tuple(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        reason = "" if scope["type"] != "http" or self._is_exempt(scope) else self._fault(scope)
        if not reason:
            await self._app(scope, receive, send)
            return
        log.warning("origin.refused", method=scope["method"], reason=reason)
        if self._on_refused:
            try:
                await self._on_refused(scope, reason)
            except Exception:  # no audit row is no reason to let the request through
                log.exception("origin.unaudited")
        await self._refuse(scope, receive, send)

    def _is_exempt(self, scope: Scope) -> bool:
        path = inner_path(scope)
        return any(
            path == place or (below and path.startswith(f"{place}/"))
            for place, below, _ in self._exempt
        )

    def _fault(self, scope: Scope) -> str:
        """Why this request is refused; empty if it is not."""
        sites = _values(scope, b"sec-fetch-site")
        if scope["method"] in SAFE:
            away = any(site in ELSEWHERE for site in sites)
            hidden = away and set(_values(scope, b"sec-fetch-dest")) - {"document"}
            return "sec-fetch-dest" if hidden else ""
        if sites:
            return "" if sites == ["same-origin"] else "sec-fetch-site"
        origins = _values(scope, b"origin")
        if not origins:
            return "no origin"
        origin = _origin(origins[0]) if len(origins) == 1 else None
        return "" if origin and origin in {self._own(scope), self._public} else "origin"

    def _own(self, scope: Scope) -> tuple[str, str, int] | None:
        """Scheme, host and port the person sees.

        The scheme is the proxy's word if it is a trusted one.
        """
        hosts = _values(scope, b"host")
        return _origin(f"{scope.get('scheme', 'http')}://{hosts[0]}") if len(hosts) == 1 else None


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for name, value in scope["headers"] if name == wanted]


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host, port of an address, the default port filled in.

    None if it is none (`null`, garbage).
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORT or not host or parts.username is not None:
        return None
    return parts.scheme, host, port or _DEFAULT_PORT[parts.scheme]


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI application
    home = escape(f"{root_of(scope)}/")
    text = (
        "<p role=alert>This request did not come from Holdfast’s own page, so nothing was changed. "
        f'<a href="{home}">Go to Holdfast</a> and try again there.</p>'
    )
    if _values(scope, b"hx-request") != ["true"]:
        head = "<!doctype html><html lang=en><meta charset=utf-8><title>Refused</title>"
        text = f"{head}<main>{text}</main>"
    body = text.encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
