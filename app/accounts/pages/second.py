"""Between the password and the house: the second factor, and showing later who one still is."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from app.accounts.pages.qr import draw
from app.accounts.pages.replies import REFUSALS, again, caller, known_here, remember_here
from app.accounts.service import confirming, factors, totp
from app.accounts.service.factors import CodeRefused, StepOver
from app.core.errors import AppError, NotFound
from app.web import auth, cookies, forms
from app.web.auth import Principal, WebRequest
from app.web.links import url
from app.web.pages import page, redirect


class CodeForm(msgspec.Struct, kw_only=True):
    """A code of the app, or a recovery code."""

    code: str
    next: str = "/"


class ConfirmForm(msgspec.Struct, kw_only=True):
    """The password once more."""

    password: str
    next: str = "/"


class SecondPages(Controller):
    """Reached by a pre-session only; everybody else is at the wrong door."""

    path = "/login/second"
    opt = {"access": "anon_only"}

    @get("/", name="second")
    async def show(self, request: WebRequest, next: FromQuery[str] = "") -> Response[str]:
        half = half_way_in(request)
        if half is None:
            return redirect(request, url(request, "login"))
        return await second_page(request, half, next=next)

    @post("/", name="second_post", status_code=303)
    async def enter(self, request: WebRequest) -> Response[str]:
        half = half_way_in(request)
        if half is None:
            return redirect(request, url(request, "login"))
        posted = await forms.read(request)
        known, asked = known_here(request), str(posted.get("next", ""))
        try:
            form = forms.check(posted, CodeForm)
            if await factors.standing(half.id, half.role) == "enrol":
                passed = await factors.enrol(half.session_id, half.id, form.code, caller(request))
            else:
                passed = await factors.pass_code(
                    half.session_id, half.id, form.code, caller(request), known=known
                )
        except (StepOver, NotFound) as over:
            return back_to_password(request, over)
        except (CodeRefused, *REFUSALS) as error:
            return await second_page(request, half, error, next=asked)
        return admit(request, passed, auth.safe_next(form.next))


class ConfirmPages(Controller):
    """The password once more, before admin and security pages open."""

    path = "/account/confirm"
    opt = {"access": "user"}

    @get("/", name="confirm")
    async def show(self, request: WebRequest, next: FromQuery[str] = "") -> Response[str]:
        return page(
            request, "accounts/confirm.html", block="confirm_form", next=auth.safe_next(next)
        )

    @post("/", name="confirm_post", status_code=303)
    async def confirm(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        wanted = auth.safe_next(str(posted.get("next", "")))
        session_id = request.user.session_id if request.user else ""
        try:
            form = forms.check(posted, ConfirmForm)
            renewed = await confirming.confirm(user_id, session_id, form.password, caller(request))
        except REFUSALS as error:
            return again(
                request, "accounts/confirm.html", "confirm_form", error, form=posted, next=wanted
            )
        response = redirect(request, wanted)
        cookies.set_session_cookie(response, request, renewed.token, renewed.remember)
        return response


def admit(request: WebRequest, passed: factors.Passed, wanted: str) -> Response[str]:
    """In, with both factors; first past the recovery codes, where there are fresh ones."""
    if passed.codes:
        response = codes_page(request, passed.codes, wanted)
    else:
        response = redirect(request, wanted)
    cookies.set_session_cookie(response, request, passed.token, passed.remember)
    remember_here(response, request, passed.user_id, known_here(request))
    return response


def codes_page(request: WebRequest, codes: list[str], wanted: str) -> Response[str]:
    """Fresh recovery codes, for the only time."""
    return page(request, "accounts/codes.html", codes=codes, onward_url=wanted)


def half_way_in(request: WebRequest) -> Principal | None:
    """Whoever stands between the factors; nobody else."""
    half = request.scope.get("auth")
    return half if isinstance(half, Principal) and half.auth_level == 0 else None


def back_to_password(request: WebRequest, error: AppError) -> Response[str]:
    """The way in is over; it begins anew."""
    response = redirect(request, url(request, "login"), toast=error.message)
    cookies.clear_cookie(response, request, cookies.SESSION)
    return response


async def second_page(
    request: WebRequest, half: Principal, error: AppError | None = None, *, next: str = ""
) -> Response[str]:
    """The door of the second factor, with what was wrong with the last try."""
    wanted = auth.safe_next(next)
    have = await factors.get_factors(half.id)
    offer = None
    if not have.any:
        if not await factors.is_required(half.role):
            # The last factor went while somebody stood at this door: the password begins anew.
            return back_to_password(request, NotFound())
        offer = await totp.offer(half.id, half.login, half.session_id, request.url.netloc)
    data: dict[str, Any] = {
        "next": "" if wanted == "/" else wanted,
        "has_app": have.totp,
        "has_passkey": have.passkeys > 0,
        "offer": offer,
        "qr": draw(offer.uri) if offer else None,
    }
    if error is not None:
        return again(request, "accounts/second.html", "second_form", error, **data)
    return page(request, "accounts/second.html", block="second_form", **data)
