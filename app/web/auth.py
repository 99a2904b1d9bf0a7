"""Who is asking.

The session cookie, the guard on `opt["access"]`, and the cookies the server signs.

Sessions themselves live in `app/accounts`; the composition root hands their reader to
`SessionMiddleware`.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http.cookies import SimpleCookie
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote, unquote, urlsplit

import msgspec
from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer
from litestar import Litestar, Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, State
from litestar.enums import ScopeType
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotAuthorizedException,
)
from litestar.handlers.base import BaseRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.core import vault
from app.core.errors import Denied, NotFound
from app.web.pages import redirect
from db import clock

SESSION = "holdfast"
JOIN = "holdfast-join"
KNOWN = "holdfast-known"
REMEMBER_S = 90 * 86400

# Nothing below these paths has a use for a session: static files, probes, and callers with keys of
# their own.
SESSIONLESS = ("/static/", "/healthz", "/readyz", "/metrics", "/csp-report", "/webhooks/", "/api/")

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_ACCESS = re.compile(r"public|anon_only|admin|user(:[a-z]+)?|token:[a-z]+(:[a-z]+)?")


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The person behind a request, as the session row and the account said at its start."""

    id: str
    login: str
    role: str
    domains: tuple[str, ...]
    locale: str
    theme: str
    time_zone: str
    session_id: str
    auth_level: int
    reauth_at: str | None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


WebRequest: TypeAlias = Request[Principal | None, Any, State]
Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


class Visit(Protocol):
    """What a session reader finds for a token.

    The fields of `Principal`, and a new token where it was due.
    """

    @property
    def auth_level(self) -> int: ...
    @property
    def remember(self) -> bool: ...
    @property
    def new_token(self) -> str | None: ...


ReadSession: TypeAlias = Callable[[str], Awaitable[Visit | None]]


class SignInNeeded(NotAuthorizedException):
    """A page for people was asked for by nobody in particular."""


class AlreadySignedIn(HTTPException):
    """A page for strangers was asked for by somebody we know."""

    status_code = 303


class SessionMiddleware:
    """Turn the session cookie into `request.user`, with at most one read.

    Renew or clear the cookie.

    `request.auth` also holds a visitor whose second factor is still to come; `request.user` does
    not.
    """

    def __init__(
        self, app: ASGIApp, read: ReadSession, sessionless: Sequence[str] = SESSIONLESS
    ) -> None:
        self.app = app
        self.read = read
        self.sessionless = tuple(sessionless)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        scope["user"] = scope["auth"] = None
        if _path(scope).startswith(self.sessionless):
            await self.app(scope, receive, send)
            return

        name = cookie_name(scope, SESSION)
        sent = list(_cookies(scope, name))
        # Two cookies of one name: somebody else on this host or domain planted one of them. Believe
        # neither.
        token = sent[0] if len(sent) == 1 and _TOKEN.fullmatch(sent[0]) else None
        visit = await self.read(token) if token else None
        if visit is not None:
            scope["auth"] = _principal(visit)
            scope["user"] = scope["auth"] if visit.auth_level > 0 else None

        fresh: Cookie | None = None
        if visit is not None and visit.new_token is not None:
            fresh = session_cookie(scope, visit.new_token, remember=visit.remember)
        elif visit is None and sent:
            fresh = _spent(scope, SESSION)

        async def send_with_cookie(message: Message) -> None:
            if fresh is not None and message["type"] == "http.response.start":
                _add_cookie(message, name, fresh)
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def reloader(read_by_id: ReadSession) -> Callable[[str], Awaitable[Principal | None]]:
    """How an open stream asks again who it belongs to; `read_by_id` takes the session's id."""

    async def reload(session_id: str) -> Principal | None:
        visit = await read_by_id(session_id)
        return _principal(visit) if visit is not None and visit.auth_level > 0 else None

    return reload


def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let pass whom `opt["access"]` of the route names. A route without one lets nobody pass."""
    if connection.scope.get("method") == "OPTIONS":
        raise MethodNotAllowedException
    access = str(handler.opt.get("access", ""))
    user: Principal | None = connection.scope.get("user")
    kind, _, domain = access.partition(":")
    if kind == "public":
        return
    if kind == "anon_only":
        if user is not None:
            raise AlreadySignedIn
        return
    if kind == "token":
        raise NotAuthorizedException
    if user is None:
        raise SignInNeeded
    if kind == "user":
        if domain and domain not in user.domains:
            raise NotFound
        return
    if kind != "admin" or not user.is_admin:
        raise Denied("Only an admin may open this.")


def require_access_declared(app: Litestar) -> None:
    """Raise `ValueError` naming every route that does not say, or says wrongly, who may use it."""
    bad = []
    for route in app.routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        for handler in handlers:
            if getattr(handler, "http_methods", None) == {"OPTIONS"}:
                continue  # Litestar adds these by itself; the guard answers them with 405
            access = handler.opt.get("access")
            if not isinstance(access, str) or not _ACCESS.fullmatch(access):
                bad.append(f"{route.path} ({handler.handler_name}): {access!r}")
    if bad:
        raise ValueError('routes without a valid opt["access"]: ' + "; ".join(sorted(bad)))


async def provide_user_id(request: WebRequest) -> str:
    """Whose rows a handler works on. Only for routes that need a person."""
    if request.user is None:
        raise SignInNeeded
    return request.user.id


def send_to_sign_in(request: Request[Any, Any, Any], _: SignInNeeded) -> Response[str]:
    """Answer `SignInNeeded`: to the sign-in page, and back to where one wanted to go."""
    if request.headers.get("HX-Request") == "true":
        here = urlsplit(request.headers.get("HX-Current-URL", "")).path
        return Response(
            "",
            status_code=401,
            headers={"HX-Redirect": _login_url(request, here), "Vary": "HX-Request"},
        )
    wanted = _root(request.scope) + _path(request.scope) if request.method == "GET" else ""
    query = request.scope.get("query_string", b"").decode("latin-1")
    return redirect(
        request, _login_url(request, f"{wanted}?{query}" if wanted and query else wanted)
    )


def send_home(request: Request[Any, Any, Any], _: AlreadySignedIn) -> Response[str]:
    """Answer `AlreadySignedIn`."""
    return redirect(request, _root(request.scope) + "/")


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    SignInNeeded: send_to_sign_in,
    AlreadySignedIn: send_home,
}


def safe_next(value: str) -> str:
    """`value` if it is a path on this site, else `/`."""
    for text in (value, unquote(value)):
        if not re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", text):
            return "/"
        parts = urlsplit(text)
        if parts.scheme or parts.netloc:
            return "/"
    return value


def client_ip(request: Connection) -> str:
    """The address of the caller; behind trusted proxies the one they report. May be empty."""
    client = request.scope.get("client")
    if not client:
        return ""
    try:
        address = ip_address(client[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def session_token(request: Connection) -> str | None:
    """The session cookie as it was sent, whether it opens anything or not."""
    sent = list(_cookies(request.scope, cookie_name(request.scope, SESSION)))
    return sent[0] if len(sent) == 1 else None


def cookie_name(scope: Scope, name: str) -> str:
    """Over https a cookie carries `__Host-`: no neighbour on the domain can set or shadow it."""
    return f"__Host-{name}" if scope.get("scheme") == "https" else name


def session_cookie(scope: Scope, token: str, *, remember: bool) -> Cookie:
    """The cookie of a session. Without `remember` it goes when the browser closes."""
    return _cookie(scope, SESSION, token, REMEMBER_S if remember else None)


def set_session_cookie(
    response: Response[Any], request: Connection, token: str, remember: bool
) -> None:
    """Hand a session's token to the browser."""
    response.set_cookie(session_cookie(request.scope, token, remember=remember))


def clear_cookie(response: Response[Any], request: Connection, name: str) -> None:
    """Take a cookie back; `name` is one of the constants of this module."""
    response.set_cookie(_spent(request.scope, name))


def set_signed_cookie(
    response: Response[Any], request: Connection, name: str, value: str, max_age_s: int
) -> None:
    """Keep `value` with the browser: to be read there, not to be forged or renamed."""
    text = _serializer(name).dumps(value)
    response.set_cookie(_cookie(request.scope, name, text, max_age_s))


def read_signed_cookie(request: Connection, name: str, max_age_s: int) -> str | None:
    """The value kept under `name`; None if missing, forged, doubled or older than `max_age_s`."""
    sent = list(_cookies(request.scope, cookie_name(request.scope, name)))
    if len(sent) != 1:
        return None
    try:
        value = _serializer(name).loads(sent[0], max_age=max_age_s)
    except BadData:
        return None
    return value if isinstance(value, str) else None


def _principal(visit: Visit) -> Principal:
    return msgspec.convert(visit, Principal, from_attributes=True)


class _Signer(TimestampSigner):
    def get_timestamp(self) -> int:
        return clock.ms() // 1000


def _serializer(name: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(vault.derive(f"cookie:{name}"), salt=name, signer=_Signer)


def _cookie(scope: Scope, name: str, value: str, max_age_s: int | None) -> Cookie:
    return Cookie(
        key=cookie_name(scope, name),
        value=value,
        path="/",
        max_age=max_age_s,
        httponly=True,
        samesite="lax",
        secure=scope.get("scheme") == "https",
    )


def _spent(scope: Scope, name: str) -> Cookie:
    return _cookie(scope, name, "", 0)


def _add_cookie(message: Message, name: str, cookie: Cookie) -> None:
    headers: list[tuple[bytes, bytes]] = list(message["headers"])  # type: ignore[typeddict-item]
    prefix = f"{name}=".encode()
    if any(key.lower() == b"set-cookie" and value.startswith(prefix) for key, value in headers):
        return  # the handler signed in or out: its word is newer
    headers.append((b"set-cookie", cookie.to_header(header="").encode()))
    message["headers"] = headers  # type: ignore[typeddict-unknown-key]


def _cookies(scope: Scope, name: str) -> Iterator[str]:
    for key, header in scope["headers"]:
        if key == b"cookie":
            for pair in header.decode("latin-1").split(";"):
                found, _, value = pair.strip().partition("=")
                if found == name and value:
                    yield _unquoted(value)


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        morsel = SimpleCookie(f"v={value}").get("v")
        return morsel.value if morsel else ""
    return value


def _path(scope: Scope) -> str:
    return scope["path"].removeprefix(_root(scope)) if _root(scope) else scope["path"]


def _root(scope: Scope) -> str:
    return scope.get("root_path", "").rstrip("/")


def _login_url(request: Request[Any, Any, Any], wanted: str) -> str:
    url = _root(request.scope) + request.app.route_reverse("login")
    wanted = safe_next(wanted)
    return url if wanted == "/" else f"{url}?next={quote(wanted, safe='/')}"
