"""What the queue's pages share."""

from typing import Any

from app.core.i18n import _
from app.ops.service.jobs import JobRow
from app.ops.wording import state as words_of
from app.web.auth import Principal, SignInNeeded, WebRequest


def viewer_of(request: WebRequest) -> Principal:
    """Who asks."""
    if request.user is None:
        raise SignInNeeded
    return request.user


def queue_tabs(request: WebRequest, here: str) -> list[dict[str, Any]]:
    """The pages of the queue."""
    words = {
        "queue": _("Overview"),
        "queue_jobs": _("Jobs"),
        "queue_types": _("Types"),
        "queue_schedules": _("Schedules"),
        "queue_batches": _("Batches"),
        "queue_rates": _("Rates"),
        "queue_worker": _("Worker"),
    }
    return [
        {
            "title": word,
            "url": request.app.route_reverse(name),
            "here": name == here,
            "count": None,
        }
        for name, word in words.items()
    ]


def line_of(request: WebRequest, row: JobRow, *, mine: bool) -> dict[str, Any]:
    """A job as `_job_rows.html` shows it."""
    look, word = words_of(row.state)
    reverse, prefix = request.app.route_reverse, "my_job" if mine else "queue_job"
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
        "url": reverse(prefix, job_id=row.id),
        "cancel_url": reverse(f"{prefix}_cancel", job_id=row.id) if row.can_cancel else "",
        "retry_url": reverse(f"{prefix}_retry", job_id=row.id) if row.can_retry else "",
    }
