"""Home: what needs this person, what runs for them, and where each area stands."""

from collections.abc import Iterable
from typing import Any

from app.core.area import DescribeArea
from app.core.i18n import _, ngettext
from app.core.live import Viewer
from app.ops.service import jobs as service
from app.ops.wording import state as words_of
from db import clock
from db.engine import DB

NEEDS = 5


async def get_dashboard(viewer: Viewer, areas: Iterable[DescribeArea]) -> dict[str, Any]:
    """Everything the page shows."""
    running = await service.list_jobs(viewer, mine=True, state="running", limit=NEEDS)
    failed = await DB.all(
        "SELECT id, coalesce(label, type) AS label, lastError, finishedAt FROM queueJobs"
        " WHERE state = 'failed' AND finishedAt > ? AND acknowledgedAt IS NULL AND ownerUserId = ?"
        " ORDER BY finishedAt DESC LIMIT ?",
        (clock.ms() - 7 * 86_400_000, viewer.id, NEEDS),
    )
    lines = [line for describe in areas if (line := await describe(viewer)) is not None]
    summary = (
        ngettext("%(n)s thing needs you.", "%(n)s things need you.", len(failed))
        if failed
        else _("All quiet.")
    )
    return {
        "today": clock.now(),
        "summary": summary,
        "needs": [
            {
                "title": _(row["label"]),
                "text": row["lastError"] or "",
                "at": row["finishedAt"],
                "url": f"/jobs/{row['id']}",
                "action": _("Look"),
            }
            for row in failed
        ],
        "running": [
            {
                "id": row.id,
                "label": _(row.label),
                "text": _(row.message) or words_of(row.state)[1],
                "progress": row.progress,
                "url": f"/jobs/{row.id}",
            }
            for row in running
        ],
        "queue_url": "/admin/queue" if viewer.role == "admin" else "/jobs",
        "areas": lines,
        "next": [],
        "care": [],
        "steps": [],
    }
