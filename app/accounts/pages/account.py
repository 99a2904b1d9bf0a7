"""One's own account: language and look, the password, the devices."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from app.accounts.pages.replies import REFUSALS, again, caller
from app.accounts.service import profile, sessions
from app.core.errors import NotFound
from app.core.i18n import _, speak
from app.web import auth, cookies, forms
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page, redirect, saved

ACCOUNT_BLOCKS = ("account_devices", "account_look", "account_password")


class LookForm(msgspec.Struct, kw_only=True):
    """Language and look."""

    part: str
    locale: str
    theme: str
    time_zone: str = ""


class PasswordForm(msgspec.Struct, kw_only=True):
    """The password that is, and the one to be."""

    part: str
    current: str
    password: str


class DeviceForm(msgspec.Struct, kw_only=True):
    """One device, or with `part` "others" all but this one."""

    part: str
    id: str = ""


class AccountPages(Controller):
    """What is one's own."""

    path = "/account"
    opt = {"access": "user"}

    @get("/", name="account")
    async def show(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        data = await _account_data(request, user_id)
        return page(request, "accounts/account.html", block=ACCOUNT_BLOCKS, **data)

    @post("/", name="account_post", status_code=303)
    async def change(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        part = str(posted.get("part", ""))
        try:
            match part:
                case "look":
                    return await _change_look(request, user_id, posted)
                case "password":
                    return await _change_password(request, user_id, posted)
                case "device" | "others":
                    return await _end_devices(request, user_id, posted)
        except REFUSALS as error:
            data = await _account_data(request, user_id, part=part)
            block = f"account_{part}"
            return again(request, "accounts/account.html", block, error, form=posted, **data)
        raise NotFound


async def _account_data(
    request: WebRequest, user_id: str, *, part: str = "", session_id: str | None = None
) -> dict[str, Any]:
    account = await profile.get_account(user_id)
    current = session_id or (request.user.session_id if request.user else "")
    return {
        "login": account.login,
        "email": account.email,
        "role_word": _("Admin") if account.role == "admin" else _("User"),
        "created_at": account.created_at,
        "invited_by": account.invited_by,
        "look": account.look,
        "zones": profile.time_zones(),
        "devices": [
            msgspec.structs.asdict(device) | {"words": profile.device_words(device.user_agent)}
            for device in await sessions.list_devices(user_id, current)
        ],
        "part": part,
    }


async def _change_look(request: WebRequest, user_id: str, posted: forms.Form) -> Response[str]:
    form = forms.check(posted, LookForm)
    look = profile.Look(locale=form.locale, theme=form.theme, time_zone=form.time_zone)
    await profile.set_look(user_id, look)
    speak(look.locale, look.time_zone)
    return redirect(request, url(request, "account"), toast=_("Saved."))


async def _change_password(request: WebRequest, user_id: str, posted: forms.Form) -> Response[str]:
    form = forms.check(posted, PasswordForm, keep_space=("current", "password"))
    token, remember = await profile.change_password(
        user_id, form.current, form.password, caller(request)
    )
    toast = _("The password was changed. All other devices are signed out.")
    response = redirect(request, url(request, "account"), toast=toast)
    cookies.set_session_cookie(response, request, token, remember)
    return response


async def _end_devices(request: WebRequest, user_id: str, posted: forms.Form) -> Response[str]:
    form = forms.check(posted, DeviceForm)
    ip, current = auth.client_ip(request), request.user.session_id if request.user else ""
    if form.part == "others":
        await sessions.end_sessions(user_id, but=current, ip=ip)
    else:
        await sessions.end_device(user_id, form.id, ip=ip)
    return saved(
        request,
        url(request, "account"),
        "sessions",
        "accounts/account.html",
        block="account_devices",
        toast=_("Signed out there."),
        **await _account_data(request, user_id),
    )
