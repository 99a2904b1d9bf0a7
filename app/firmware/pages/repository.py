"""The repository: the list of versions, one version, and what people do with it."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.core.area import Area
from app.core.errors import Invalid
from app.core.i18n import _, ngettext
from app.core.live import Viewer
from app.firmware.pages import words
from app.firmware.service import devices, library, upkeep, verifying, wishes
from app.firmware.service.library import Filter
from app.firmware.service.wording import state_word
from app.web import forms
from app.web.auth import WebRequest
from app.web.pages import page, saved

STATES = ("ready", "partial", "downloading", "queued", "paused", "failed", "evicted")


class GetForm(msgspec.Struct, kw_only=True):
    """Which parts to fetch; none means all."""

    parts: list[str] = []


class FirmwarePages(Controller):
    """Everything below /firmware that shows versions. Every user sees the shared repository."""

    path = "/firmware"
    opt = {"access": "user:firmware"}

    @get("/", name="firmware")
    async def index(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        q: FromQuery[str] = "",
        look: FromQuery[str] = "",
        os: FromQuery[str] = "",
        sort: FromQuery[str] = "new",
        at: FromQuery[int] = 0,
    ) -> Response[str]:
        wanted = Filter(
            q=q.strip()[:60],
            state=look if look in STATES else "",
            os=os[:20],
            sort=sort if sort in library.SORTS else "new",
            at=max(0, min(at, 10_000)),
        )
        rows, more = await library.list_versions(wanted)
        used, most = await library.disk()
        return page(
            request,
            "firmware/index.html",
            block=("firmware_rows", "firmware_active"),
            rows=[words.row(row) for row in rows],
            more=more,
            wanted=wanted,
            q=wanted.q,
            states=[(name, state_word(name)[1]) for name in STATES],
            active=[words.card(card) for card in await library.list_active()],
            asking=[words.asked(wish) for wish in await wishes.asking(user_id)],
            devices=await devices.list_devices(user_id),
            ready=await library.count_ready(),
            used=used,
            most=most,
        )

    @get("/{firmware_id:int}", name="firmware_show")
    async def show(
        self, request: WebRequest, user_id: NamedDependency[str], firmware_id: FromPath[int]
    ) -> Response[str]:
        return await _show(request, user_id, firmware_id)

    @post("/{firmware_id:int}/get", name="firmware_get", status_code=303)
    async def fetch(
        self, request: WebRequest, user_id: NamedDependency[str], firmware_id: FromPath[int]
    ) -> Response[str]:
        form = await forms.read_form(request, GetForm)
        version = (await library.get_card(user_id, firmware_id)).version
        await wishes.order(
            user_id,
            version.model or "",
            version.csc or "",
            version.version_code,
            parts=tuple(form.parts),
        )
        return await _done(request, user_id, firmware_id)

    @post("/{firmware_id:int}/pause", name="firmware_pause", status_code=303)
    async def pause(
        self, request: WebRequest, user_id: NamedDependency[str], firmware_id: FromPath[int]
    ) -> Response[str]:
        await wishes.pause(user_id, firmware_id, admin=_is_admin(request))
        return await _done(request, user_id, firmware_id)

    @post("/{firmware_id:int}/resume", name="firmware_resume", status_code=303)
    async def resume(
        self, request: WebRequest, user_id: NamedDependency[str], firmware_id: FromPath[int]
    ) -> Response[str]:
        await wishes.resume(user_id, firmware_id)
        return await _done(request, user_id, firmware_id)

    @post("/{firmware_id:int}/cancel", name="firmware_cancel", status_code=303)
    async def cancel(
        self, request: WebRequest, user_id: NamedDependency[str], firmware_id: FromPath[int]
    ) -> Response[str]:
        await wishes.cancel_own(user_id, firmware_id)
        return await _done(request, user_id, firmware_id)

    @post("/{firmware_id:int}/verify", name="firmware_verify", status_code=303)
    async def verify(
        self, request: WebRequest, user_id: NamedDependency[str], firmware_id: FromPath[int]
    ) -> Response[str]:
        await verifying.order_verify(user_id, firmware_id)
        return await _done(request, user_id, firmware_id)

    @post(
        "/{firmware_id:int}/{action:str}",
        name="firmware_admin_act",
        opt={"access": "admin"},
        status_code=303,
    )
    async def act(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        firmware_id: FromPath[int],
        action: FromPath[str],
    ) -> Response[str]:
        match action:
            case "pin" | "unpin":
                await upkeep.pin(firmware_id, pinned=action == "pin")
            case "evict":
                await upkeep.evict(firmware_id)
            case _:
                raise Invalid(action=_("There is no such action."))
        return await _done(request, user_id, firmware_id)


async def describe(viewer: Viewer) -> Area | None:
    """The line of this domain on the dashboard."""
    if "firmware" not in viewer.domains:
        return None
    ready = await library.count_ready()
    active = await library.list_active()
    used, _most = await library.disk()
    running = next((card for card in active if card.version.state == "downloading"), None)
    return Area(
        title=_("Firmware"),
        icon="firmware",
        url="/firmware",
        stands=ngettext("%(n)s version here", "%(n)s versions here", ready),
        sub=running.pda if running else "",
        next=f"{round(100 * running.done / max(running.version.size_bytes, 1))} %"
        if running
        else "",
        spark=running.speeds[-30:] if running else [],
        size_bytes=used,
    )


async def _show(request: WebRequest, user_id: str, firmware_id: int) -> Response[str]:
    found = words.card(await library.get_card(user_id, firmware_id))
    admin = _is_admin(request)
    return page(
        request,
        "firmware/show.html",
        block=("firmware_now", "firmware_facts"),
        fw=found,
        admin=admin,
    )


async def _done(request: WebRequest, user_id: str, firmware_id: int) -> Response[str]:
    data: dict[str, Any] = {
        "fw": words.card(await library.get_card(user_id, firmware_id)),
        "admin": _is_admin(request),
    }
    url = request.app.route_reverse("firmware_show", firmware_id=firmware_id)
    return saved(request, url, "firmware", "firmware/show.html", block="firmware_now", **data)


def _is_admin(request: WebRequest) -> bool:
    return request.user is not None and request.user.role == "admin"
