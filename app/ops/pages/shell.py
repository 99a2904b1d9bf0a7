"""Pages of the frame: the inbox, the search with its shortcuts, and the parts that keep fresh."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery

from app.core import notify
from app.core.area import Hit
from app.core.errors import NotFound
from app.core.i18n import _
from app.ops.service import shell
from app.web import forms
from app.web.auth import Principal, SignInNeeded, WebRequest
from app.web.links import root_of
from app.web.pages import is_fragment, may, page, redirect, saved

ROWS, TOASTS, Q_MOST = 50, 3, 100


class NoticeForm(msgspec.Struct, kw_only=True):
    """One notice, or with an empty id all of them."""

    id: str = ""


class ShortcutsForm(msgspec.Struct, kw_only=True):
    """Whether single keys do something."""

    on: bool = False


class ShellPages(Controller):
    """What the frame fetches by itself."""

    opt = {"access": "user"}

    @get("/shell", name="shell")
    async def show(self, request: WebRequest, at: FromQuery[str] = "") -> Response[str]:
        if not is_fragment(request):
            return redirect(request, request.app.route_reverse("dashboard"))
        given = await shell.get_shell(_viewer(request))
        # `at` only says which place of the menu is the present one.
        return page(
            request, "layout.html", block=("rail_places", "bell"), shell=given, path=at[:200]
        )


class NoticePages(Controller):
    """The inbox."""

    path = "/notifications"
    opt = {"access": "user"}

    @get("/", name="notifications")
    async def show(self, request: WebRequest, before: FromQuery[str] = "") -> Response[str]:
        return page(
            request,
            "notifications.html",
            block="notice_rows",
            **await _inbox(request, before=before),
        )

    @get("/new", name="notices_new")
    async def new(self, request: WebRequest, after: FromQuery[str] = "") -> Response[str]:
        if not is_fragment(request):
            return redirect(request, request.app.route_reverse("notifications"))
        found = await notify.list_new(_viewer(request).id, after[:64], TOASTS + 1)
        more = len(found) > TOASTS
        return page(
            request, "_notices.html", block="notice_toasts", toasts=found[:TOASTS], more=more
        )

    @post("/read", name="notices_read", status_code=303)
    async def read(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, NoticeForm)
        await notify.mark_read(_viewer(request).id, form.id)
        return saved(
            request,
            request.app.route_reverse("notifications"),
            "notifications",
            "notifications.html",
            block="notice_rows",
            **await _inbox(request),
        )

    @post("/{notice:str}/open", name="notice_open", status_code=303)
    async def open(self, request: WebRequest, notice: FromPath[str]) -> Response[str]:
        link = await notify.open_notice(_viewer(request).id, notice)
        if link is None:
            raise NotFound
        usable = link.startswith("/") and not link.startswith(("//", "/\\"))
        return redirect(request, link if usable else request.app.route_reverse("notifications"))


class PalettePages(Controller):
    """Search and go: places, actions, and rows the person may see."""

    path = "/palette"
    opt = {"access": "user"}

    @get("/", name="palette")
    async def show(self, request: WebRequest, q: FromQuery[str] = "") -> Response[str]:
        words = q.strip()[:Q_MOST]
        groups = [(_("Places"), _places(request, words))]
        if words:
            for title, find in request.app.state.finders:
                groups.append((_(title), await find(_viewer(request), words)))
        data: dict[str, Any] = {"groups": [group for group in groups if group[1]], "q": words}
        return page(request, "palette.html", block="palette_rows", **data)

    @post("/shortcuts", name="shortcuts", status_code=303)
    async def shortcuts(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, ShortcutsForm)
        await shell.set_shortcuts(_viewer(request).id, form.on)
        toast = _("Shortcuts are on.") if form.on else _("Shortcuts are off.")
        return redirect(request, request.app.route_reverse("palette"), toast=toast)


PAGES = (ShellPages, NoticePages, PalettePages)


def _viewer(request: WebRequest) -> Principal:
    if request.user is None:
        raise SignInNeeded
    return request.user


async def _inbox(request: WebRequest, before: str = "") -> dict[str, Any]:
    url = request.app.route_reverse("notifications")
    rows = await notify.list_notices(_viewer(request).id, before=before, limit=ROWS + 1)
    shown = rows[:ROWS]
    return {
        "rows": shown,
        "unread": (await shell.get_shell(_viewer(request))).unread,
        "here_url": f"{url}?before={before}" if before else url,
        "newer_url": url if before else "",
        "older_url": f"{url}?before={shown[-1].id}" if len(rows) > len(shown) else "",
    }


def _places(request: WebRequest, q: str) -> list[Hit]:
    user = _viewer(request)
    own = (
        ("dashboard", _("Dashboard"), "home", "d"),
        ("notifications", _("Notifications"), "bell", "n"),
        ("my_jobs", _("My jobs"), "queue", "j"),
        ("account", _("Account"), "settings", "s"),
    )
    reverse, root = request.app.route_reverse, root_of(request.scope)
    found = [
        Hit(title=title, url=reverse(name).removeprefix(root), icon=icon, key=key)
        for name, title, icon, key in own
    ]
    found[1:1] = [
        Hit(title=_(item.title), url=item.url, icon=item.icon, key=item.key)
        for item in request.app.state.nav
        if may(user, item.access)
    ]
    wish = q.casefold()
    return [hit for hit in found if wish in hit.title.casefold()]
