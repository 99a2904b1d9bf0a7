"""From an invite to an account."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath

from app.accounts.pages.replies import REFUSALS, TURNED_AWAY, again, caller, retry_after, welcome
from app.accounts.service import redeem, users
from app.accounts.service.redeem import Gone
from app.core.errors import AppError, Invalid, NotFound
from app.web import auth, cookies, forms
from app.web.auth import WebRequest
from app.web.inline import said
from app.web.links import url
from app.web.pages import page, redirect

JOIN_S = 30 * 60


class JoinForm(msgspec.Struct, kw_only=True):
    """What somebody invited says about themselves; the rest is said by the invite."""

    login: str
    email: str = ""
    password: str


class SoFar(msgspec.Struct, kw_only=True):
    """The same form, half filled in."""

    login: str = ""
    email: str = ""
    password: str = ""


class CodeForm(msgspec.Struct, kw_only=True):
    """A code, or a whole link."""

    code: str


class JoinPages(Controller):
    """From an invite to an account."""

    @get("/join", name="join", opt={"access": "anon_only"})
    async def show(self, request: WebRequest) -> Response[str]:
        secret = _secret(request)
        if not secret:
            return _join_page(request)
        try:
            invite = await redeem.look_at(secret, auth.client_ip(request))
        except TURNED_AWAY as error:
            return _join_page(request, refusal=error)
        return _join_page(request, invite)

    @get("/join/{secret:str}", name="join_link", opt={"access": "anon_only"})
    async def follow(self, request: WebRequest, secret: FromPath[str]) -> Response[str]:
        """Move the secret out of the address, where history and `Referer` would keep it."""
        try:
            await redeem.look_at(secret, auth.client_ip(request))
        except TURNED_AWAY as error:
            response = _join_page(request, refusal=error)
        else:
            response = _keep(request, secret)
            response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @post("/join", name="join_post", opt={"access": "public"}, status_code=303)
    async def enter(self, request: WebRequest) -> Response[str]:
        posted = await forms.read(request)
        if "code" in posted:
            return await _take_code(request, posted)
        secret = _secret(request)
        if not secret:
            return redirect(request, url(request, "join"))
        try:
            form = forms.check(posted, JoinForm)
            entered = await redeem.redeem(
                secret, form.login, form.email, form.password, caller(request)
            )
        except TURNED_AWAY as error:
            return _join_page(request, refusal=error, form=posted)
        except REFUSALS as error:
            return await _join_again(request, secret, error, posted)
        response = welcome(request, entered)
        cookies.clear_cookie(response, request, cookies.JOIN)
        return response

    @post("/join/check", name="join_check", opt={"access": "anon_only"}, status_code=200)
    async def check(self, request: WebRequest) -> Response[str]:
        """What is wrong with one field, while the form is filled in."""
        form = await forms.read_form(request, SoFar)
        errors = dict[str, str]()
        if secret := _secret(request):
            ip = auth.client_ip(request)
            errors = await redeem.look_over(secret, form.login, form.email, form.password, ip)
        return said(request, errors)


def _join_page(
    request: WebRequest,
    invite: redeem.OpenInvite | None = None,
    *,
    refusal: AppError | None = None,
    form: Any = None,
) -> Response[str]:
    response = page(
        request,
        "accounts/join.html",
        block="join_form",
        status=refusal.status if refusal else 200,
        headers=retry_after(refusal) if refusal else {},
        invite=invite,
        refusal=refusal.message if refusal else "",
        can_sign_in=False,
        form=form,
    )
    if isinstance(refusal, Gone | NotFound):
        cookies.clear_cookie(response, request, cookies.JOIN)
    return response


async def _join_again(
    request: WebRequest, secret: str, error: AppError, posted: forms.Form
) -> Response[str]:
    """The form again, unless the invite ended in the meantime."""
    try:
        invite = await redeem.look_at(secret, auth.client_ip(request))
    except TURNED_AWAY as over:
        return _join_page(request, refusal=over, form=posted)
    return again(
        request,
        "accounts/join.html",
        "join_form",
        error,
        invite=invite,
        refusal="",
        can_sign_in=isinstance(error, users.AlreadyRegistered),
        form=posted,
    )


async def _take_code(request: WebRequest, posted: forms.Form) -> Response[str]:
    try:
        secret = redeem.tidy_secret(forms.check(posted, CodeForm).code)
        await redeem.look_at(secret, auth.client_ip(request))
    except Invalid as error:
        more = {"invite": None, "refusal": "", "can_sign_in": False, "form": posted}
        return again(request, "accounts/join.html", "join_form", error, **more)
    except TURNED_AWAY as error:
        return _join_page(request, refusal=error, form=posted)
    return _keep(request, secret)


def _secret(request: WebRequest) -> str | None:
    return cookies.read_signed_cookie(request, cookies.JOIN, JOIN_S)


def _keep(request: WebRequest, secret: str) -> Response[str]:
    response = redirect(request, url(request, "join"))
    cookies.set_signed_cookie(response, request, cookies.JOIN, secret, JOIN_S)
    return response
