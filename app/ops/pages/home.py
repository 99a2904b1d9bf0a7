"""The dashboard, and every part in every state."""

from litestar import Controller, Response, get

from app.core.ordering import Came
from app.ops import dashboard
from app.ops.pages.parts import viewer_of
from app.web import lists
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page


class DashboardPages(Controller):
    """Home: what needs you, what runs, where each area stands."""

    @get("/", name="dashboard", opt={"access": "user"})
    async def show(self, request: WebRequest) -> Response[str]:
        viewer, demo = viewer_of(request), bool(request.app.state.get("demo"))
        data = await dashboard.get_dashboard(viewer, request.app.state.areas)
        tour = dashboard.tour(viewer) if demo else []
        return page(request, "dashboard.html", block="dashboard_now", tour=tour, **data)


class PatternPages(Controller):
    """Every part in every state."""

    @get("/admin/patterns", name="patterns", opt={"access": "admin"})
    async def show(self, request: WebRequest) -> Response[str]:
        here = url(request, "patterns")
        listing = lists.read_listing(request, here, sorts=("name", "size"), usual="name")
        return page(
            request,
            "ops/patterns.html",
            listing=listing.found(1204, Came(newest="1200", newer=4)),
        )
