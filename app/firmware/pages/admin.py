"""Firmware for admins: the profile and its test, limits, the disk, what the servers answered."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post

from app.core.errors import Invalid
from app.core.i18n import _
from app.core.settings import BadSetting
from app.firmware.pages.words import per_day
from app.firmware.service import importing, overview, upkeep
from app.firmware.service.overview import Tested
from app.firmware.service.wording import words
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import page, redirect

FIELDS = (
    "profile.fota_url",
    "profile.fus_url",
    "profile.cloud_url",
    "profile.protocol",
    "profile.smart_key",
    "profile.kies_keys",
    "connections",
    "min_free_mib",
    "max_bytes",
    "keep_days",
    "keep_latest_per_target",
    "imei_retention_days",
)
SWITCHES = ("confirmed", "keep_zip", "keep_encrypted")


class ImportForm(msgspec.Struct, kw_only=True):
    """Where the files of nanosamfw lie on this server."""

    database: str = ""
    folder: str = ""
    dry_run: bool = False


class FirmwareAdminPages(Controller):
    """Everything below /admin/firmware."""

    path = "/admin/firmware"
    opt = {"access": "admin"}

    @get("/", name="firmware_admin")
    async def show(self, request: WebRequest) -> Response[str]:
        return await _show(request)

    @post("/", name="firmware_admin_save", status_code=303)
    async def save(self, request: WebRequest) -> Response[str]:
        posted = await forms.read(request)
        if unknown := sorted(set(posted) - {*FIELDS, *SWITCHES}):
            # A form that is not this one would untick every switch.
            raise Invalid(form=_("This form has a field we do not know: %(name)s", name=unknown[0]))
        values: dict[str, Any] = {
            name: value for name, value in posted.items() if name in FIELDS and value != ""
        }
        values |= {name: name in posted for name in SWITCHES}
        actor = request.user.id if request.user else ""
        try:
            await overview.save(values, actor, client_ip(request))
        except BadSetting as error:
            return await _show(request, status=422, errors={"form": str(error)})
        url = request.app.route_reverse("firmware_admin")
        return redirect(request, url, toast=_("Saved."))

    @post("/test", name="firmware_admin_test", status_code=200)
    async def test(self, request: WebRequest) -> Response[str]:
        return await _show(request, tested=await overview.try_profile())

    @post("/cleanup", name="firmware_admin_cleanup", status_code=303)
    async def cleanup(self, request: WebRequest) -> Response[str]:
        await upkeep.order_cleanup()
        url = request.app.route_reverse("firmware_admin")
        return redirect(request, url, toast=_("The clean-up is queued."))

    @post("/import", name="firmware_admin_import", status_code=303)
    async def take_over(self, request: WebRequest) -> Response[str]:
        posted = await forms.read(request)
        actor = request.user.id if request.user else ""
        try:
            form = forms.check(posted, ImportForm)
            await importing.order_import(
                form.database, form.folder, dry_run=form.dry_run, actor=actor
            )
        except Invalid as error:
            return await _show(request, status=422, form=posted, errors=error.fields)
        url = request.app.route_reverse("firmware_admin")
        return redirect(request, url, toast=_("The import is queued."))


async def _show(
    request: WebRequest,
    *,
    status: int = 200,
    tested: Tested | None = None,
    **more: Any,
) -> Response[str]:
    disk = await overview.disk()
    values = await overview.values()
    top = max((size for _model, size in disk.models), default=1)
    verdict = None
    if tested:
        fault = words(tested.code, tested.detail)
        verdict = {
            "look": "failed" if tested.code else "success",
            "word": fault.title if tested.code else _("Samsung answers"),
            "text": tested.detail,
            "ms": tested.ms,
        }
    return page(
        request,
        "firmware/admin.html",
        block="firmware_admin",
        status=status,
        fields=[
            {
                "name": name,
                "label": _(values[name].setting.help),
                "value": _plain(values[name].value),
                "choices": [(each, each) for each in values[name].setting.choices],
                "locked": values[name].locked,
            }
            for name in FIELDS
        ],
        switches=[
            {"name": name, "label": _(values[name].setting.help), "on": values[name].value}
            for name in SWITCHES
        ],
        disk=disk,
        models=[(model, size, round(1000 * size / max(top, 1))) for model, size in disk.models],
        answers=[
            (code, _("ok") if code == "ok" else words(code).title, count)
            for code, count in await overview.answers()
        ],
        **per_day(await overview.answers_per_day()),
        keys_changed=await overview.keys_changed(),
        tested=verdict,
        **more,
    )


def _plain(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
