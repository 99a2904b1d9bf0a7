"""One's own second factors: the app, passkeys, recovery codes."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from app.accounts.pages.qr import draw
from app.accounts.pages.replies import REFUSALS, again, caller
from app.accounts.pages.second import codes_page
from app.accounts.service import factors, passkeys, security, totp
from app.core.errors import AppError
from app.core.i18n import _
from app.web import cookies, forms
from app.web.auth import SignInNeeded, WebRequest
from app.web.links import url
from app.web.pages import page, redirect

BLOCKS = ("security_app", "security_codes", "security_passkeys")


class AppForm(msgspec.Struct, kw_only=True):
    """The first code of a new app."""

    code: str


class SecurityPages(Controller):
    """What guards the account beside its password; asks for the password if that is a while ago."""

    path = "/account/security"
    opt = {"access": "user", "fresh": True}

    @get("/", name="security")
    async def show(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return page(
            request,
            "accounts/security.html",
            block=BLOCKS,
            **await security_data(request, user_id),
        )

    @post("/app/offer", name="security_offer", status_code=303)
    async def offer(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        data = await security_data(request, user_id, setting_up=True)
        return page(request, "accounts/security.html", block="security_app", **data)

    @post("/app", name="security_app_add", status_code=303)
    async def add_app(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, AppForm)
            done = await security.add_app(
                user_id, session_id_of(request), form.code, caller(request)
            )
        except REFUSALS as error:
            return await refused(request, user_id, error, form=posted, setting_up=True)
        return answer(request, done, _("The authenticator app is set up."))

    @post("/app/remove", name="security_app_remove", status_code=303)
    async def remove_app(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        role = request.user.role if request.user else ""
        done = await security.remove_app(user_id, role, session_id_of(request), caller(request))
        return answer(request, done, _("The authenticator app was removed."))

    @post("/codes", name="security_codes", status_code=303)
    async def renew_codes(
        self, request: WebRequest, user_id: NamedDependency[str]
    ) -> Response[str]:
        done = await security.renew_codes(user_id, session_id_of(request), caller(request))
        return answer(request, done, "")


async def security_data(
    request: WebRequest, user_id: str, *, setting_up: bool = False
) -> dict[str, Any]:
    """What the page shows. The secret of a new app only while it is being set up."""
    have = await factors.get_factors(user_id)
    user = request.user
    offer = None
    if setting_up and not have.totp and user is not None:
        offer = await totp.offer(user_id, user.login, user.session_id, request.url.netloc)
    return {
        "has_app": have.totp,
        "passkeys": await passkeys.list_passkeys(user_id),
        "can_passkeys": request.url.scheme == "https" or request.url.hostname == "localhost",
        "codes_left": have.codes_left,
        "required": await factors.is_required(user.role if user else ""),
        "offer": offer,
        "qr": draw(offer.uri) if offer else None,
    }


async def refused(
    request: WebRequest,
    user_id: str,
    error: AppError,
    block: str = "security_app",
    *,
    form: Any = None,
    setting_up: bool = False,
) -> Response[str]:
    """The page once more, with what is wrong."""
    data = await security_data(request, user_id, setting_up=setting_up)
    return again(request, "accounts/security.html", block, error, form=form, **data)


def answer(request: WebRequest, done: security.Secured, toast: str) -> Response[str]:
    """After a change: the session's new token, and fresh recovery codes where there are some."""
    here = url(request, "security")
    if done.codes:
        response = codes_page(request, done.codes, here)
    else:
        response = redirect(request, here, toast=toast)
    cookies.set_session_cookie(response, request, done.renewed.token, done.renewed.remember)
    return response


def session_id_of(request: WebRequest) -> str:
    """The session that asks."""
    if request.user is None:
        raise SignInNeeded
    return request.user.session_id
