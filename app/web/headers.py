"""The outermost layer: request id, trusted proxies, security headers, and the access line.

Nothing below it may forget a header: redirects, error pages, static files and streams pass here
too.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address, ip_network
from typing import Any, Final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.core.logs import log, request_id
from app.core.registry import UNIX
from db import clock
from db.keys import uuid7

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

# `strict-dynamic` must never stand here: with it a <script> inside a swapped fragment runs.
POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types htmx holdfast"
)
FIXED: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    ),
)
# A route that has set its own keeps it: the frame of a stored ticket, files from outside, the way
# in by a link.
DEFAULTS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)
# What is handed out as a file never runs here, also where a browser shows it after all.
FILE_POLICY: Final = b"sandbox; default-src 'none'"
HSTS: Final = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
DROPPED: Final = {b"server", b"x-powered-by", b"x-request-id", HSTS[0]} | {
    name for name, _ in FIXED
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_FRAME_SRC = re.compile(r"'self'|https?://[A-Za-z0-9.\-\[\]:]+")
_QUIET = ("/healthz", "/readyz", "/metrics", "/static")


class Headers:
    """Wraps the whole application.

    Run uvicorn with `proxy_headers=False, server_header=False`: both are done here.
    `trusted_proxies`: addresses and networks whose `X-Forwarded-For`, `X-Forwarded-Proto` and
    `X-Request-ID` are believed; the word `unix` means whoever came through our unix socket. For the
    application the scope gains `csp_nonce` and `request_id`; a page that embeds a frame sets
    `scope["frame_src"]` to its source.
    """

    def __init__(self, app: App, trusted_proxies: Iterable[str] = ()) -> None:
        trusted = list(trusted_proxies)
        self._app: App = ProxyHeadersMiddleware(app, trusted) if trusted else app
        self._unix = UNIX in trusted
        self._trusted = [ip_network(item, strict=False) for item in trusted if item != UNIX]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = clock.monotonic()
        if self._unix and not scope.get("client"):
            scope["client"] = (UNIX, 0)  # the name uvicorn's reader finds in the list
        scope["csp_nonce"] = secrets.token_urlsafe(16)
        scope["request_id"] = self._request_id(scope)
        token = request_id.set(scope["request_id"])
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                message = {**message, "headers": _complete(scope, message.get("headers", ()))}
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("http.crashed")
            if status:
                raise
            await _last_resort(scope, send_with_headers)
        finally:
            _note(scope, status, begun)
            request_id.reset(token)

    def _request_id(self, scope: Scope) -> str:
        given = [
            value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"
        ]
        if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) and self._believes(scope):
            return str(given[0])
        return uuid7()

    def _believes(self, scope: Scope) -> bool:
        """Asked before the proxy headers are read: afterwards `client` is whom the proxy names."""
        host = (scope.get("client") or ("",))[0]
        try:
            peer = ip_address(host)
        except ValueError:
            return self._unix and host == UNIX
        return any(peer.version == net.version and peer in net for net in self._trusted)


def _complete(scope: Scope, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    headers = [(name.lower(), value) for name, value in given if name.lower() not in DROPPED]
    own = {name for name, _ in headers}
    headers += FIXED
    headers += [pair for pair in DEFAULTS if pair[0] not in own]
    if b"content-security-policy" not in own:
        policy = FILE_POLICY if _is_file(headers) else _policy(scope).encode()
        headers.append((b"content-security-policy", policy))
    if scope.get("scheme") == "https":
        headers.append(HSTS)
    headers.append((b"x-request-id", scope["request_id"].encode()))
    return headers


def _is_file(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"content-disposition" and value.lower().startswith(b"attachment")
        for name, value in headers
    )


def _policy(scope: Scope) -> str:
    policy = POLICY.format(nonce=scope["csp_nonce"])
    frames = scope.get("frame_src", "")
    if not frames:
        return policy
    if not all(_FRAME_SRC.fullmatch(source) for source in frames.split(" ")):
        raise ValueError("frame_src must be 'self' or origins")
    return f"{policy}; frame-src {frames}"


async def _last_resort(scope: Scope, send: Send) -> None:
    """What is left to say when even the application's own error page failed."""
    scope.pop("frame_src", None)
    body = (
        "<!doctype html><html lang=en><title>Error</title>"
        f"<p>Something went wrong here. Reference: <code>{scope['request_id']}</code></p>"
    ).encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _note(scope: Scope, status: int, begun: float) -> None:
    """The access line: the route's pattern, never the address asked for, which may hold secrets."""
    route = str(scope.get("path_template", ""))
    user = scope.get("user")
    fields = {
        "method": scope["method"],
        "route": route,
        "status": status,
        "ms": round((clock.monotonic() - begun) * 1000, 1),
        **({"user_id": user.id} if user is not None else {}),
    }
    (log.debug if route.startswith(_QUIET) else log.info)("http.request", **fields)
