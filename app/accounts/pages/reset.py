"""A new password by a link an admin made."""

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath

from app.accounts.pages.replies import REFUSALS, again, caller, retry_after
from app.accounts.service import resets
from app.accounts.service.resets import ResetOver
from app.accounts.service.throttle import Throttled
from app.core.errors import AppError, NotFound
from app.core.i18n import _
from app.web import auth, cookies, forms
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page, redirect

RESET_S = 30 * 60
TURNED_AWAY = (NotFound, ResetOver, Throttled)


class ResetForm(msgspec.Struct, kw_only=True):
    """The new password."""

    password: str


class ResetPages(Controller):
    """Also for who is signed in: they may have been sent a link all the same."""

    opt = {"access": "public"}

    @get("/reset", name="reset")
    async def show(self, request: WebRequest) -> Response[str]:
        secret = _secret(request)
        if not secret:
            return redirect(request, url(request, "login"))
        try:
            login = await resets.look_at(secret, auth.client_ip(request))
        except TURNED_AWAY as error:
            return _turned_away(request, error)
        return page(request, "accounts/reset.html", block="reset_form", login=login, refusal="")

    @get("/reset/{secret:str}", name="reset_link")
    async def follow(self, request: WebRequest, secret: FromPath[str]) -> Response[str]:
        """Move the secret out of the address, where history and `Referer` would keep it."""
        try:
            await resets.look_at(secret, auth.client_ip(request))
        except TURNED_AWAY as error:
            return _turned_away(request, error)
        response = redirect(request, url(request, "reset"))
        cookies.set_signed_cookie(response, request, cookies.RESET, secret, RESET_S)
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @post("/reset", name="reset_post", status_code=303)
    async def enter(self, request: WebRequest) -> Response[str]:
        secret = _secret(request)
        if not secret:
            return redirect(request, url(request, "login"))
        posted = await forms.read(request)
        try:
            form = forms.check(posted, ResetForm)
            await resets.redeem(secret, form.password, caller(request))
        except TURNED_AWAY as error:
            return _turned_away(request, error)
        except REFUSALS as error:
            login = await resets.look_at(secret, auth.client_ip(request))
            return again(
                request, "accounts/reset.html", "reset_form", error, login=login, refusal=""
            )
        toast = _("The password was changed. Please sign in with it.")
        response = redirect(request, url(request, "login"), toast=toast)
        cookies.clear_cookie(response, request, cookies.RESET)
        return response


def _secret(request: WebRequest) -> str | None:
    return cookies.read_signed_cookie(request, cookies.RESET, RESET_S)


def _turned_away(request: WebRequest, error: AppError) -> Response[str]:
    response = page(
        request,
        "accounts/reset.html",
        block="reset_form",
        status=error.status,
        headers=retry_after(error),
        login="",
        refusal=error.message,
    )
    if isinstance(error, NotFound | ResetOver):
        cookies.clear_cookie(response, request, cookies.RESET)
    return response
