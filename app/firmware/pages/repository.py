"""The repository: the list of versions, one version, and what people do with it."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.core.area import Area
from app.core.errors import Invalid
from app.core.i18n import _, ngettext
from app.core.live import Viewer
from app.firmware.pages import words
from app.firmware.service import asking, devices, library, upkeep, verifying, wishes
from app.firmware.service.library import Filter
from app.firmware.service.wording import state_word
from app.web import forms, lists
from app.web.auth import WebRequest
from app.web.lists import Listing
from app.web.pages import page, saved

SHEET = (
    *("id", "version_code", "state", "model", "csc", "display_name", "os_name"),
    *("size_bytes", "bytes_done", "last_used_at"),
)
STATES = ("ready", "partial", "downloading", "queued", "paused", "failed", "evicted")


class GetForm(msgspec.Struct, kw_only=True):
    """Which parts to fetch; none means all."""

    parts: list[str] = []


class FirmwarePages(Controller):
    """Everything below /firmware that shows versions. Every user sees the shared repository."""

    path = "/firmware"
    opt = {"access": "user:firmware"}

    @get("/", name="firmware")
    async def index(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        listing = _listing(request)
        rows, total = await library.list_versions(
            _wanted(listing), limit=listing.step, offset=listing.at
        )
        used, most = await library.disk()
        waiting, troubles = await asking.open_questions(user_id), await asking.troubles(user_id)
        return page(
            request,
            "firmware/index.html",
            block=("firmware_rows", "firmware_active"),
            rows=[words.row(row) for row in rows],
            listing=listing.found(total),
            states={"": _("All"), **{name: state_word(name)[1] for name in STATES}},
            active=[words.card(card) for card in await library.list_active()],
            asking=[words.asked(wish, troubles.get(wish.id)) for wish in waiting],
            devices=await devices.list_devices(user_id),
            ready=await library.count_ready(),
            used=used,
            most=most,
        )

    @get("/csv", name="firmware_csv")
    async def csv(self, request: WebRequest) -> Response[bytes]:
        rows, _total = await library.list_versions(
            _wanted(_listing(request)), limit=lists.MOST_ROWS
        )
        return lists.csv_file(
            "firmware", SHEET, ([getattr(row, name) for name in SHEET] for row in rows)
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


def _listing(request: WebRequest) -> Listing:
    here = request.app.route_reverse("firmware")
    return lists.read_listing(
        request, here, sorts=library.ORDERS, usual=library.USUAL, filters=("look", "os", "q")
    )


def _wanted(listing: Listing) -> Filter:
    said = listing.filters
    state = said["look"] if said["look"] in STATES else ""
    return Filter(q=said["q"], state=state, os=said["os"], sort=listing.sort)


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
