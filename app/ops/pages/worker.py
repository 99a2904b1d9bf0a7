"""Who does the work: the processes, how this one fares, and for how long things are kept."""

from typing import Any

from litestar import Controller, Response, get, post

from app.core.i18n import _
from app.ops.pages.parts import queue_tabs, viewer_of
from app.ops.service import queue as service
from app.ops.service import schedules, watch, workers
from app.ops.wording import lane
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import page, redirect


class WorkerPages(Controller):
    """The worker, for admins."""

    path = "/admin/queue/worker"
    opt = {"access": "admin"}

    @get("/", name="queue_worker")
    async def worker(self, request: WebRequest) -> Response[str]:
        return page(request, "ops/worker.html", block="worker_now", **await _worker(request))

    @post("/", name="queue_settings", status_code=303)
    async def settings(self, request: WebRequest) -> Response[str]:
        wish = await forms.read_form(request, service.Wish)
        await service.put_settings(viewer_of(request), wish, ip=client_ip(request))
        return _back(request, _("Saved."))

    @post("/drain", name="queue_drain", status_code=303)
    async def drain(self, request: WebRequest) -> Response[str]:
        await _rest(request, True)
        return _back(request, _("It takes no more jobs. What runs goes on."))

    @post("/work", name="queue_work", status_code=303)
    async def work(self, request: WebRequest) -> Response[str]:
        await _rest(request, False)
        return _back(request, _("It takes jobs again."))


async def _rest(request: WebRequest, on: bool) -> None:
    worker = request.app.state.worker
    await workers.rest_worker(worker, viewer_of(request), on, ip=client_ip(request))


def _back(request: WebRequest, toast: str) -> Response[str]:
    return redirect(request, request.app.route_reverse("queue_worker"), toast=toast)


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
                "up_s": max(0.0, (now - row["startedAt"]) / 1000),
                "beat_s": max(0.0, (now - row["heartbeatAt"]) / 1000),
                "silent": now - row["heartbeatAt"] > watch.SILENT_MS,
                "draining": row["drainingAt"] is not None,
                "jobs": row["jobs"],
            }
            for row in await workers.list_workers()
        ],
        "engine": (engine := workers.get_engine(worker, stored)),
        "late": engine.late_ms > watch.LATE_MS,
        "lanes": [(lane(each.name), each.used, each.slots) for each in engine.lanes],
        "storage_full": worker.storage_full,
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
