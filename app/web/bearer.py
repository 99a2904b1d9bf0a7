"""Programs at the door of `/api/v1`: a bearer token in place of a session, and nothing else.

Cookies are not looked at there, and a token opens nothing elsewhere: there is nothing to forge.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from app.core.i18n import speak
from app.web.auth import Bearer, Principal, Visit, client_ip_of
from app.web.links import inner_path

PLACES = ("/api/v1/", "/schema/", "/metrics")


class Admitted(Protocol):
    """What a reader of tokens finds."""

    @property
    def visit(self) -> Visit: ...
    @property
    def token_id(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...


ReadToken: TypeAlias = Callable[[str, str], Awaitable[Admitted | None]]


class BearerMiddleware:
    """Turn `Authorization: Bearer …` into `request.auth` and `request.user` below `PLACES`."""

    def __init__(self, app: ASGIApp, read: ReadToken) -> None:
        self.app = app
        self.read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP or not inner_path(scope).startswith(PLACES):
            await self.app(scope, receive, send)
            return
        scope["user"] = scope["auth"] = None
        token = _token(scope)
        admitted = await self.read(token, client_ip_of(scope)) if token else None
        if admitted is not None:
            user = msgspec.convert(admitted.visit, Principal, from_attributes=True)
            scope["user"] = user
            scope["auth"] = Bearer(user=user, token_id=admitted.token_id, scopes=admitted.scopes)
            speak(user.locale, user.time_zone)
        await self.app(scope, receive, send)


def _token(scope: Scope) -> str:
    """The one token that was sent; two headers are nobody's."""
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(sent) != 1:
        return ""
    kind, _, token = sent[0].decode("latin-1").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
