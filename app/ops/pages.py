"""The dashboard, the queue for admins, and everyone's own jobs."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery

from app.core.i18n import _, fmt_time
from app.ops import dashboard, service
from app.ops.service import JobCard, JobRow
from app.ops.wording import state as words_of
from app.web import forms
from app.web.auth import Principal, SignInNeeded, WebRequest, client_ip
from app.web.pages import done, page, saved

STATES = ("queued", "running", "succeeded", "failed", "cancelled")


class SlotsForm(msgspec.Struct, kw_only=True):
    """How many ordinary jobs run at once."""

    slots: int


class DashboardPages(Controller):
    """Home: what needs you, what runs, where each area stands."""

    @get("/", name="dashboard", opt={"access": "user"})
    async def show(self, request: WebRequest) -> Response[str]:
        data = await dashboard.get_dashboard(_viewer(request), request.app.state.areas)
        return page(request, "dashboard.html", block="dashboard_now", **data)


class QueuePages(Controller):
    """The queue for admins."""

    path = "/admin/queue"
    opt = {"access": "admin"}

    @get("/", name="queue")
    async def show(self, request: WebRequest) -> Response[str]:
        data = await _overview(request)
        return page(request, "ops/queue.html", block=("queue_now", "queue_rows"), **data)

    @post("/pause", name="queue_pause", status_code=303)
    async def pause(self, request: WebRequest) -> Response[str]:
        await service.pause_queue(_viewer(request), ip=client_ip(request))
        return await _changed(request, _("Paused. Running jobs go on."))

    @post("/resume", name="queue_resume", status_code=303)
    async def resume(self, request: WebRequest) -> Response[str]:
        await service.resume_queue(_viewer(request), ip=client_ip(request))
        return await _changed(request, _("Jobs start again."))

    @post("/slots", name="queue_slots", status_code=303)
    async def slots(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, SlotsForm)
        await service.set_slots(_viewer(request), form.slots, ip=client_ip(request))
        return await _changed(request, "")

    @get("/jobs", name="queue_jobs")
    async def jobs(
        self,
        request: WebRequest,
        q: FromQuery[str] = "",
        before: FromQuery[str] = "",
        top: FromQuery[str] = "",
    ) -> Response[str]:
        return await _list(request, q, before, top, mine=False)

    @get("/jobs/{job_id:str}", name="queue_job")
    async def job(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _show(request, job_id, mine=False)

    @post("/jobs/{job_id:str}/cancel", name="queue_job_cancel", status_code=303)
    async def cancel(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _cancel(request, job_id, mine=False)

    @post("/jobs/{job_id:str}/retry", name="queue_job_retry", status_code=303)
    async def retry(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _retry(request, job_id, mine=False)


class MyJobPages(Controller):
    """One's own jobs, in words."""

    path = "/jobs"
    opt = {"access": "user"}

    @get("/", name="my_jobs")
    async def jobs(
        self,
        request: WebRequest,
        q: FromQuery[str] = "",
        before: FromQuery[str] = "",
        top: FromQuery[str] = "",
    ) -> Response[str]:
        return await _list(request, q, before, top, mine=True)

    @get("/{job_id:str}", name="my_job")
    async def job(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _show(request, job_id, mine=True)

    @post("/{job_id:str}/cancel", name="my_job_cancel", status_code=303)
    async def cancel(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _cancel(request, job_id, mine=True)

    @post("/{job_id:str}/retry", name="my_job_retry", status_code=303)
    async def retry(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _retry(request, job_id, mine=True)


class PatternPages(Controller):
    """Every part in every state."""

    @get("/admin/patterns", name="patterns", opt={"access": "admin"})
    async def show(self, request: WebRequest) -> Response[str]:
        return page(request, "ops/patterns.html")


PAGES = (DashboardPages, QueuePages, MyJobPages, PatternPages)


def _viewer(request: WebRequest) -> Principal:
    if request.user is None:
        raise SignInNeeded
    return request.user


async def _overview(request: WebRequest) -> dict[str, Any]:
    overview = await service.get_overview()
    counts = overview.counts
    rows = await service.list_open()
    look, word = "running" if counts["running"] else "ready", _("running")
    if overview.paused:
        look, word = "held", _("paused")
    elif overview.draining:
        look, word = "stopping", _("draining")
    elif not overview.alive:
        look, word = "failed", _("worker stalled")
    url = request.app.route_reverse("queue_jobs")
    looks = {name: words_of("ready" if name == "queued" else name) for name in STATES}
    return {
        "health": {"look": look, "word": word, "notes": []},
        "paused": overview.paused,
        "paused_reason": overview.paused_reason,
        "slots": overview.slots,
        "slots_max": service.SLOTS_MOST,
        "counters": [
            {
                "look": looks[name][0],
                "word": _("queued") if name == "queued" else looks[name][1],
                "count": counts[name],
                "note": _("10,000 or more") if counts[name] >= service.COUNT_LIMIT else "",
                "url": f"{url}?state={name}",
            }
            for name in STATES
        ],
        "chart_labels": [],
        "chart_done": [],
        "chart_failed": [],
        "wait_labels": [],
        "wait_p50": [],
        "wait_p95": [],
        "wait_p99": [],
        "rows": [_line(request, row, mine=False) for row in rows],
        "total_open": counts["queued"] + counts["running"],
        "failing": [
            {
                "type": row["type"],
                "count": row["count"],
                "text": row["code"] or "",
                "url": f"{url}?state=failed&q={row['type']}",
            }
            for row in overview.failing
        ],
        "schedules": [],
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


async def _list(request: WebRequest, q: str, before: str, top: str, *, mine: bool) -> Response[str]:
    """A list that stands still: `top` was the newest job when it was opened; newer ones count."""
    viewer = _viewer(request)
    state = request.query_params.get(
        "state", ""
    )  # as a parameter Litestar keeps the name for itself
    state = state if state in service.FILTERS else ""
    url = request.app.route_reverse("my_jobs" if mine else "queue_jobs")
    rows = await service.list_jobs(
        viewer, mine=mine, state=state, q=q, before=before, limit=service.ROWS + 1
    )
    shown = rows[: service.ROWS]
    newest = top or (shown[0].id if shown and not before else "")
    newer = await service.count_newer(viewer, newest, mine=mine) if newest and before else 0
    words = {
        "": _("All"),
        "queued": _("Queued"),
        "running": _("Running"),
        "succeeded": _("Done"),
        "failed": _("Failed"),
        "cancelled": _("Cancelled"),
    }
    kept = {"state": state, "q": q}
    older = shown[-1].id if len(rows) > len(shown) else ""
    return page(
        request,
        "ops/jobs.html",
        block="job_rows",
        mine=mine,
        tabs=[
            {
                "title": word,
                "url": url + _query(state=key, q=q),
                "here": key == state,
                "count": None,
            }
            for key, word in words.items()
        ],
        q=q,
        state=state,
        rows=[_line(request, row, mine=mine) for row in shown],
        newer=newer,
        newest_url=url + _query(**kept),
        here_url=url + _query(**kept, before=before, top=newest),
        newer_url=url + _query(**kept) if before else "",
        older_url=url + _query(**kept, before=older, top=newest) if older else "",
        search_url=url,
    )


async def _show(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    card = await service.get_job(_viewer(request), job_id, mine=mine)
    return page(request, "ops/job.html", block="job_now", **_job(request, card, mine=mine))


async def _cancel(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    await service.cancel_job(_viewer(request), job_id, mine=mine, ip=client_ip(request))
    url = request.app.route_reverse("my_job" if mine else "queue_job", job_id=job_id)
    return done(request, url, "jobs", toast=_("Asked to stop."))


async def _retry(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    await service.retry_job(_viewer(request), job_id, mine=mine, ip=client_ip(request))
    url = request.app.route_reverse("my_job" if mine else "queue_job", job_id=job_id)
    return done(request, url, "jobs", toast=_("Queued again."))


def _line(request: WebRequest, row: JobRow, *, mine: bool) -> dict[str, Any]:
    look, word = words_of(row.state)
    reverse, prefix = request.app.route_reverse, "my_job" if mine else "queue_job"
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return {
        "id": row.id,
        "label": _(row.label),
        "type": row.type,
        "look": look,
        "word": word,
        "progress": row.progress,
        "text": _(row.message),
        "age_s": row.age_s,
        "attempts": row.attempts,
        "max_attempts": row.max_attempts,
        "owner": "" if mine else row.owner,
        "url": root + reverse(prefix, job_id=row.id),
        "cancel_url": root + reverse(f"{prefix}_cancel", job_id=row.id) if row.can_cancel else "",
        "retry_url": root + reverse(f"{prefix}_retry", job_id=row.id) if row.can_retry else "",
    }


def _job(request: WebRequest, card: JobCard, *, mine: bool) -> dict[str, Any]:
    line = _line(request, card.row, mine=mine)
    open_ = card.finished_at is None
    facts = [
        (_("Asked for"), fmt_time(card.created_at), False),
        (_("Started"), fmt_time(card.started_at), False),
        (_("Ended"), fmt_time(card.finished_at), False),
        (_("Try"), f"{card.row.attempts} / {card.row.max_attempts}", False),
        (_("Number"), card.row.id, True),
        (_("Worker"), "" if mine else card.worker, True),
    ]
    job = {
        **line,
        "stage": line["text"] if card.row.state == "running" else "",
        "done_bytes": None,
        "total_bytes": None,
        "speed": None,
        "left_s": None,
        "open": open_,
        "error": card.error,
        "error_code": card.error_code,
        "advice": _("It is tried again by itself.") if open_ and card.error else "",
        "subject_url": "",
        "subject_word": "",
    }
    return {
        "mine": mine,
        "job": job,
        "facts": [
            {"word": word, "value": value, "mono": mono} for word, value, mono in facts if value
        ],
        "why": _why(card) if open_ and card.row.state != "running" else [],
        "events": _timeline(card),
        "log": [
            {"at": event["created_at"], "level": event["level"], "text": event["message"]}
            for event in card.events
            if event["context"] != "queue"
        ],
        "log_url": "",
        "payload": card.payload,
        "result": card.result,
        "children": [],
    }


def _why(card: JobCard) -> list[dict[str, str]]:
    look, word = words_of(card.row.state)
    note = fmt_time(card.run_at) if card.row.state in ("scheduled", "snoozed", "retrying") else ""
    return [{"look": look, "word": word, "note": note}]


def _timeline(card: JobCard) -> list[dict[str, Any]]:
    """What happened to the job, newest first: its own moments, and each attempt that went wrong."""
    moments: list[tuple[int, str, str]] = [(card.created_at, "scheduled", "")]
    if card.started_at:
        moments.append((card.started_at, "running", ""))
    moments += [
        (
            event["created_at"],
            "retrying" if event["level"] != "error" else "failed",
            event["message"],
        )
        for event in card.events
        if event["context"] == "queue"
    ]
    if card.finished_at:
        moments.append((card.finished_at, card.row.state, ""))
    words = {"scheduled": _("asked for"), "running": _("started")}
    return [
        {
            "look": words_of(state)[0],
            "word": words.get(state, words_of(state)[1]),
            "at": at,
            "note": note,
        }
        for at, state, note in sorted(moments, key=lambda moment: -moment[0])
    ]


def _query(**values: str) -> str:
    kept = {name: value for name, value in values.items() if value}
    return f"?{urlencode(kept)}" if kept else ""
