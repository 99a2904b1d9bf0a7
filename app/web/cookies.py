"""The cookies of the server: the session's, and small ones that it signs."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any, TypeAlias

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer
from litestar import Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.types import Message, Scope

from app.core import vault
from db import clock

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

SESSION = "holdfast"
JOIN = "holdfast-join"
RESET = "holdfast-reset"
KNOWN = "holdfast-known"
PASSKEY = "holdfast-passkey"
REMEMBER_S = 90 * 86400


def session_token(request: Connection) -> str | None:
    """The session cookie as it was sent, whether it opens anything or not."""
    sent = list(sent_cookies(request.scope, cookie_name(request.scope, SESSION)))
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
    response.set_cookie(spent_cookie(request.scope, name))


def set_signed_cookie(
    response: Response[Any], request: Connection, name: str, value: str, max_age_s: int
) -> None:
    """Keep `value` with the browser: to be read there, not to be forged or renamed."""
    text = _serializer(name).dumps(value)
    response.set_cookie(_cookie(request.scope, name, text, max_age_s))


def read_signed_cookie(request: Connection, name: str, max_age_s: int) -> str | None:
    """The value kept under `name`; None if missing, forged, doubled or older than `max_age_s`."""
    sent = list(sent_cookies(request.scope, cookie_name(request.scope, name)))
    if len(sent) != 1:
        return None
    try:
        value = _serializer(name).loads(sent[0], max_age=max_age_s)
    except BadData:
        return None
    return value if isinstance(value, str) else None


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


def spent_cookie(scope: Scope, name: str) -> Cookie:
    """The cookie that makes the browser forget the one of that name."""
    return _cookie(scope, name, "", 0)


def add_cookie(message: Message, name: str, cookie: Cookie) -> None:
    """Put a cookie on an answer that does not set one of that name itself."""
    headers: list[tuple[bytes, bytes]] = list(message["headers"])  # type: ignore[typeddict-item]
    prefix = f"{name}=".encode()
    if any(key.lower() == b"set-cookie" and value.startswith(prefix) for key, value in headers):
        return  # the handler signed in or out: its word is newer
    headers.append((b"set-cookie", cookie.to_header(header="").encode()))
    message["headers"] = headers  # type: ignore[typeddict-unknown-key]


def sent_cookies(scope: Scope, name: str) -> Iterator[str]:
    """Every value that came under `name`; more than one is a sign of somebody else's hand."""
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
