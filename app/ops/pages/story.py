"""A job's life in words: what happened, why it waits, and the tree it belongs to."""

from typing import Any

from app.core.i18n import _, fmt_day, fmt_span, fmt_time
from app.ops.pages.parts import line_of
from app.ops.service.job import JobCard
from app.ops.service.schedules import now_ms
from app.ops.wording import happened, reason
from app.web.auth import WebRequest


def story(card: JobCard) -> list[dict[str, Any]]:
    """Newest first. An attempt that failed keeps its error, its code and its stack."""
    found = []
    today = fmt_day(now_ms())
    for number, attempt in enumerate(card.attempts):
        look, word = happened(attempt.what, attempt.number)
        found.append(
            {
                "id": f"attempt-{len(card.attempts) - number}",
                "look": look,
                "word": word,
                "at": attempt.at,
                "how": "clock" if fmt_day(attempt.at) == today else "near",
                "took": _took(attempt.took_ms),
                "text": _(attempt.text),
                "code": attempt.code,
                "stack": attempt.stack,
                "worker": attempt.worker,
            }
        )
    return found


def _took(ms: int | None) -> str:
    if ms is None:
        return ""
    time = _("%(n)s ms", n=ms) if ms < 1000 else fmt_span(ms / 1000)
    return _("ran %(time)s", time=time)


def why(request: WebRequest, card: JobCard, *, mine: bool) -> list[dict[str, str]]:
    """Everything that must hold before it starts, and whether it does; empty once it has."""
    if card.row.state not in ("ready", "waiting", "scheduled", "snoozed", "retrying"):
        return []
    held = {str(each.why): each for each in card.reasons}
    asked: list[tuple[str, str, bool]] = [
        ("scheduled", _("its time has come"), True),
        ("paused", _("the queue is not paused"), True),
        ("type_paused", _("its type is not paused"), True),
        ("type_limit", _("its type is below its limit"), True),
        ("lane_full", _("a slot is free"), True),
        ("serial", _("no other job of the same thing runs"), "serialKey" in card.keys),
        ("rate", _("the service takes calls"), "rateKey" in card.keys),
        ("suspect_running", "", False),
        ("unknown_type", "", False),
    ]
    found = []
    for name, good, shown in asked:
        hold = held.get(name)
        if hold:
            note = fmt_time(hold.until) if hold.until else "" if mine else hold.detail
            url = word = ""
            if hold.holder and not mine:
                url, word = (
                    request.app.route_reverse("queue_job", job_id=hold.holder),
                    _("Which one?"),
                )
            elif name == "rate" and not mine:
                url, word = request.app.route_reverse("queue_rates"), _("Rates")
            elif name in ("type_paused", "type_limit") and not mine:
                url, word = request.app.route_reverse("queue_types"), _("Types")
            found.append(
                {"look": "held", "word": reason(name), "note": note, "url": url, "link": word}
            )
        elif shown:
            found.append({"look": "success", "word": good, "note": "", "url": "", "link": ""})
    return found


def family(request: WebRequest, card: JobCard, *, mine: bool) -> list[dict[str, Any]]:
    """The tree as lines, each with its depth; the job itself is `here`."""
    return [
        {
            **line_of(request, kin.row, mine=mine),
            "depth": min(kin.depth, 5),
            "here": kin.row.id == card.row.id,
        }
        for kin in card.family
    ]
