"""A person's own devices."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.core.errors import Conflict, Invalid
from app.core.i18n import _
from app.firmware import regions, versions
from app.firmware.pages.words import told
from app.firmware.service import devices, lookup
from app.firmware.service.devices import Device, DeviceForm
from app.web import forms, lists
from app.web.auth import WebRequest
from app.web.inline import said
from app.web.pages import page, redirect


class FirmwareDevicePages(Controller):
    """Everything below /firmware/devices; each row is looked up by its owner."""

    path = "/firmware/devices"
    opt = {"access": "user:firmware"}

    @get("/", name="firmware_devices")
    async def index(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        edit: FromQuery[int | None] = None,
    ) -> Response[str]:
        return await _index(request, user_id, edit)

    @post("/", name="firmware_device_add", status_code=303)
    async def add(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return await _save(request, user_id, None)

    @post("/check", name="firmware_device_check", status_code=200)
    async def check(self, request: WebRequest) -> Response[str]:
        """What is wrong with one field, here or in a look-up, while the form is filled in."""
        errors = devices.look_at(await forms.read_form(request, DeviceForm))
        return said(request, errors)

    @post("/{device_id:int}", name="firmware_device_save", status_code=303)
    async def save(
        self, request: WebRequest, user_id: NamedDependency[str], device_id: FromPath[int]
    ) -> Response[str]:
        return await _save(request, user_id, device_id)

    @post("/{device_id:int}/delete", name="firmware_device_delete", status_code=303)
    async def delete(
        self, request: WebRequest, user_id: NamedDependency[str], device_id: FromPath[int]
    ) -> Response[str]:
        await devices.delete_device(user_id, device_id)
        url = request.app.route_reverse("firmware_devices")
        return redirect(request, url, toast=_("The device is forgotten."))


async def _save(request: WebRequest, user_id: str, device_id: int | None) -> Response[str]:
    posted = await forms.read(request)
    try:
        form = forms.check(posted, DeviceForm)
        saved_id = await devices.save_device(user_id, form, device_id)
    except (Invalid, Conflict) as error:
        fields = error.fields if isinstance(error, Invalid) else {"form": error.message}
        shown = {key: value for key, value in posted.items() if key not in ("imei", "serial")}
        return await _index(request, user_id, device_id, status=422, form=shown, errors=fields)
    device = await devices.get_device(user_id, saved_id)
    await lookup.order_check(device.model, device.csc[:3], owner=user_id)
    url = request.app.route_reverse("firmware_devices")
    return redirect(request, url, toast=_("Saved."))


async def _index(
    request: WebRequest, user_id: str, edit: int | None, *, status: int = 200, **more: Any
) -> Response[str]:
    editing = await devices.get_device(user_id, edit) if edit else None
    here = request.app.route_reverse("firmware_devices")
    listing = lists.read_listing(request, here, sorts=(), usual="", filters=())
    shown = await devices.list_devices(user_id, limit=listing.step, offset=listing.at)
    return page(
        request,
        "firmware/devices.html",
        block="firmware_devices",
        status=status,
        devices=[_device(each) for each in shown],
        listing=listing.found(await devices.count_devices(user_id)),
        editing=editing,
        regions=regions.options(),
        models=await lookup.known_models(),
        **more,
    )


def _device(device: Device) -> dict[str, Any]:
    new, old = versions.read(device.latest_seen), versions.read(device.device_version)
    look, word = "planned", _("not looked up yet")
    if device.latest_seen and not device.device_version:
        word = _("version not given")
    elif device.has_update:
        look, word = "ready", _("update found")
    elif device.latest_seen:
        look, word = "success", _("up to date")
    return {
        "id": device.id,
        "name": device.name,
        "model": device.model,
        "csc": device.csc,
        "imei": device.imei or device.serial,
        "has": told(old) or versions.pda(device.device_version),
        "newest": told(new) or versions.pda(device.latest_seen),
        "latest": device.latest_seen,
        "watch": device.watch,
        "auto_fetch": device.auto_fetch,
        "checked": device.last_checked_at,
        "look": look,
        "word": word,
        "update": device.has_update,
        "downgrade": versions.is_downgrade(device.latest_seen, device.device_version),
    }
