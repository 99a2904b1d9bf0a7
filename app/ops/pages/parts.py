"""What the queue's pages share."""

from typing import Any
from urllib.parse import urlencode

from app.core.i18n import _, fmt_time
from app.ops.service.jobs import JobRow, is_shared
from app.ops.wording import reason, title
from app.ops.wording import state as words_of
from app.web.auth import Principal, SignInNeeded, WebRequest


def viewer_of(request: WebRequest) -> Principal:
    """Who asks."""
    if request.user is None:
        raise SignInNeeded
    return request.user


def query(**values: str) -> str:
    """`?a=1` of what is not empty."""
    kept = {name: value for name, value in values.items() if value}
    return f"?{urlencode(kept)}" if kept else ""


def queue_tabs(request: WebRequest, here: str) -> list[dict[str, Any]]:
    """The pages of the queue; `key` leads there from the keyboard."""
    words = {
        "queue": (_("Overview"), "q"),
        "queue_jobs": (_("Jobs"), "j"),
        "queue_types": (_("Types"), ""),
        "queue_schedules": (_("Schedules"), "s"),
        "queue_batches": (_("Batches"), "b"),
        "queue_rates": (_("Rates"), ""),
        "queue_worker": (_("Worker"), ""),
    }
    return [
        {"title": word, "url": request.app.route_reverse(name), "here": name == here, "key": key}
        for name, (word, key) in words.items()
    ]


def line_of(request: WebRequest, row: JobRow, *, mine: bool) -> dict[str, Any]:
    """A job as `_job_rows.html` shows it."""
    look, word = words_of(row.state)
    prefix = "my_job" if mine else "queue_job"

    def act(name: str, now: bool) -> str:
        return request.app.route_reverse(f"{prefix}_{name}", job_id=row.id) if now else ""

    return {
        "id": row.id,
        "label": title(row.label),
        "type": row.type,
        "look": look,
        "word": word,
        "progress": row.progress,
        "text": _text(row),
        "age_s": row.age_s,
        "attempts": row.attempts,
        "max_attempts": row.max_attempts,
        "owner": "" if mine else row.owner,
        "url": request.app.route_reverse(prefix, job_id=row.id),
        "cancel_url": act("cancel", row.can_cancel and not (mine and is_shared(row.type))),
        "retry_url": act("retry", row.can_retry),
        "run_url": act("run_now", row.can_run and not mine),
    }


def _text(row: JobRow) -> str:
    """Beside the state: how far it is, what it waits for, when it comes, what went wrong."""
    if row.why:
        why = reason(row.why)
        return f"{why}, {fmt_time(row.until)}" if row.until else why
    if row.state == "retrying":
        return _("again %(time)s", time=fmt_time(row.run_at))
    if row.state in ("scheduled", "snoozed"):
        return fmt_time(row.run_at)
    return _(row.message)
