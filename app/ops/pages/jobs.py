"""Jobs: the list and one of them, for admins and for those who own them."""

from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery

from app.core.i18n import _, fmt_time, ngettext
from app.ops.pages.parts import line_of, queue_tabs, viewer_of
from app.ops.service import bulk
from app.ops.service import jobs as service
from app.ops.service.jobs import JobCard
from app.ops.wording import reason as words_of_reason
from app.ops.wording import remedy
from app.ops.wording import state as words_of
from app.web import forms
from app.web.auth import WebRequest, client_ip
from app.web.pages import done, page, redirect


class BulkForm(msgspec.Struct, kw_only=True):
    """One action on the jobs ticked, or with `all` on everything that matches the filter."""

    action: str
    id: list[str] = []
    all: bool = False
    state: str = ""
    q: str = ""
    newest: str = ""


class EditForm(msgspec.Struct, kw_only=True):
    """A waiting job's place in the line."""

    priority: Annotated[int, msgspec.Meta(ge=-100, le=100)]
    delay_s: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)] = 0
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)]


class JobPages(Controller):
    """All jobs, for admins."""

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
        return await _list(request, q, before, top, mine=False)

    @get("/jobs/{job_id:str}", name="queue_job")
    async def job(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _show(request, job_id, mine=False)

    @post("/bulk", name="queue_bulk", status_code=303)
    async def bulk(self, request: WebRequest) -> Response[str]:
        form = await forms.read_form(request, BulkForm)
        done_ = await bulk.act(
            viewer_of(request),
            form.action,
            ids=[] if form.all else form.id,
            state=form.state,
            q=form.q,
            newest=form.newest if form.all else "",
            ip=client_ip(request),
        )
        url = request.app.route_reverse("queue_jobs") + _query(state=form.state, q=form.q)
        if done_.job_id:
            url = request.app.route_reverse("queue_job", job_id=done_.job_id)
            return redirect(request, url, toast=_("Working on it."))
        text = ngettext("%(n)s job changed.", "%(n)s jobs changed.", done_.changed)
        return redirect(request, url, toast=text)

    @post("/jobs/{job_id:str}/edit", name="queue_job_edit", status_code=303)
    async def edit(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        form = await forms.read_form(request, EditForm)
        await service.edit_job(
            viewer_of(request),
            job_id,
            priority=form.priority,
            delay_s=form.delay_s,
            max_attempts=form.max_attempts,
            ip=client_ip(request),
        )
        url = request.app.route_reverse("queue_job", job_id=job_id)
        return redirect(request, url, toast=_("Changed."))

    @post("/jobs/{job_id:str}/run", name="queue_job_run_now", status_code=303)
    async def run_now(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _act(request, job_id, "run_now", _("It starts as soon as a slot is free."))

    @post("/jobs/{job_id:str}/seen", name="queue_job_acknowledge", status_code=303)
    async def seen(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _act(request, job_id, "acknowledge", _("Marked as seen."))

    @post("/jobs/{job_id:str}/release", name="queue_job_release", status_code=303)
    async def release(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await _act(request, job_id, "release", _("Taken from its worker."))

    @post("/jobs/{job_id:str}/delete", name="queue_job_delete", status_code=303)
    async def delete(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        await service.act_on_job(viewer_of(request), job_id, "delete", ip=client_ip(request))
        url = request.app.route_reverse("queue_jobs")
        return redirect(request, url, toast=_("Deleted."))

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


async def _list(request: WebRequest, q: str, before: str, top: str, *, mine: bool) -> Response[str]:
    """A list that stands still: `top` was the newest job when it was opened; newer ones count."""
    viewer = viewer_of(request)
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
        sections=[] if mine else queue_tabs(request, "queue_jobs"),
        matching=0 if mine else await bulk.count(state, q, newest),
        newest=newest,
        bulk_actions=_bulk_actions(state),
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
        rows=[line_of(request, row, mine=mine) for row in shown],
        newer=newer,
        newest_url=url + _query(**kept),
        here_url=url + _query(**kept, before=before, top=newest),
        newer_url=url + _query(**kept) if before else "",
        older_url=url + _query(**kept, before=older, top=newest) if older else "",
        search_url=url,
    )


async def _show(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    card = await service.get_job(viewer_of(request), job_id, mine=mine)
    return page(request, "ops/job.html", block="job_now", **_job(request, card, mine=mine))


async def _act(request: WebRequest, job_id: str, action: str, toast: str) -> Response[str]:
    await service.act_on_job(viewer_of(request), job_id, action, ip=client_ip(request))
    url = request.app.route_reverse("queue_job", job_id=job_id)
    return done(request, url, f"job-{job_id}", toast=toast)


def _bulk_actions(state: str) -> list[tuple[str, str]]:
    """What may be done to many jobs of a state."""
    offered = {
        "cancel": (_("Cancel"), ("", "queued", "running")),
        "run_now": (_("Start now"), ("", "queued")),
        "retry": (_("Try again"), ("", "failed", "cancelled")),
        "acknowledge": (_("Mark as seen"), ("failed",)),
        "delete": (_("Delete"), ("", "succeeded", "failed", "cancelled")),
    }
    return [(key, word) for key, (word, states) in offered.items() if state in states]


async def _cancel(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    await service.cancel_job(viewer_of(request), job_id, mine=mine, ip=client_ip(request))
    url = request.app.route_reverse("my_job" if mine else "queue_job", job_id=job_id)
    return done(request, url, "jobs", toast=_("Asked to stop."))


async def _retry(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    await service.retry_job(viewer_of(request), job_id, mine=mine, ip=client_ip(request))
    url = request.app.route_reverse("my_job" if mine else "queue_job", job_id=job_id)
    return done(request, url, "jobs", toast=_("Queued again."))


def _job(request: WebRequest, card: JobCard, *, mine: bool) -> dict[str, Any]:
    line = line_of(request, card.row, mine=mine)
    open_ = card.finished_at is None
    facts = [
        (_("Asked for"), fmt_time(card.created_at), False),
        (_("Started"), fmt_time(card.started_at), False),
        (_("Ended"), fmt_time(card.finished_at), False),
        (_("Try"), f"{card.row.attempts} / {card.row.max_attempts}", False),
        (_("Number"), card.row.id, True),
        (_("Worker"), "" if mine else card.worker, True),
        (_("Priority"), "" if mine else str(card.priority), False),
        (_("Worker died under it"), str(card.crashes or ""), False),
        (_("Snoozed"), str(card.snoozes or ""), False),
        *((_key_words()[name], value, True) for name, value in card.keys.items()),
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
        "advice": _("It is tried again by itself.")
        if open_ and card.error
        else remedy(card.error_code),
        "acts": [] if mine else _acts(request, card),
        "edit_url": _edit_url(request, card) if not mine else "",
        "priority": card.priority,
        "max_attempts": card.row.max_attempts,
        "subject_url": "",
        "subject_word": "",
    }
    return {
        "mine": mine,
        "job": job,
        "facts": [
            {"word": word, "value": value, "mono": mono} for word, value, mono in facts if value
        ],
        "why": _why(request, card, mine=mine) if open_ and card.row.state != "running" else [],
        "events": _timeline(card),
        "log": [
            {"at": event["created_at"], "level": event["level"], "text": event["message"]}
            for event in card.events
            if event["context"] != "queue"
        ],
        "log_url": "",
        "payload": card.payload,
        "result": card.result,
        "output": card.output,
        "parent": line_of(request, card.parent, mine=mine) if card.parent else None,
        "children": [line_of(request, child, mine=mine) for child in card.children],
        "batch_url": request.app.route_reverse("queue_batch", batch_id=card.batch_id)
        if card.batch_id and not mine
        else "",
    }


def _key_words() -> dict[str, str]:
    return {
        "dedupeKey": _("Dedupe key"),
        "serialKey": _("Serial key"),
        "rateKey": _("Rate key"),
        "scheduleId": _("Schedule"),
    }


def _acts(request: WebRequest, card: JobCard) -> list[dict[str, str]]:
    """What else an admin may do to this job: (word, url, question to be asked before)."""
    reverse, job_id = request.app.route_reverse, card.row.id
    offered: list[tuple[str, str, str, bool]] = [
        (_("Start now"), "queue_job_run_now", "", card.row.can_cancel and not card.worker),
        (_("Mark as seen"), "queue_job_acknowledge", "", card.row.state == "failed"),
        (
            _("Take from its worker"),
            "queue_job_release",
            _("The worker may still be at it: what it does outside is not undone."),
            card.force,
        ),
        (
            _("Delete"),
            "queue_job_delete",
            _("The job and its log are gone for good."),
            card.finished_at is not None,
        ),
    ]
    return [
        {"word": word, "url": reverse(name, job_id=job_id), "question": question, "id": name}
        for word, name, question, now in offered
        if now
    ]


def _edit_url(request: WebRequest, card: JobCard) -> str:
    waits = card.finished_at is None and not card.worker
    return request.app.route_reverse("queue_job_edit", job_id=card.row.id) if waits else ""


def _why(request: WebRequest, card: JobCard, *, mine: bool) -> list[dict[str, str]]:
    """All that holds it back; a link to the job it waits for, where that is the admin's."""
    look, word = words_of(card.row.state)
    found = [
        {
            "look": "held",
            "word": words_of_reason(reason.why),
            "note": fmt_time(reason.until) if reason.until else "" if mine else reason.detail,
            "url": request.app.route_reverse("queue_job", job_id=reason.holder)
            if reason.holder and not mine
            else "",
        }
        for reason in card.reasons
    ]
    return found or [
        {"look": look, "word": word, "note": _("as soon as a slot is free"), "url": ""}
    ]


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
