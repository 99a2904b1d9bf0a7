"""All jobs, for admins: the list, and one action on many of them."""

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromQuery

from app.core.i18n import _, ngettext
from app.ops.pages.listing import job_list
from app.ops.pages.parts import query, viewer_of
from app.ops.service import bulk
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import redirect


class BulkForm(msgspec.Struct, kw_only=True):
    """One action on the jobs ticked, or with `all` on everything that matches the filter."""

    action: str
    id: list[str] = []
    all: bool = False
    state: str = ""
    q: str = ""
    newest: str = ""


class JobsPages(Controller):
    """The list."""

    path = "/admin/queue"
    opt = {"access": "admin"}

    @get("/jobs", name="queue_jobs")
    async def jobs(
        self,
        request: WebRequest,
        q: FromQuery[str] = "",
        before: FromQuery[str] = "",
        top: FromQuery[str] = "",
    ) -> Response[str]:
        return await job_list(request, q, before, top, mine=False)

    @post("/bulk", name="queue_bulk", status_code=303)
    async def bulk(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, BulkForm)
        done = await bulk.act(
            viewer_of(request),
            form.action,
            ids=[] if form.all else form.id,
            state=form.state,
            q=form.q,
            newest=form.newest if form.all else "",
            ip=client_ip(request),
        )
        if done.job_id:
            url = request.app.route_reverse("queue_job", job_id=done.job_id)
            return redirect(request, url, toast=_("Working on it."))
        url = request.app.route_reverse("queue_jobs") + query(state=form.state, q=form.q)
        text = ngettext("%(n)s job changed.", "%(n)s jobs changed.", done.changed)
        return redirect(request, url, toast=text)
