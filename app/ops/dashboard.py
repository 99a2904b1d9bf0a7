"""Home: what needs this person, what runs for them, and where each area stands."""

import asyncio
import shutil
from collections.abc import Iterable
from typing import Any

from app.core import paths
from app.core.area import Area, DescribeArea, Step
from app.core.i18n import _, fmt_size, ngettext
from app.core.live import Viewer
from app.ops.service import jobs as service
from app.ops.service import queue
from app.ops.wording import state as words_of
from app.ops.wording import title
from db import clock
from db.connection import Row
from db.engine import DB

NEEDS, COUNTED = 5, 100
RECENT_MS = 7 * 86_400_000
FULL_BYTES = 1024**3

_FAILED = """
SELECT id, type, coalesce(label, type) AS label, lastError, finishedAt FROM queueJobs
WHERE state = 'failed' AND finishedAt > ? AND acknowledgedAt IS NULL AND ownerUserId = ?
ORDER BY finishedAt DESC LIMIT ?
"""
_OTHERS = """
SELECT count(*) FROM (SELECT 1 FROM queueJobs WHERE state = 'failed' AND finishedAt > ?
  AND acknowledgedAt IS NULL AND ownerUserId IS NOT ? LIMIT 100)
"""


async def get_dashboard(viewer: Viewer, areas: Iterable[DescribeArea]) -> dict[str, Any]:
    """Everything the page shows."""
    running = await service.list_jobs(viewer, mine=True, state="running", limit=NEEDS)
    since = clock.ms() - RECENT_MS
    failed = await DB.all(_FAILED, (since, viewer.id, COUNTED))
    lines = [line for describe in areas if (line := await describe(viewer)) is not None]
    steps = await _steps(viewer, lines)
    return {
        "today": clock.now(),
        "summary": _summary(len(failed), len(running)),
        "needs": [_need(row) for row in failed[:NEEDS]],
        "needs_total": len(failed),
        "running": [
            {
                "id": row.id,
                "label": title(row.label),
                "text": _(row.message) or words_of(row.state)[1],
                "progress": row.progress,
                "url": f"/jobs/{row.id}",
            }
            for row in running
        ],
        "queue_url": "/admin/queue" if viewer.role == "admin" else "/jobs",
        "areas": lines,
        "failures": {row["type"].partition(".")[0]: row for row in reversed(failed)},
        "next": [],
        "care": await _care(viewer, since) if viewer.role == "admin" else [],
        "steps": [] if all(step.done for step in steps) else steps,
    }


def tour(viewer: Viewer) -> list[Step]:
    """Five places to look at first, for who came to try the demo."""
    admin = viewer.role == "admin"
    cards = (
        (
            _("A ticket"),
            _("It was fetched just now. Show it as to an inspector, or fetch it again and watch."),
            "/tickets",
        ),
        (
            _("A download"),
            _("Firmware for a phone, over several connections. Pause it, go on, close the tab."),
            "/firmware",
        ),
        (
            _("The work behind it"),
            _("Each job with its state, tries and log: what runs, what waits, what went wrong."),
            "/admin/queue" if admin else "/jobs",
        ),
        (
            _("People") if admin else _("Your account"),
            _("Let somebody in with a link that works once.")
            if admin
            else _("Language, theme, devices, second factor, and all your data to take along."),
            "/admin/invites" if admin else "/account",
        ),
        (
            _("Search and keys"),
            _("Ctrl K finds places and jobs from anywhere; single keys lead on, or stay off."),
            "/palette",
        ),
    )
    return [Step(title=title, text=text, url=url, done=False) for title, text, url in cards]


def _summary(failed: int, running: int) -> str:
    said = []
    if failed:
        said.append(ngettext("%(n)s thing needs you.", "%(n)s things need you.", failed))
    if running:
        said.append(ngettext("%(n)s job runs.", "%(n)s jobs run.", running))
    return " ".join(said) or _("All quiet.")


def _need(row: Row) -> dict[str, Any]:
    error = row["lastError"] or ""
    return {
        "title": title(row["label"]),
        "text": _(error),
        "at": row["finishedAt"],
        "url": f"/jobs/{row['id']}",
        "action": _("Look"),
    }


async def _steps(viewer: Viewer, lines: Iterable[Area]) -> list[Step]:
    """The first things to do, of the house and of each area."""
    look = await DB.value("SELECT 1 FROM userSettings WHERE userId = ?", (viewer.id,))
    steps = [
        Step(
            title=_("Choose language and look"),
            text=_("English, German, Russian or Spanish; light or dark; your time zone."),
            url="/account",
            done=bool(look),
        )
    ]
    steps += [line.step for line in lines if line.step]
    if viewer.role == "admin":
        invited = await DB.value("SELECT 1 FROM invite_tokens LIMIT 1")
        steps.append(
            Step(
                title=_("Invite somebody"),
                text=_("A link for one person, good for three days unless you say otherwise."),
                url="/admin/invites",
                done=bool(invited),
            )
        )
    return steps


async def _care(viewer: Viewer, since: int) -> list[dict[str, str]]:
    """What whoever runs the server looks at: worker, other people's failures, room on the disk."""
    overview = await queue.get_overview()
    worker = ("success", _("running"))
    if not overview.alive:
        worker = ("failed", _("worker stalled"))
    elif overview.paused:
        worker = ("held", _("paused"))
    others = int(await DB.value(_OTHERS, (since, viewer.id)))
    free = (await asyncio.to_thread(shutil.disk_usage, paths.data_dir())).free
    return [
        {"word": _("Worker"), "look": worker[0], "text": worker[1]},
        {
            "word": _("Other people's jobs"),
            "look": "failed" if others else "success",
            "text": ngettext("%(n)s failed", "%(n)s failed", others) if others else _("fine"),
        },
        {
            "word": _("Disk"),
            "look": "failed" if free < FULL_BYTES else "success",
            "text": _("%(size)s free", size=fmt_size(free)),
        },
    ]
