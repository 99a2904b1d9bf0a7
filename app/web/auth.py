"""Who is asking: the session cookie, and the guard on `opt["access"]`.

Sessions themselves live in `app/accounts`; the composition root hands their reader to
`SessionMiddleware`.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote, unquote, urlsplit

import msgspec
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

from app.core.errors import Denied, NotFound
from app.web import cookies
from app.web.links import inner_path, root_of
from app.web.pages import page, redirect
from db import clock

FRESH = timedelta(minutes=15)

# Nothing below these paths has a use for a session: static files, probes, and callers with keys of
# their own.
SESSIONLESS = (
    "/static/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/csp-report",
    "/webhooks/",
    "/api/",
    "/schema/",
)

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_ACCESS = re.compile(r"public|anon_only|admin|user(:[a-z]+)?|token:[a-z]+(:[a-z]+)?")
_ACCOUNT_SCOPES = ("jobs", "any")  # of no domain: whoever has an account may have them


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


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """A program that came with an API token: whose it is, and what it may do at most."""

    user: Principal
    token_id: str
    scopes: tuple[str, ...]

    def may(self, scope: str) -> bool:
        """Whether the token says so and its owner still could: it never exceeds its owner."""
        if scope == "any":
            return True
        place = scope.partition(":")[0]
        if scope not in self.scopes:
            return False
        if place in ("admin", "metrics"):
            return self.user.is_admin
        return place in _ACCOUNT_SCOPES or place in self.user.domains


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


class ConfirmNeeded(HTTPException):
    """Who signed in a while ago must show once more that it is them."""

    status_code = 401


class TokenNeeded(NotAuthorizedException):
    """A place for programs was asked without a token that is good."""

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Bearer realm="Holdfast"'})


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
        if inner_path(scope).startswith(self.sessionless):
            await self.app(scope, receive, send)
            return

        name = cookies.cookie_name(scope, cookies.SESSION)
        sent = list(cookies.sent_cookies(scope, name))
        # Two cookies of one name: somebody else on this host or domain planted one of them. Believe
        # neither.
        token = sent[0] if len(sent) == 1 and _TOKEN.fullmatch(sent[0]) else None
        visit = await self.read(token) if token else None
        if visit is not None:
            scope["auth"] = _principal(visit)
            scope["user"] = scope["auth"] if visit.auth_level > 0 else None

        fresh: Cookie | None = None
        if visit is not None and visit.new_token is not None:
            fresh = cookies.session_cookie(scope, visit.new_token, remember=visit.remember)
        elif visit is None and sent:
            fresh = cookies.spent_cookie(scope, cookies.SESSION)

        async def send_with_cookie(message: Message) -> None:
            if fresh is not None and message["type"] == "http.response.start":
                cookies.add_cookie(message, name, fresh)
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def reloader(read_by_id: ReadSession) -> Callable[[str], Awaitable[Principal | None]]:
    """How an open stream asks again who it belongs to; `read_by_id` takes the session's id."""

    async def reload(session_id: str) -> Principal | None:
        visit = await read_by_id(session_id)
        return _principal(visit) if visit is not None and visit.auth_level > 0 else None

    return reload


async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let pass whom `opt["access"]` of the route names. A route without one lets nobody pass.

    Admin pages, and routes with `opt["fresh"]`, ask whose last proof is older than 15 minutes.
    """
    # It awaits nothing, but Litestar would run one that is not async in a thread, at each request.
    if connection.scope.get("method") == "OPTIONS":
        raise MethodNotAllowedException
    access = str(handler.opt.get("access", ""))
    kind, _, place = access.partition(":")
    bearer = connection.scope.get("auth")
    if kind == "token":
        if not isinstance(bearer, Bearer):
            raise TokenNeeded
        if not bearer.may(place):
            raise Denied("This token may not do that.")
    elif kind != "public":
        if isinstance(bearer, Bearer):
            raise NotAuthorizedException
        _guard_person(connection.scope.get("user"), kind, place, bool(handler.opt.get("fresh")))


def _guard_person(user: Principal | None, kind: str, domain: str, fresh: bool) -> None:
    if kind == "anon_only":
        if user is not None:
            raise AlreadySignedIn
        return
    if user is None:
        raise SignInNeeded
    if kind == "user":
        if domain and domain not in user.domains:
            raise NotFound
    elif kind != "admin" or not user.is_admin:
        raise Denied("Only an admin may open this.")
    if (fresh or kind == "admin") and not is_fresh(user):
        raise ConfirmNeeded


def is_fresh(user: Principal) -> bool:
    """Whether the person proved who they are within the last 15 minutes."""
    if user.reauth_at is None:
        return False
    # A moment still to come is the work of a clock that was wrong: it proves nothing.
    return timedelta(minutes=-1) < clock.now() - clock.parse(user.reauth_at) < FRESH


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
        here = _path_in(request.headers.get("HX-Current-URL", ""))
        return Response(
            "",
            status_code=401,
            headers={"HX-Redirect": _login_url(request, here), "Vary": "HX-Request"},
        )
    wanted = root_of(request.scope) + inner_path(request.scope) if request.method == "GET" else ""
    query = request.scope.get("query_string", b"").decode("latin-1")
    return redirect(
        request, _login_url(request, f"{wanted}?{query}" if wanted and query else wanted)
    )


def send_home(request: Request[Any, Any, Any], _: AlreadySignedIn) -> Response[str]:
    """Answer `AlreadySignedIn`."""
    return redirect(request, root_of(request.scope) + "/")


def ask_to_confirm(request: Request[Any, Any, Any], _: ConfirmNeeded) -> Response[str]:
    """Answer `ConfirmNeeded`: to the page that asks for the password, and back.

    A fragment that fetches itself only says so: nobody is led away from what they read.
    """
    url = request.app.route_reverse("confirm")
    is_part = request.headers.get("HX-Request") == "true"
    if request.method == "GET" and not is_part:
        query = request.scope.get("query_string", b"").decode("latin-1")
        wanted = root_of(request.scope) + inner_path(request.scope) + (f"?{query}" if query else "")
        return redirect(request, f"{url}?next={quote(safe_next(wanted), safe='/')}")
    here = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    back = quote(safe_next(_path_in(str(here))), safe="/")
    if request.method == "GET":
        headers = {"HX-Retarget": "#toasts", "HX-Reswap": "innerHTML", "Vary": "HX-Request"}
        return page(
            request,
            "accounts/_confirm_toast.html",
            status=401,
            headers=headers,
            confirm_url=f"{url}?next={back}",
        )
    return redirect(request, f"{url}?next={back}")


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    SignInNeeded: send_to_sign_in,
    AlreadySignedIn: send_home,
    ConfirmNeeded: ask_to_confirm,
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
    return client_ip_of(request.scope)


def client_ip_of(scope: Scope) -> str:
    """The same for a middleware."""
    client = scope.get("client")
    if not client:
        return ""
    try:
        address = ip_address(client[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _principal(visit: Visit) -> Principal:
    return msgspec.convert(visit, Principal, from_attributes=True)


def _path_in(address: str) -> str:
    """The path of an address; empty where it is none."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


def _login_url(request: Request[Any, Any, Any], wanted: str) -> str:
    url = request.app.route_reverse("login")
    wanted = safe_next(wanted)
    return url if wanted == "/" else f"{url}?next={quote(wanted, safe='/')}"
