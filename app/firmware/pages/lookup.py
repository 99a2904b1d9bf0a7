"""Look-up: model and region in, versions out; from here a version is fetched."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from app.core.errors import Conflict, Invalid
from app.core.i18n import _, fmt_month
from app.firmware import imei as imeis
from app.firmware import regions, versions
from app.firmware.pages.words import told
from app.firmware.service import devices, lookup, wishes
from app.firmware.service.devices import Device, DeviceForm
from app.firmware.service.lookup import Known
from app.firmware.service.wording import state_word, words
from app.web import forms
from app.web.auth import WebRequest
from app.web.pages import page, redirect


class LookupForm(msgspec.Struct, kw_only=True):
    """What to look up. `answer`: the phone's own words in place of the rest."""

    model: str = ""
    csc: str = ""
    imei: str = ""
    answer: str = ""


class OrderForm(msgspec.Struct, kw_only=True):
    """Which version to fetch, for which device."""

    model: str = ""
    csc: str = ""
    version: str = ""
    device: int | None = None
    query: str = ""
    take_served: bool = False


class FirmwareLookupPages(Controller):
    """Everything below /firmware/lookup."""

    path = "/firmware/lookup"
    opt = {"access": "user:firmware"}

    @get("/", name="firmware_lookup")
    async def show(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        model: FromQuery[str] = "",
        csc: FromQuery[str] = "",
        device: FromQuery[int | None] = None,
        asked: FromQuery[str] = "",
        beta: FromQuery[bool] = False,
    ) -> Response[str]:
        errors: dict[str, str] = {}
        try:
            model = imeis.tidy_model(model) if model else ""
            csc = imeis.tidy_csc(csc)[0] if csc else ""
        except Invalid as error:
            errors, model = error.fields, ""
        own = await _device(user_id, device)
        data = await _data(user_id, model, csc, own, beta=beta)
        asked = asked if len(asked) == 36 else ""
        return page(
            request,
            "firmware/lookup.html",
            block="firmware_found",
            status=422 if errors else 200,
            errors=errors,
            form={"model": model, "csc": csc},
            query=asked,
            **data,
        )

    @post("/", name="firmware_lookup_post", status_code=303)
    async def look(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, LookupForm)
            typed = DeviceForm(model=form.model, csc=form.csc, imei=form.imei, answer=form.answer)
            values = devices.tidy(typed)
            device_id = await devices.keep_number(user_id, typed)
        except Invalid as error:
            data = await _data(user_id, "", "", None, beta=False)
            # the number is typed again rather than written into a page
            shown = {name: value for name, value in posted.items() if name != "imei"}
            return page(
                request,
                "firmware/lookup.html",
                status=422,
                form=shown,
                errors=error.fields,
                query="",
                **data,
            )
        query = lookup.new_query() if device_id else ""
        model, csc = values["model"], values["csc"]
        await lookup.order_check(
            model, csc, owner=user_id, device_id=device_id, query_id=query or None
        )
        extra = f"&device={device_id}&asked={query}" if device_id else ""
        url = request.app.route_reverse("firmware_lookup")
        return redirect(request, f"{url}?model={model}&csc={csc}{extra}")

    @post("/get", name="firmware_order", status_code=303)
    async def order(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        form = await forms.read_form(request, OrderForm)
        own = await _device(user_id, form.device)
        model, csc = imeis.tidy_model(form.model), imeis.tidy_csc(form.csc)[0]
        home = request.app.route_reverse("firmware_lookup")
        back = f"{home}?model={model}&csc={csc}"
        try:
            await wishes.order(
                user_id,
                model,
                csc,
                form.version,
                device_id=own.id if own else None,
                query_id=form.query if own and len(form.query) == 36 else None,
                take_served=form.take_served,
            )
        except Invalid as error:
            data = await _data(user_id, model, csc, own, beta=False)
            typed = {"model": model, "csc": csc, "version": form.version}
            return page(
                request,
                "firmware/lookup.html",
                status=422,
                form=typed,
                errors=error.fields,
                query="",
                **data,
            )
        except Conflict as error:
            return redirect(request, back, toast=error.message)
        url = request.app.route_reverse("firmware")
        return redirect(request, url, toast=_("Asked for. You will see it here."))


async def _device(user_id: str, device_id: int | None) -> Device | None:
    return await devices.get_device(user_id, device_id) if device_id else None


async def _data(
    user_id: str, model: str, csc: str, device: Device | None, *, beta: bool
) -> dict[str, Any]:
    known = await lookup.list_known(model, csc) if model and csc else []
    asking = await lookup.last_asking(model, csc) if model and csc else None
    newest = await lookup.newest_version(model, csc) if known else None
    runs = device.device_version if device else ""
    fault = words(asking.error_code, asking.error_text) if asking and not known else None
    return {
        "model": model,
        "csc": csc,
        "country": regions.country_of(csc),
        "hint": imeis.hint_model(model) if model else "",
        "near": [(code, regions.country_of(code)) for code in regions.near(csc)],
        "regions": regions.options(),
        "models": await lookup.known_models(),
        "devices": await devices.list_devices(user_id),
        "device": device,
        "asking": asking,
        "fault": fault if fault and fault.title else None,
        "newest": next((_version(v, runs) for v in known if v.version_code == newest), None),
        "announced": [_version(v, runs) for v in known if v.kind == "unreleased"],
        "months": _months([v for v in known if v.kind == "stable"], runs),
        "betas": [_version(v, runs) for v in known if v.kind == "beta"] if beta else [],
        "beta_count": sum(v.kind == "beta" for v in known),
        "beta": beta,
        "mismatches": await wishes.mismatches(user_id, model, csc) if model else [],
    }


def _months(known: Sequence[Known], runs: str) -> list[dict[str, Any]]:
    """The history, month by month."""

    def month(version: Known) -> str:
        reading = version.reading
        if version.opened_at:
            return version.opened_at[:7]
        return reading.month.isoformat()[:7] if reading else ""

    return [
        {
            "title": fmt_month(f"{name}-01", "MMMM y") if name else _("no date"),
            "versions": [_version(version, runs) for version in group],
        }
        for name, group in groupby(known, key=month)
    ]


def _version(known: Known, runs: str) -> dict[str, Any]:
    reading = known.reading
    return {
        "code": known.version_code,
        "pda": known.pda,
        "told": told(reading),
        "bootloader": reading.bootloader if reading else None,
        "os": known.os_name,
        "opened": known.opened_at,
        "firmware_id": known.firmware_id,
        "state": state_word(known.state) if known.state and known.state != "new" else None,
        "downgrade": bool(runs) and versions.is_downgrade(known.version_code, runs),
        "runs": runs == known.version_code,
    }
