"""The queue at a glance, its pause and its slots."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromQuery

from app.core.i18n import _, fmt_day, fmt_number, fmt_span, fmt_time, ngettext
from app.ops.pages.parts import line_of, query, queue_tabs, viewer_of
from app.ops.service import jobs as jobs_service
from app.ops.service import queue as service
from app.ops.service import schedules
from app.ops.service.jobs import COUNT_LIMIT, QUEUED, RUNNING
from app.ops.service.queue import Charts, Overview
from app.ops.service.watch import LATE_MS
from app.ops.wording import state as words_of
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import page, saved

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
        return page(
            request, "ops/queue.html", block=("queue_now", "queue_charts", "queue_rows"), **data
        )

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


async def _overview(request: WebRequest, span: str = "1h") -> dict[str, Any]:
    overview = await service.get_overview()
    charts = await service.get_charts(span)
    rows = await jobs_service.list_open()
    here = request.app.route_reverse("queue")
    counts = overview.counts
    return {
        "sections": queue_tabs(request, "queue"),
        "spans": [
            {"title": word, "url": f"{here}?span={key}", "here": key == span, "count": None}
            for key, word in (
                ("1h", _("1 hour")),
                ("1d", _("1 day")),
                ("7d", _("7 days")),
                ("30d", _("30 days")),
                ("90d", _("90 days")),
            )
        ],
        "here_url": here + query(span=span if span in service.SPANS and span != "1h" else ""),
        "health": _health(request, overview),
        "paused": overview.paused,
        "paused_reason": overview.paused_reason,
        "slots": overview.slots,
        "slots_max": service.SLOTS_MOST,
        "counters": _counters(request, overview),
        **_charts(charts, span),
        "rows": [line_of(request, row, mine=False) for row in rows],
        "total_open": sum(counts[name] for name in (*QUEUED, *RUNNING)),
        "failing": [
            {
                "type": row["type"],
                "count": row["count"],
                "text": row["code"] or "",
                "url": request.app.route_reverse("queue_jobs")
                + query(state="failed", q=f"type:{row['type']}"),
            }
            for row in overview.failing
        ],
        "schedules": await schedules.next_up(),
    }


def _health(request: WebRequest, overview: Overview) -> dict[str, Any]:
    """One state above all, and what else is worth a word."""
    full = request.app.state.worker.storage_full
    if full:
        look, word = "failed", _("storage full")
    elif not overview.alive:
        look, word = "failed", _("worker stalled")
    elif overview.late_ms > LATE_MS:
        look, word = "failed", _("held up")
    elif overview.draining:
        look, word = "stopping", _("draining")
    elif overview.paused:
        look, word = "held", _("paused")
    else:
        busy = overview.counts["running"] + overview.counts["cancelling"]
        look, word = ("running", _("running")) if busy else ("ready", _("at rest"))
    notes = []
    if overview.oldest_ready_s > OLD_S:
        notes.append(_("backlog old: %(time)s", time=fmt_span(overview.oldest_ready_s)))
    elif overview.oldest_ready_s >= 1:
        notes.append(_("oldest waits %(time)s", time=fmt_span(overview.oldest_ready_s)))
    notes.append(_("loop at most %(n)s ms late", n=fmt_number(round(overview.late_ms))))
    return {"look": look, "word": word, "notes": notes, "bad": overview.oldest_ready_s > OLD_S}


def _counters(request: WebRequest, overview: Overview) -> list[dict[str, Any]]:
    """Six figures, each a way to the list behind it."""
    counts, next_at = overview.counts, overview.next_at
    busy = sum(counts[name] for name in RUNNING)
    waiting = counts["waiting"]
    held = ngettext("%(n)s waits for something", "%(n)s wait for something", waiting)
    many = _("10,000 or more")

    def due(name: str) -> str:
        at = next_at.get(name)
        return _("next %(time)s", time=fmt_time(at)) if at else ""

    figures = (
        ("running", busy, _("%(n)s ordinary slots", n=overview.slots)),
        ("ready", counts["ready"], held if waiting else ""),
        ("scheduled", counts["scheduled"] + counts["snoozed"], due("scheduled")),
        ("retrying", counts["retrying"], due("retrying")),
        ("failed", counts["failed"], many if counts["failed"] >= COUNT_LIMIT else ""),
        (
            "succeeded",
            counts["succeeded"],
            _("%(n)s in 24 h", n=fmt_number(overview.done_day)),
        ),
    )
    return [
        {
            "look": words_of(name)[0],
            "word": words_of(name)[1],
            "count": count,
            "more": count >= COUNT_LIMIT,
            "note": note,
            "url": request.app.route_reverse("queue_jobs") + query(state=name),
        }
        for name, count, note in figures
    ]


def _charts(charts: Charts, span: str) -> dict[str, Any]:
    """Nothing to draw where nothing happened: the labels are empty then."""
    how = "clock" if span in ("1h", "1d") else "day"
    labels = [fmt_time(at, how)[:5] if how == "clock" else fmt_day(at) for at in charts.at]
    some = any(charts.done) or any(charts.failed)
    return {
        "chart_labels": labels if some else [],
        "chart_done": charts.done,
        "chart_failed": charts.failed,
        "age_labels": labels if some or any(charts.age_s) else [],
        "age": charts.age_s,
        "wait_labels": labels if some else [],
        **{f"wait_{name}": points for name, points in charts.wait.items()},
        **{f"run_{name}": points for name, points in charts.run.items()},
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
