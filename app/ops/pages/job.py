"""One job for admins: its page, its log and output, and what may be done to it."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import File

from app.core.errors import Invalid, NotFound
from app.core.i18n import _
from app.ops.pages import one
from app.ops.pages.parts import viewer_of
from app.ops.service import acts, edit, log
from app.ops.service import job as service
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import done, is_fragment, page, redirect

_LATER = msgspec.Meta(ge=0, le=31_536_000)


class PlaceForm(msgspec.Struct, kw_only=True):
    """A waiting job's place in the line. `delay_s`: not before so many seconds from now."""

    priority: Annotated[int, msgspec.Meta(ge=-100, le=100)]
    delay_s: Annotated[int, _LATER] | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)]


class JobPages(Controller):
    """One of all jobs."""

    path = "/admin/queue/jobs/{job_id:str}"
    opt = {"access": "admin"}

    @get("/", name="queue_job")
    async def job(
        self,
        request: WebRequest,
        job_id: FromPath[str],
        level: FromQuery[str] = "",
        find: FromQuery[str] = "",
    ) -> Response[str]:
        return await one.show(request, job_id, mine=False, level=level, find=find)

    @get("/log", name="queue_job_log")
    async def log(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await one.save_log(request, job_id, mine=False)

    @get("/output", name="queue_job_output")
    async def output(
        self,
        request: WebRequest,
        job_id: FromPath[str],
        offset: FromQuery[int | None] = None,
        look: FromQuery[str] = "",
    ) -> Response[str]:
        start = None if offset is None else max(0, offset)
        part = await log.read_output(
            viewer_of(request), job_id, offset=start, look=one.known_look(look)
        )
        return page(
            request,
            "ops/output.html",
            block="output_part",
            output=one.output_of(request, job_id, part),
            tail=is_fragment(request),
            job_url=request.app.route_reverse("queue_job", job_id=job_id),
        )

    @get("/output/file", name="queue_job_output_file")
    async def output_file(self, request: WebRequest, job_id: FromPath[str]) -> File:
        path = await log.find_output(viewer_of(request), job_id)
        if path is None:
            raise NotFound
        return File(path, filename=f"{job_id}.log", media_type="text/plain; charset=utf-8")

    @get("/edit", name="queue_job_form")
    async def form(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _form(request, job_id)

    @post("/edit", name="queue_job_edit", status_code=303)
    async def edit(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        typed = await forms.read(request)
        place = {name: text for name, text in typed.items() if not name.startswith(edit.PREFIX)}
        viewer, errors = viewer_of(request), {}
        try:
            payload = await edit.read_payload(viewer, job_id, typed)
        except Invalid as error:
            errors, payload = error.fields, None
        try:
            wish = forms.check(place, PlaceForm)
        except Invalid as error:
            errors |= error.fields
        if errors:
            return await _form(request, job_id, typed=typed, errors=errors)
        await acts.edit_job(
            viewer,
            job_id,
            payload=payload,
            priority=wish.priority,
            delay_s=wish.delay_s,
            max_attempts=wish.max_attempts,
            ip=client_ip(request),
        )
        url = request.app.route_reverse("queue_job", job_id=job_id)
        return redirect(request, url, toast=_("Changed."))

    @post("/run", name="queue_job_run_now", status_code=303)
    async def run_now(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _act(request, job_id, "run_now", _("It starts as soon as a slot is free."))

    @post("/seen", name="queue_job_acknowledge", status_code=303)
    async def seen(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _act(request, job_id, "acknowledge", _("Marked as seen."))

    @post("/release", name="queue_job_release", status_code=303)
    async def release(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _act(request, job_id, "release", _("Taken from its worker."))

    @post("/delete", name="queue_job_delete", status_code=303)
    async def delete(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        await acts.act_on_job(viewer_of(request), job_id, "delete", ip=client_ip(request))
        url = request.app.route_reverse("queue_jobs")
        return redirect(request, url, toast=_("Deleted."))

    @post("/cancel", name="queue_job_cancel", status_code=303)
    async def cancel(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await one.cancel(request, job_id, mine=False)

    @post("/retry", name="queue_job_retry", status_code=303)
    async def retry(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await one.retry(request, job_id, mine=False)


async def _act(request: WebRequest, job_id: str, action: str, toast: str) -> Response[str]:
    await acts.act_on_job(viewer_of(request), job_id, action, ip=client_ip(request))
    url = request.app.route_reverse("queue_job", job_id=job_id)
    return done(request, url, f"job-{job_id}", toast=toast)


async def _form(
    request: WebRequest,
    job_id: str,
    *,
    typed: forms.Form | None = None,
    errors: dict[str, str] | None = None,
) -> Response[str]:
    viewer = viewer_of(request)
    card = await service.get_job(viewer, job_id, mine=False)
    given: dict[str, Any] = {
        "wanted": await edit.get_form(viewer, job_id),
        "prefix": edit.PREFIX,
        "label": _(card.row.label),
        "job_id": job_id,
        "form": typed,
        "errors": errors or {},
    }
    return page(
        request, "ops/job_edit.html", block="edit_form", status=422 if errors else 200, **given
    )
