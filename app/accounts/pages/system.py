"""How the house stands, for admins: what `holdfast doctor` finds, and the bundle for a helper."""

import os

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from app.accounts.service import checkup
from app.web import auth
from app.web.auth import WebRequest
from app.web.pages import page

TEMPLATE = "accounts/system.html"


class SystemPages(Controller):
    """Looks when somebody asks: some of it reads the whole file, or calls the public address."""

    path = "/admin/system"
    opt = {"access": "admin"}

    @get("/", name="system")
    async def show(self, request: WebRequest) -> Response[str]:
        return page(request, TEMPLATE, block="system_now", found=None, **checkup.versions())

    @post("/", name="system_look", status_code=200)
    async def look(self, request: WebRequest) -> Response[str]:
        found = await checkup.look_running(request.app.state.settings, os.environ)
        return page(request, TEMPLATE, block="system_now", found=found, **checkup.versions())

    @post("/bundle", name="system_bundle", status_code=200, opt={"rate": "exports"})
    async def bundle(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[bytes]:
        chosen = request.app.state.settings
        packed = await checkup.hand_out(chosen, os.environ, user_id, ip=auth.client_ip(request))
        headers = {
            "Content-Disposition": 'attachment; filename="holdfast-support.zip"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "no-store",
        }
        return Response(packed, media_type="application/zip", headers=headers)
