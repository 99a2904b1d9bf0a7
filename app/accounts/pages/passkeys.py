"""Passkeys: made on the security page, shown at the door. The browser's part is `passkeys.js`."""

from typing import Any

import msgspec
from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.accounts.pages.replies import REFUSALS, caller, known_here, place
from app.accounts.pages.second import admit, back_to_password, half_way_in, second_page
from app.accounts.pages.security import answer, refused, session_id_of
from app.accounts.service import passkeys
from app.accounts.service.factors import CodeRefused, StepOver
from app.core.errors import NotFound
from app.core.i18n import _
from app.web import auth, forms
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import redirect


class MadeForm(msgspec.Struct, kw_only=True):
    """What the browser made, and what to call it."""

    credential: str
    name: str = ""


class ShownForm(msgspec.Struct, kw_only=True):
    """What the browser shows at the door."""

    credential: str
    next: str = "/"


class PasskeyPages(Controller):
    """Making and removing."""

    path = "/account/security/passkeys"
    opt = {"access": "user", "fresh": True}

    @post("/options", name="passkey_options", status_code=200)
    async def options(
        self, request: WebRequest, user_id: NamedDependency[str]
    ) -> Response[dict[str, Any]]:
        login = request.user.login if request.user else ""
        asked = await passkeys.offer(user_id, login, session_id_of(request), place(request))
        return Response(asked, headers={"Cache-Control": "no-store"})

    @post("/", name="passkey_add", status_code=303)
    async def add(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        try:
            form = forms.check(await forms.read(request), MadeForm)
            done = await passkeys.add(
                user_id,
                session_id_of(request),
                form.credential,
                form.name,
                place(request),
                caller(request),
            )
        except REFUSALS as error:
            return await refused(request, user_id, error, "security_passkeys")
        return answer(request, done, _("The passkey is set up."))

    @post("/{passkey:str}/remove", name="passkey_remove", status_code=303)
    async def remove(
        self, request: WebRequest, user_id: NamedDependency[str], passkey: FromPath[str]
    ) -> Response[str]:
        role = request.user.role if request.user else ""
        done = await passkeys.remove(
            user_id, role, session_id_of(request), passkey, caller(request)
        )
        return answer(request, done, _("The passkey was removed."))


class PasskeyDoorPages(Controller):
    """Showing one after the password."""

    path = "/login/second/passkey"
    opt = {"access": "anon_only"}

    @post("/options", name="second_passkey_options", status_code=200)
    async def options(self, request: WebRequest) -> Response[dict[str, Any]]:
        half = half_way_in(request)
        if half is None:
            raise NotFound
        asked = await passkeys.ask(half.id, half.session_id, place(request))
        return Response(asked, headers={"Cache-Control": "no-store"})

    @post("/", name="second_passkey", status_code=303)
    async def enter(self, request: WebRequest) -> Response[str]:
        half = half_way_in(request)
        if half is None:
            return redirect(request, url(request, "login"))
        posted = await forms.read(request)
        try:
            form = forms.check(posted, ShownForm)
            passed = await passkeys.pass_key(
                half.session_id,
                half.id,
                form.credential,
                place(request),
                caller(request),
                known=known_here(request),
            )
        except (StepOver, NotFound) as over:
            return back_to_password(request, over)
        except (CodeRefused, *REFUSALS) as error:
            return await second_page(request, half, error, next=str(posted.get("next", "")))
        return admit(request, passed, auth.safe_next(form.next))
