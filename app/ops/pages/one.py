"""One job as a page, for admins and for whom it belongs to."""

from typing import Any

from litestar import MediaType, Response

from app.core.area import Remedy
from app.core.errors import NotFound
from app.core.i18n import _, fmt_span, fmt_time, ngettext
from app.ops import ansi
from app.ops.pages.parts import line_of, query, viewer_of
from app.ops.pages.story import family, story, why
from app.ops.remedies import known
from app.ops.service import acts, log
from app.ops.service import job as service
from app.ops.service.acts import AlreadyQueued
from app.ops.service.job import JobCard
from app.ops.service.log import Output
from app.ops.wording import lane
from app.web.auth import WebRequest, client_ip
from app.web.pages import done, is_fragment, may, page


async def show(
    request: WebRequest,
    job_id: str,
    *,
    mine: bool,
    level: str = "",
    find: str = "",
    twin: str = "",
) -> Response[str]:
    """The page; with `twin`, the live job that stands in the way of another try."""
    viewer = viewer_of(request)
    level = level if level in log.LEVELS else ""
    card = await service.get_job(viewer, job_id, mine=mine)
    lines = await log.list_lines(viewer, job_id, mine=mine, level=level, find=find)
    output = None
    if not mine and await log.find_output(viewer, job_id):
        output = output_of(request, job_id, await log.read_output(viewer, job_id))
    prefix = "my_job" if mine else "queue_job"
    return page(
        request,
        "ops/job.html",
        block="job_now",
        status=409 if twin else 200,
        mine=mine,
        job=_job(request, card, mine=mine),
        facts=_facts(card, mine=mine),
        links=_links(request, card),
        why=why(request, card, mine=mine),
        story=story(card),
        family=family(request, card, mine=mine),
        log=[
            {"at": row["created_at"], "level": row["level"], "text": row["message"]}
            for row in lines
        ],
        level=level,
        find=find,
        log_full=len(lines) == log.LINES,
        log_url=request.app.route_reverse(f"{prefix}_log", job_id=job_id),
        output=output,
        tail=False,
        payload=card.payload,
        result=card.result,
        twin_url=await _twin_url(request, twin, mine=mine) if twin else "",
        twin=twin,
    )


async def save_log(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    """Everything the job said, as a file."""
    text = await log.read_text(viewer_of(request), job_id, mine=mine)
    sent = {
        "Content-Disposition": f'attachment; filename="{job_id}.log"',
        "Cache-Control": "no-store",
    }
    return Response(text, media_type=MediaType.TEXT, headers=sent)


async def cancel(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    """Cancel it, or ask it to stop."""
    await acts.cancel_job(viewer_of(request), job_id, mine=mine, ip=client_ip(request))
    url = request.app.route_reverse("my_job" if mine else "queue_job", job_id=job_id)
    return done(request, url, "jobs", toast=_("Asked to stop."))


async def retry(request: WebRequest, job_id: str, *, mine: bool) -> Response[str]:
    """Queue it again; where a twin lives, the page says so and leads there."""
    try:
        await acts.retry_job(viewer_of(request), job_id, mine=mine, ip=client_ip(request))
    except AlreadyQueued as twin:
        if is_fragment(request):
            raise
        return await show(request, job_id, mine=mine, twin=twin.twin)
    url = request.app.route_reverse("my_job" if mine else "queue_job", job_id=job_id)
    return done(request, url, "jobs", toast=_("Queued again."))


def output_of(request: WebRequest, job_id: str, part: Output) -> dict[str, Any]:
    """A part of the output as `_output.html` shows it."""
    url = request.app.route_reverse("queue_job_output", job_id=job_id)
    more = query(offset=str(part.offset), look=part.look)
    return {
        "pieces": [(piece.text, _classes(piece.look)) for piece in part.pieces],
        "more_url": url + more if part.open else "",
        "cut": part.cut,
        "file_url": request.app.route_reverse("queue_job_output_file", job_id=job_id),
    }


def known_look(look: str) -> str:
    """What an address may say of a look: our own class names and nothing else."""
    return " ".join(word for word in look.split() if word in ansi.CLASSES)


def _classes(look: str) -> str:
    return " ".join(f"ansi-{word}" for word in look.split())


async def _twin_url(request: WebRequest, twin: str, *, mine: bool) -> str:
    """Where the twin is, if the person may see it."""
    try:
        await service.get_job(viewer_of(request), twin, mine=mine)
    except NotFound:
        return ""
    return request.app.route_reverse("my_job" if mine else "queue_job", job_id=twin)


def _job(request: WebRequest, card: JobCard, *, mine: bool) -> dict[str, Any]:
    line = line_of(request, card.row, mine=mine)
    ended = card.finished_at is not None
    given = {
        **line,
        "stage": line["text"],
        "ended": ended,
        "number": card.row.id,
        "error": _(card.error),
        "error_code": card.error_code,
        "failed": card.row.state == "failed",
        "acts": [] if mine else _acts(request, card),
        "edit_url": ""
        if mine or card.row.state not in ("ready", "waiting", "scheduled", "snoozed", "retrying")
        else request.app.route_reverse("queue_job_form", job_id=card.row.id),
        "same_url": ""
        if mine
        else request.app.route_reverse("queue_jobs") + query(q=f"type:{card.row.type}"),
    }
    helps = _remedy(request, card, mine=mine)
    if helps["advice"] == given["error"]:
        helps["advice"] = ""  # the job ended with the very sentence that helps
    return {**given, **helps}


def _remedy(request: WebRequest, card: JobCard, *, mine: bool) -> dict[str, Any]:
    """What helps: the domain's own advice where it has one, else the queue's."""
    if not card.error or card.row.state == "cancelled":  # somebody wanted that
        return {"advice": "", "remedy": None}
    if card.finished_at is None:
        return {"advice": _("It is tried again by itself."), "remedy": None}
    tell = request.app.state.remedies.get(card.row.type.partition(".")[0])
    theirs: Remedy | None = tell(card.error_code) if tell else None
    if theirs is not None:
        own = theirs.url and mine  # for another's job their page would be one's own
        url = request.app.route_reverse(theirs.url) if own else ""
        link = {"word": theirs.word, "url": url, "post": False} if url else None
        return {"advice": theirs.text, "remedy": link}
    found = known(card.error_code)
    offered = {
        # Trying again has its button on top of the page.
        "limits": (_("Change its time limit"), "queue_types"),
        "worker": (_("Look at the worker"), "queue_worker"),
        "delete": (_("Delete"), "queue_job_delete"),
    }
    if found.act not in offered or mine or card.row.state != "failed":
        return {"advice": found.text, "remedy": None}
    word, route = offered[found.act]
    post = found.act == "delete"
    url = request.app.route_reverse(route, **({"job_id": card.row.id} if post else {}))
    return {"advice": found.text, "remedy": {"word": word, "url": url, "post": post}}


def _facts(card: JobCard, *, mine: bool) -> list[dict[str, Any]]:
    times = ngettext("%(n)s time", "%(n)s times", card.snoozes) if card.snoozes else ""
    deaths = ngettext("%(n)s time", "%(n)s times", card.crashes) if card.crashes else ""
    facts = [
        (_("Asked for"), fmt_time(card.created_at), False),
        (_("Started"), fmt_time(card.started_at), False),
        (_("Ended"), fmt_time(card.finished_at), False),
        (_("Tries"), f"{card.row.attempts} / {card.row.max_attempts}", False),
        (_("Snoozed"), times, False),
        (_("Worker died under it"), deaths, False),
        *([] if mine else _inner_facts(card)),
    ]
    return [{"word": word, "value": value, "mono": mono} for word, value, mono in facts if value]


def _inner_facts(card: JobCard) -> list[tuple[str, str, bool]]:
    """What only an admin cares for."""
    words = {
        "dedupeKey": _("Dedupe key"),
        "serialKey": _("Serial key"),
        "rateKey": _("Rate key"),
        "scheduleId": _("Schedule"),
    }
    return [
        (_("Priority"), str(card.priority), False),
        (_("Lane"), lane(card.lane), False),
        (_("Time limit"), fmt_span(card.timeout_s) if card.timeout_s else _("none"), False),
        (_("Worker"), card.worker, True),
        (_("Its claim ends"), fmt_time(card.lease_until, "clock"), False),
        *((words[name], value, True) for name, value in card.keys.items()),
    ]


def _links(request: WebRequest, card: JobCard) -> list[dict[str, str]]:
    """To what the job is about, its project and its batch, where they have a page."""
    found = []
    given = [card.subject] if card.subject else []
    given += [("project", card.project)] if card.project else []
    for noun, key in given:
        place = request.app.state.subjects.get(noun)
        if place and may(request.user, place.access):
            # A row's number is a number in its address; the router takes no text for one.
            part = int(key) if key.isascii() and key.isdigit() else key
            url = request.app.route_reverse(place.route, **{place.key: part})
            found.append({"word": _(place.title), "url": url, "note": ""})
    if card.batch:
        ended = card.batch["total"] - card.batch["pending"]
        name = card.batch["label"]
        found.append(
            {
                "word": _(name) if name else _("Batch"),
                "url": request.app.route_reverse("queue_batch", batch_id=card.batch["id"]),
                "note": _("%(part)s of %(whole)s", part=ended, whole=card.batch["total"]),
            }
        )
    return found


def _acts(request: WebRequest, card: JobCard) -> list[dict[str, str]]:
    """What else an admin may do to this job: (word, url, question to be asked before)."""
    offered: list[tuple[str, str, str, bool]] = [
        (_("Start now"), "queue_job_run_now", "", card.row.can_run),
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
        {
            "word": word,
            "url": request.app.route_reverse(name, job_id=card.row.id),
            "question": question,
            "id": name,
        }
        for word, name, question, now in offered
        if now
    ]
