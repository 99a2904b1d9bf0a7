"""Devices a run can appear as: presets as cards, own profiles, and what each driver honours."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.core.errors import Conflict, Invalid
from app.core.i18n import _
from app.tickets.pages.words import tried, ways
from app.tickets.service import devices, trying
from app.tickets.service.devices import DeviceForm
from app.web import forms
from app.web.auth import WebRequest
from app.web.inline import said
from app.web.pages import is_fragment, page, redirect

TEMPLATE = "tickets/device.html"
KEEP = ("proxy_password",)


class DevicePages(Controller):
    """Everything below /tickets/devices."""

    path = "/tickets/devices"
    opt = {"access": "user:tickets"}

    @get("/", name="tickets_devices")
    async def index(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        cards = await devices.list_devices(user_id)
        return page(
            request,
            "tickets/devices.html",
            own=[_card(card) for card in cards if card.own],
            presets=[_card(card) for card in cards if not card.own],
            fields=_fields(),
            names=ways(),
        )

    @get("/new", name="tickets_device_new")
    async def blank(self, request: WebRequest) -> Response[str]:
        return _form(request, DeviceForm(), "")

    @post("/new", name="tickets_device_make", status_code=303)
    async def make(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return await _save(request, user_id, "")

    @post("/check", name="tickets_device_check", status_code=200)
    async def check(self, request: WebRequest) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, DeviceForm, keep_space=KEEP)
            errors = devices.check(form)
        except Invalid as error:
            form, errors = DeviceForm(), error.fields
        if forms.looked_at(request):
            return said(request, errors)
        if not is_fragment(request):
            return _form(request, form, "", errors=errors)
        return page(
            request,
            TEMPLATE,
            block="device_works",
            device=form,
            profile_id="",
            live_errors=list(errors.values()),
            **_works(form),
        )

    @get("/{profile_id:str}", name="tickets_device")
    async def edit(
        self, request: WebRequest, user_id: NamedDependency[str], profile_id: FromPath[str]
    ) -> Response[str]:
        return _form(request, await devices.get_device(user_id, profile_id), profile_id)

    @post("/{profile_id:str}", name="tickets_device_save", status_code=303)
    async def save(
        self, request: WebRequest, user_id: NamedDependency[str], profile_id: FromPath[str]
    ) -> Response[str]:
        await devices.get_device(user_id, profile_id)
        return await _save(request, user_id, profile_id)

    @post("/{profile_id:str}/choose", name="tickets_device_choose", status_code=303)
    async def choose(
        self, request: WebRequest, user_id: NamedDependency[str], profile_id: FromPath[str]
    ) -> Response[str]:
        await devices.choose_device(user_id, profile_id)
        here = request.app.route_reverse("tickets_devices")
        return redirect(request, here, toast=_("Runs appear as this device from now on."))

    @post("/{profile_id:str}/delete", name="tickets_device_delete", status_code=303)
    async def delete(
        self, request: WebRequest, user_id: NamedDependency[str], profile_id: FromPath[str]
    ) -> Response[str]:
        await devices.remove_device(user_id, profile_id)
        here = request.app.route_reverse("tickets_devices")
        return redirect(request, here, toast=_("The device was deleted."))

    @post("/{profile_id:str}/try", name="tickets_device_try", status_code=303)
    async def try_proxy(
        self, request: WebRequest, user_id: NamedDependency[str], profile_id: FromPath[str]
    ) -> Response[str]:
        here = request.app.route_reverse("tickets_device", profile_id=profile_id)
        try:
            toast = tried(await trying.try_proxy(user_id, profile_id))
        except Conflict as error:
            toast = str(error)
        return redirect(request, here, toast=toast)


async def _save(request: WebRequest, user_id: str, profile_id: str) -> Response[str]:
    posted = await forms.read(request)
    admin = request.user is not None and request.user.role == "admin"
    try:
        form = forms.check(posted, DeviceForm, keep_space=KEEP)
        await devices.save_device(user_id, form, profile_id, admin=admin)
    except Invalid as error:
        shown = msgspec.convert(
            {k: v for k, v in posted.items() if k not in KEEP}, DeviceForm, strict=False
        )
        return _form(request, shown, profile_id, status=422, errors=error.fields)
    here = request.app.route_reverse("tickets_devices")
    return redirect(request, here, toast=_("Saved."))


def _form(
    request: WebRequest,
    device: DeviceForm,
    profile_id: str,
    *,
    status: int = 200,
    errors: dict[str, str] | None = None,
) -> Response[str]:
    return page(
        request,
        TEMPLATE,
        block="device_form",
        status=status,
        device=device,
        profile_id=profile_id,
        errors=errors or {},
        live_errors=[],
        **_works(device),
    )


def _works(form: DeviceForm) -> dict[str, Any]:
    honoured = devices.works_with(form.proxy_url, bool(form.proxy_login))
    names = ways()
    return {
        "works": [
            {"word": names[way], "look": "success" if way in honoured else "off"}
            for way in ("http", "browser")
        ]
    }


def _card(card: devices.DeviceCard) -> dict[str, Any]:
    high = 60 if card.height >= card.width else max(round(60 * card.height / card.width), 12)
    wide = max(round(high * card.width / card.height), 12)
    names = {
        "holdfast": _("Holdfast itself (honest)"),
        "desktop_chrome": "Chrome, Windows",
        "mobile_android": "Chrome, Android",
        "iphone_13": "iPhone 13",
        "tablet_ipad": "iPad",
        "desktop_firefox": "Firefox, Linux",
        "mac_safari": "Safari, Mac",
        "android_galaxy": "Galaxy, Android",
        "iphone_15_pro": "iPhone 15 Pro",
    }
    ways_there = ways()
    return {
        **msgspec.structs.asdict(card),
        "works_with": [ways_there[way] for way in card.works_with],
        "title": card.name if card.own else names.get(card.name, card.name),
        "frame": {"w": wide, "h": high, "x": (80 - wide) / 2, "y": (64 - high) / 2},
    }


def _fields() -> list[dict[str, str]]:
    """Which driver honours which field: a table for the page."""
    yes, no = _("yes"), _("no")
    own = _("own devices only")
    rows = (
        (_("Browser name (user agent)"), yes, own),
        (_("Language"), yes, yes),
        (_("Size of the window"), no, yes),
        (_("Phone, touch, pixel ratio"), no, yes),
        (_("Time zone"), no, yes),
        (_("Place"), no, yes),
        (_("Proxy http, https"), yes, yes),
        (_("Proxy socks5 without a login"), yes, yes),
        (_("Proxy socks5 with a login"), yes, no),
        (_("Proxy socks4"), no, _("without a login")),
    )
    return [{"field": field, "http": http, "browser": browser} for field, http, browser in rows]
