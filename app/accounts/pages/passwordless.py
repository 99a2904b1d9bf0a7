"""The door for who comes with a passkey alone."""

from typing import Any

import msgspec
from litestar import Controller, Response, post

from app.accounts.pages.doors import login_page
from app.accounts.pages.replies import REFUSALS, caller, known_here, place, remember_here
from app.accounts.service import passkeys, passwordless
from app.web import auth, cookies, forms
from app.web.auth import WebRequest
from app.web.pages import redirect


class AloneForm(msgspec.Struct, kw_only=True):
    """What the browser shows in place of a name and a password."""

    credential: str
    remember: bool = False
    next: str = "/"


class PasskeyAlonePages(Controller):
    """The challenge goes out in a signed cookie and comes back with the answer."""

    path = "/login/passkey"

    @post("/options", name="login_passkey_options", opt={"access": "anon_only"}, status_code=200)
    async def options(self, request: WebRequest) -> Response[dict[str, Any]]:
        asked, challenge = passwordless.ask(place(request))
        response = Response(asked, headers={"Cache-Control": "no-store"})
        cookies.set_signed_cookie(
            response, request, cookies.PASSKEY, challenge, int(passkeys.LIFE_S)
        )
        return response

    @post("/", name="login_passkey", opt={"access": "anon_only"}, status_code=303)
    async def enter(self, request: WebRequest) -> Response[str]:
        posted = await forms.read(request)
        challenge = cookies.read_signed_cookie(request, cookies.PASSKEY, int(passkeys.LIFE_S))
        try:
            form = forms.check(posted, AloneForm)
            entered = await passwordless.enter(
                form.credential,
                challenge,
                place(request),
                caller(request),
                remember=form.remember,
            )
        except REFUSALS as error:
            response = await login_page(request, error, next=str(posted.get("next", "")))
        else:
            response = redirect(request, auth.safe_next(form.next))
            cookies.set_session_cookie(response, request, entered.token, form.remember)
            remember_here(response, request, entered.user_id, known_here(request))
        cookies.clear_cookie(response, request, cookies.PASSKEY)
        return response
