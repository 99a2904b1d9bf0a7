"""Types, schedules, batches and rates."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath

from app.core.i18n import _, ngettext
from app.ops.pages.parts import line_of, queue_tabs, viewer_of
from app.ops.service import jobs as jobs_service
from app.ops.service import schedules, types
from app.ops.wording import lane, outcome, times
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import page, redirect


class OnForm(msgspec.Struct, kw_only=True):
    """A switch."""

    on: bool = False


class TimesForm(msgspec.Struct, kw_only=True):
    """Other times; empty: those of the code."""

    cron: str = ""
    timezone: str = ""


class SteeringPages(Controller):
    """What steers the queue, for admins."""

    path = "/admin/queue"
    opt = {"access": "admin"}

    # ---- types ----

    @get("/types", name="queue_types")
    async def types(self, request: WebRequest) -> Response[str]:
        rows = [
            {
                **msgspec.structs.asdict(row),
                "lane_word": lane(row.lane),
                "last_failed_url": request.app.route_reverse("queue_job", job_id=row.last_failed)
                if row.last_failed
                else "",
            }
            for row in await types.list_types()
        ]
        tabs = queue_tabs(request, "queue_types")
        return page(request, "ops/types.html", block="type_rows", rows=rows, sections=tabs)

    @post("/types/{kind:str}/pause", name="queue_type_pause", status_code=303)
    async def pause_type(self, request: WebRequest, kind: FromPath[str]) -> Response[str]:
        form = await forms.read_form(request, OnForm)
        await types.pause_type(viewer_of(request), kind, form.on, ip=client_ip(request))
        return _back(request, "queue_types", _("Paused.") if form.on else _("Runs again."))

    @post("/types/{kind:str}", name="queue_type", status_code=303)
    async def put_type(self, request: WebRequest, kind: FromPath[str]) -> Response[str]:
        wish = await forms.read_form(request, types.TypeWish)
        await types.put_type(viewer_of(request), kind, wish, ip=client_ip(request))
        return _back(request, "queue_types", _("Saved."))

    # ---- rates ----

    @get("/rates", name="queue_rates")
    async def rates(self, request: WebRequest) -> Response[str]:
        now = schedules.now_ms()
        rows = [
            {
                "key": bucket.key,
                "limit": bucket.limit_count,
                "per_s": bucket.period_ms // 1000 or 1,
                "burst": bucket.burst,
                "blocked_until": bucket.blocked_until if bucket.blocked_until > now else None,
                "used": types.used(bucket, now),
                "changed": bucket.source == "user",
            }
            for bucket in await types.list_rates()
        ]
        tabs = queue_tabs(request, "queue_rates")
        return page(request, "ops/rates.html", block="rate_rows", rows=rows, sections=tabs)

    @post("/rates/{key:str}", name="queue_rate", status_code=303)
    async def put_rate(self, request: WebRequest, key: FromPath[str]) -> Response[str]:
        wish = await forms.read_form(request, types.RateWish)
        await types.put_rate(viewer_of(request), key, wish, ip=client_ip(request))
        return _back(request, "queue_rates", _("Saved."))

    @post("/rates/{key:str}/release", name="queue_rate_release", status_code=303)
    async def release_rate(self, request: WebRequest, key: FromPath[str]) -> Response[str]:
        await types.release_rate(viewer_of(request), key, ip=client_ip(request))
        return _back(request, "queue_rates", _("Open again."))

    # ---- schedules ----

    @get("/schedules", name="queue_schedules")
    async def schedules(self, request: WebRequest) -> Response[str]:
        rows = [
            {
                **msgspec.structs.asdict(row),
                "when": times(row.cron, row.every_s),
                "fires": [
                    {"at": fire["fireAt"], "state": outcome(fire["outcome"])} for fire in row.fires
                ],
                "last_url": request.app.route_reverse("queue_job", job_id=row.last_job)
                if row.last_job
                else "",
            }
            for row in await schedules.list_schedules()
        ]
        tabs = queue_tabs(request, "queue_schedules")
        return page(request, "ops/schedules.html", block="schedule_rows", rows=rows, sections=tabs)

    @post("/schedules/{schedule:str}/run", name="queue_schedule_run", status_code=303)
    async def run_schedule(self, request: WebRequest, schedule: FromPath[str]) -> Response[str]:
        await schedules.run_schedule(viewer_of(request), schedule, ip=client_ip(request))
        return _back(request, "queue_schedules", _("Asked for."))

    @post("/schedules/{schedule:str}/enable", name="queue_schedule_enable", status_code=303)
    async def enable_schedule(self, request: WebRequest, schedule: FromPath[str]) -> Response[str]:
        form = await forms.read_form(request, OnForm)
        await schedules.enable_schedule(
            viewer_of(request), schedule, form.on, ip=client_ip(request)
        )
        return _back(request, "queue_schedules", _("On again.") if form.on else _("Switched off."))

    @post("/schedules/{schedule:str}/times", name="queue_schedule_times", status_code=303)
    async def time_schedule(self, request: WebRequest, schedule: FromPath[str]) -> Response[str]:
        form = await forms.read_form(request, TimesForm)
        viewer, ip = viewer_of(request), client_ip(request)
        await schedules.time_schedule(viewer, schedule, form.cron, form.timezone, ip=ip)
        return _back(request, "queue_schedules", _("Saved."))

    # ---- batches ----

    @get("/batches", name="queue_batches")
    async def batches(self, request: WebRequest) -> Response[str]:
        rows = [_batch(request, batch) for batch in await schedules.list_batches()]
        tabs = queue_tabs(request, "queue_batches")
        return page(request, "ops/batches.html", block="batch_rows", rows=rows, sections=tabs)

    @get("/batches/{batch_id:str}", name="queue_batch")
    async def batch(self, request: WebRequest, batch_id: FromPath[str]) -> Response[str]:
        found = await schedules.get_batch(batch_id)
        failed = await jobs_service.list_jobs(
            viewer_of(request), mine=False, state="failed", q=f"batch:{batch_id}"
        )
        return page(
            request,
            "ops/batch.html",
            block="batch_now",
            batch=_batch(request, found),
            rows=[line_of(request, row, mine=False) for row in failed],
        )

    @post("/batches/{batch_id:str}/cancel", name="queue_batch_cancel", status_code=303)
    async def cancel_batch(self, request: WebRequest, batch_id: FromPath[str]) -> Response[str]:
        n = await schedules.cancel_batch(viewer_of(request), batch_id, ip=client_ip(request))
        text = ngettext("%(n)s job stopped.", "%(n)s jobs stopped.", n)
        return redirect(
            request, request.app.route_reverse("queue_batch", batch_id=batch_id), toast=text
        )

    @post("/batches/{batch_id:str}/retry", name="queue_batch_retry", status_code=303)
    async def retry_batch(self, request: WebRequest, batch_id: FromPath[str]) -> Response[str]:
        await schedules.retry_batch(viewer_of(request), batch_id, ip=client_ip(request))
        url = request.app.route_reverse("queue_batch", batch_id=batch_id)
        return redirect(request, url, toast=_("Queued again."))


def _batch(request: WebRequest, batch: Any) -> dict[str, Any]:
    ended = batch.total - batch.pending
    whole = 100 * ended // batch.total if batch.total else 100
    return {
        **msgspec.structs.asdict(batch),
        "label": _(batch.label or "Batch"),
        "percent": whole,
        "url": request.app.route_reverse("queue_batch", batch_id=batch.id),
        "jobs_url": request.app.route_reverse("queue_jobs") + f"?q=batch:{batch.id}",
        "callback_url": request.app.route_reverse("queue_job", job_id=batch.callback_job_id)
        if batch.callback_job_id
        else "",
    }


def _back(request: WebRequest, name: str, toast: str) -> Response[str]:
    return redirect(request, request.app.route_reverse(name), toast=toast)
