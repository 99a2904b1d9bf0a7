"""In, out, and the first admin."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromQuery

from app.accounts.pages.replies import (
    REFUSALS,
    again,
    caller,
    half_way,
    known_here,
    place,
    remember_here,
    welcome,
)
from app.accounts.service import passwordless, sessions, setup, signin
from app.core.errors import AppError, NotFound
from app.web import auth, cookies, forms
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page, redirect


class SignInForm(msgspec.Struct, kw_only=True):
    """Who, and where to afterwards."""

    login: str
    password: str
    remember: bool = False
    next: str = "/"


class SetupForm(msgspec.Struct, kw_only=True):
    """The first admin and the token that proves it."""

    token: str
    login: str
    email: str = ""
    password: str


class SignInPages(Controller):
    """In and out."""

    @get("/login", name="login", opt={"access": "anon_only"})
    async def show(self, request: WebRequest, next: FromQuery[str] = "") -> Response[str]:
        return await login_page(request, next=next)

    # Not anon_only: whoever sends a name and a password means to be that person from now on.
    @post("/login", name="login_post", opt={"access": "public"}, status_code=303)
    async def enter(self, request: WebRequest) -> Response[str]:
        posted = await forms.read(request)
        known = known_here(request)
        try:
            form = forms.check(posted, SignInForm)
            entered = await signin.sign_in(
                form.login, form.password, caller(request), remember=form.remember, known=known
            )
        except REFUSALS as error:
            return await login_page(request, error, form=posted, next=str(posted.get("next", "")))
        wanted = auth.safe_next(form.next)
        if entered.pending:
            return half_way(request, entered, wanted)
        response = redirect(request, wanted)
        cookies.set_session_cookie(response, request, entered.token, form.remember)
        remember_here(response, request, entered.user_id, known)
        return response

    @post("/logout", name="logout", opt={"access": "user"}, status_code=303)
    async def leave(self, request: WebRequest) -> Response[str]:
        if request.user is not None:
            await sessions.end_session(request.user.session_id, ip=auth.client_ip(request))
        response = redirect(request, url(request, "login"))
        cookies.clear_cookie(response, request, cookies.SESSION)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


class SetupPages(Controller):
    """The first admin; gone for good once there is one."""

    @get("/setup", name="setup", opt={"access": "public"})
    async def show(self, request: WebRequest) -> Response[str]:
        if not await setup.is_open():
            raise NotFound
        return page(request, "accounts/setup.html", block="setup_form")

    @post("/setup", name="setup_post", opt={"access": "public"}, status_code=303)
    async def make(self, request: WebRequest) -> Response[str]:
        posted = await forms.read(request)
        data_dir = request.app.state.settings.data_dir
        try:
            form = forms.check(posted, SetupForm)
            entered = await setup.first_admin(
                data_dir, form.token, form.login, form.email, form.password, caller(request)
            )
        except REFUSALS as error:
            return again(request, "accounts/setup.html", "setup_form", error, form=posted)
        return welcome(request, entered)


async def login_page(
    request: WebRequest,
    error: AppError | None = None,
    *,
    form: Any = None,
    next: str = "",
) -> Response[str]:
    """The sign-in page, with what was wrong with the last try."""
    wanted = auth.safe_next(next)
    data = {
        "login": "",
        "next": "" if wanted == "/" else wanted,
        "remember": bool(form and form.get("remember")),
        "setup_open": await setup.is_open(),
        "can_passkey": place(request).works and await passwordless.anybody_has_one(),
        "form": form,
    }
    if error is not None:
        return again(request, "accounts/login.html", "login_form", error, **data)
    return page(request, "accounts/login.html", block="login_form", **data)
