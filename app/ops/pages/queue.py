"""The queue at a glance, its pause and slots, its workers and settings."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromQuery

from app.core.i18n import _, fmt_span, fmt_time
from app.ops.pages.parts import line_of, queue_tabs, viewer_of
from app.ops.service import jobs as jobs_service
from app.ops.service import queue as service
from app.ops.service import schedules
from app.ops.wording import state as words_of
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import page, redirect, saved

STATES = ("queued", "running", "succeeded", "failed", "cancelled")
OLD_S = 60.0


class SlotsForm(msgspec.Struct, kw_only=True):
    """How many ordinary jobs run at once."""

    slots: int


class PauseForm(msgspec.Struct, kw_only=True):
    """Whether running jobs are stopped too."""

    stop: bool = False


class QueuePages(Controller):
    """The queue for admins."""

    path = "/admin/queue"
    opt = {"access": "admin"}

    @get("/", name="queue")
    async def show(self, request: WebRequest, span: FromQuery[str] = "1h") -> Response[str]:
        data = await _overview(request, span)
        return page(request, "ops/queue.html", block=("queue_now", "queue_rows"), **data)

    @post("/pause", name="queue_pause", status_code=303)
    async def pause(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, PauseForm)
        viewer, ip = viewer_of(request), client_ip(request)
        await service.pause_queue(viewer, stop=form.stop, ip=ip)
        text = _("Paused. Running jobs are asked to stop.")
        return await _changed(request, text if form.stop else _("Paused. Running jobs go on."))

    @post("/resume", name="queue_resume", status_code=303)
    async def resume(self, request: WebRequest) -> Response[str]:
        await service.resume_queue(viewer_of(request), ip=client_ip(request))
        return await _changed(request, _("Jobs start again."))

    @post("/slots", name="queue_slots", status_code=303)
    async def slots(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, SlotsForm)
        await service.set_slots(viewer_of(request), form.slots, ip=client_ip(request))
        return await _changed(request, "")

    @get("/worker", name="queue_worker")
    async def worker(self, request: WebRequest) -> Response[str]:
        return page(request, "ops/worker.html", block="worker_now", **await _worker(request))

    @post("/worker", name="queue_settings", status_code=303)
    async def settings(self, request: WebRequest) -> Response[str]:
        wish = await forms.read_form(request, service.Wish)
        await service.put_settings(viewer_of(request), wish, ip=client_ip(request))
        return redirect(request, request.app.route_reverse("queue_worker"), toast=_("Saved."))


async def _overview(request: WebRequest, span: str = "1h") -> dict[str, Any]:
    overview = await service.get_overview()
    charts = await service.get_charts(span)
    counts = overview.counts
    rows = await jobs_service.list_open()
    look, word = "running" if counts["running"] else "ready", _("running")
    full = request.app.state.worker.storage_full
    if overview.paused:
        look, word = "held", _("paused")
    elif overview.draining:
        look, word = "stopping", _("draining")
    elif full or not overview.alive:
        look, word = "failed", _("storage full") if full else _("worker stalled")
    notes = []
    if overview.oldest_ready_s > OLD_S:
        notes = [_("oldest job waits %(time)s", time=fmt_span(overview.oldest_ready_s))]
    url = request.app.route_reverse("queue_jobs")
    here = request.app.route_reverse("queue")
    looks = {name: words_of("ready" if name == "queued" else name) for name in STATES}
    some = any(charts.done) or any(charts.failed)
    how = "clock" if span in ("1h", "1d") else "day"
    labels = (
        [fmt_time(at, how)[: 5 if how == "clock" else None] for at in charts.at] if some else []
    )
    return {
        "sections": queue_tabs(request, "queue"),
        "spans": [
            {"title": word, "url": f"{here}?span={key}", "here": key == span, "count": None}
            for key, word in (
                ("1h", _("1 hour")),
                ("1d", _("1 day")),
                ("7d", _("7 days")),
                ("90d", _("90 days")),
            )
        ],
        "health": {"look": look, "word": word, "notes": notes},
        "paused": overview.paused,
        "paused_reason": overview.paused_reason,
        "slots": overview.slots,
        "slots_max": service.SLOTS_MOST,
        "counters": [
            {
                "look": looks[name][0],
                "word": _("queued") if name == "queued" else looks[name][1],
                "count": counts[name],
                "note": _("10,000 or more") if counts[name] >= jobs_service.COUNT_LIMIT else "",
                "url": f"{url}?state={name}",
            }
            for name in STATES
        ],
        "chart_labels": labels,
        "chart_done": charts.done,
        "chart_failed": charts.failed,
        "wait_labels": labels,
        **{f"wait_{name}": points for name, points in charts.wait.items()},
        **{f"run_{name}": points for name, points in charts.run.items()},
        "rows": [line_of(request, row, mine=False) for row in rows],
        "total_open": counts["queued"] + counts["running"],
        "failing": [
            {
                "type": row["type"],
                "count": row["count"],
                "text": row["code"] or "",
                "url": f"{url}?state=failed&q=type:{row['type']}",
            }
            for row in overview.failing
        ],
        "schedules": await schedules.next_up(),
    }


async def _changed(request: WebRequest, toast: str) -> Response[str]:
    return saved(
        request,
        request.app.route_reverse("queue"),
        "",
        "ops/queue.html",
        block="queue_now",
        toast=toast,
        **await _overview(request),
    )


async def _worker(request: WebRequest) -> dict[str, Any]:
    stored = await service.get_settings()
    worker = request.app.state.worker
    now = schedules.now_ms()
    return {
        "sections": queue_tabs(request, "queue_worker"),
        "workers": [
            {
                "id": row["id"],
                "here": row["id"] == worker.id,
                "pid": row["pid"],
                "host": row["host"],
                "version": row["version"] or "",
                "started_at": row["startedAt"],
                "beat_s": max(0.0, (now - row["heartbeatAt"]) / 1000),
                "draining": row["drainingAt"] is not None,
            }
            for row in await service.list_workers()
        ],
        "running": len(worker.runs),
        "looks": worker.turns,
        "writer_waiting": service.writer_waiting(),
        "wal_bytes": service.wal_bytes(),
        "ticks": [
            {
                "name": name,
                "every_s": tick.every_s,
                "at": tick.last_at,
                "took_ms": tick.took_ms,
                "error": tick.error or "",
            }
            for name, tick in worker.ticks.items()
        ],
        "form": {
            "keep_done_days": stored["keepSucceededMs"] // service.DAY_MS,
            "keep_failed_days": stored["keepFailedMs"] // service.DAY_MS,
            "drain_s": stored["drainTimeoutMs"] // 1000,
            "io_slots": stored["ioConcurrency"],
            "long_slots": stored["longConcurrency"],
        },
    }
