"""The login at the university, what may be done with it, and where copies go."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from app.core.errors import Conflict, Invalid
from app.core.i18n import _
from app.tickets.outcomes import Outcome
from app.tickets.pages.words import outcome_of, tried
from app.tickets.service import checks, choices, copies, devices, library, logins, trying
from app.tickets.service.choices import Choices
from app.tickets.service.wording import wording
from app.web import forms
from app.web.auth import WebRequest
from app.web.pages import page, redirect, saved

TEMPLATE = "tickets/settings.html"
BLOCKS = ("ticket_settings", "ticket_push")


class SettingsForm(msgspec.Struct, kw_only=True):
    """The login and what may be done with it. Empty number or password: the stored one stays."""

    uk_number: str = ""
    uk_password: str = ""
    agree: bool = False
    auto_download: bool = False
    auto_consent: bool = False
    accept_terms: bool = False
    holder_name: str = ""
    device_profile: str = ""
    notify_new: bool = False
    notify_failed: bool = False
    notify_expiring: bool = False


class PushForm(msgspec.Struct, kw_only=True):
    """Where a copy of each new ticket goes. Empty password: the stored one stays."""

    push_url: str = ""
    push_login: str = ""
    push_password: str = ""


class TicketSettingsPages(Controller):
    """Everything below /tickets/settings."""

    path = "/tickets/settings"
    opt = {"access": "user:tickets"}

    @get("/", name="tickets_settings")
    async def show(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return page(request, TEMPLATE, block=BLOCKS, **await _data(user_id))

    @post("/", name="tickets_settings_post", status_code=303)
    async def save(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, SettingsForm, keep_space=("uk_password",))
            await _save(user_id, form)
        except Invalid as error:
            return await _again(request, user_id, posted, error, "ticket_settings")
        home = request.app.route_reverse("tickets")
        return saved(request, home, "tickets", TEMPLATE, toast=_("Saved."))

    @post("/check", name="tickets_check", status_code=303)
    async def check(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        await checks.order_check(user_id)
        home = request.app.route_reverse("tickets")
        return redirect(request, home, toast=_("The login is being checked."))

    @post("/again", name="tickets_again", status_code=303)
    async def again(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        try:
            await checks.try_again(user_id)
        except Conflict as error:
            here = request.app.route_reverse("tickets_settings")
            return redirect(request, here, toast=str(error))
        home = request.app.route_reverse("tickets")
        return redirect(request, home, toast=_("The login is being checked."))

    @post("/forget", name="tickets_forget", status_code=303)
    async def forget(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        await logins.remove_login(user_id)
        here = request.app.route_reverse("tickets_settings")
        return redirect(request, here, toast=_("The login was deleted."))

    @post("/push", name="tickets_push", status_code=303)
    async def push(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, PushForm, keep_space=("push_password",))
            if form.push_url:
                await copies.save_push(user_id, form.push_url, form.push_login, form.push_password)
            else:
                await copies.remove_push(user_id)
        except Invalid as error:
            return await _again(request, user_id, posted, error, "ticket_push")
        here = request.app.route_reverse("tickets_settings")
        return saved(request, here, "tickets", TEMPLATE, toast=_("Saved."))

    @post("/push/try", name="tickets_push_try", status_code=303)
    async def try_push(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        here = request.app.route_reverse("tickets_settings")
        try:
            toast = tried(await trying.try_push(user_id))
        except Conflict as error:
            toast = str(error)
        return redirect(request, here, toast=toast)


async def _again(
    request: WebRequest, user_id: str, posted: forms.Form, error: Invalid, block: str
) -> Response[str]:
    shown = {name: value for name, value in posted.items() if not name.endswith("password")}
    data = await _data(user_id)
    return page(request, TEMPLATE, block=block, status=422, form=shown, errors=error.fields, **data)


async def _data(user_id: str) -> dict[str, Any]:
    chosen = await choices.get_choices(user_id)
    login = await logins.find_login(user_id)
    status = None
    if login and login.status:
        words = wording(Outcome.OK if login.status == "ok" else outcome_of(login.status))
        status = {
            "look": words.look,
            "word": words.word,
            "text": words.text,
            "at": login.last_login_at,
        }
    unreadable = login is not None and not await logins.can_open(user_id)
    return {
        "number_masked": login.uk_number if login else "",
        "password_at": login.saved_at if login else None,
        "keeper": await logins.keeper(),
        "login": status,
        "blocked": bool(login and login.is_blocked),
        "unreadable": unreadable,
        "released": await library.last_released(user_id),
        "push": await copies.get_push(user_id),
        "devices": [
            (card.key, card.name if card.own or card.key != "holdfast" else _("Holdfast (honest)"))
            for card in await devices.list_devices(user_id)
        ],
        **msgspec.structs.asdict(chosen),
        "device_profile": chosen.device_profile or "holdfast",
    }


async def _save(user_id: str, form: SettingsForm) -> None:
    """The login first: choices without one are worth keeping, a login without agreement is not."""
    chosen = Choices(
        auto_download=form.auto_download,
        auto_consent=form.auto_consent,
        accept_terms=form.accept_terms,
        holder_name=form.holder_name,
        device_profile=form.device_profile,
        notify_new=form.notify_new,
        notify_failed=form.notify_failed,
        notify_expiring=form.notify_expiring,
    )
    await choices.check_choices(user_id, chosen)
    stored = await logins.find_login(user_id)
    if (form.uk_number or form.uk_password) and not form.agree:
        raise Invalid(agree=_("Without your agreement the login is not stored."))
    if form.uk_number or form.uk_password or (form.agree and stored is None):
        await checks.save_and_check(user_id, form.uk_number, form.uk_password)
    elif stored and not form.agree:
        await logins.remove_login(user_id)
    await choices.save_choices(user_id, chosen)
