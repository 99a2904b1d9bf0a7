"""The one ASGI application behind all ports: port and Host header say who is asked."""

import asyncio
import time
from urllib.parse import urlsplit

from app.demo.portal import control, pages
from app.demo.portal.http import (
    BodyTooLarge,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    as_json,
    html,
    read_request,
    send_reply,
)
from app.demo.portal.idp import IdentityProvider
from app.demo.portal.sp import ServiceProvider
from app.demo.portal.state import State, Visit


class PortalApp:
    """Service provider, identity provider and the trap, told apart by address."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.sp = ServiceProvider(state)
        self.idp = IdentityProvider(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError("the stand-in speaks HTTP only")
        try:
            request = await read_request(scope, receive)
        except BodyTooLarge:
            await send_reply(
                as_json({"error": "too large"}, 413), receive, send, self.state.closing
            )
            return
        if control.is_control(request):
            reply = self._control(request)
            await send_reply(reply, receive, send, self.state.closing)
            return
        reply, visit = self._answer(request, scope["server"][1])
        await self._wait(visit)
        await send_reply(reply, receive, send, self.state.closing)
        if visit is not None:
            visit.last_at = time.monotonic()

    def reset(self) -> None:
        """A fresh portal: nobody signed in, nothing ordered, nothing remembered."""
        self.state.reset()
        self.sp.reset()
        self.idp.reset()

    def _answer(self, request: Request, port: int) -> tuple[Reply, Visit | None]:
        asked = (request.headers.get("host", ""), port)
        sp, idp = urlsplit(self.state.addresses.sp_url), urlsplit(self.state.addresses.idp_url)
        if asked == (sp.netloc, sp.port):
            return self.sp.answer(request)
        if asked == (idp.netloc, idp.port):
            return self.idp.answer(request)
        return self._trap(request), None

    def _trap(self, request: Request) -> Reply:
        """A host nobody pinned: imitates the sign-in page and notes who falls for it."""
        self.state.note("trap", right=None, path=request.path, posted=bool(request.body))
        return html(pages.login(request.language, "/idp/profile/login", "trap"))

    def _control(self, request: Request) -> Reply:
        if not control.is_allowed(request, self.state.control_token):
            return as_json({"error": "control token needed"}, 403)
        if (request.method, request.path) == ("POST", "/__reset"):
            self.reset()
            return as_json({"ok": True})
        return control.answer(request, self.state)

    async def _wait(self, visit: Visit | None) -> None:
        """Answer as slowly as ordered, but stop waiting when the stand-in stops."""
        seconds = self.state.slow_s
        if visit is not None and visit.has("slow"):
            seconds += float(visit.param("seconds", visit.param("s", 5)))
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self.state.closing.wait(), seconds)
        except TimeoutError:
            return
