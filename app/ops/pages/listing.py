"""A list of jobs, of all people or one's own: by state and words, page by page."""

from typing import Any

from litestar import Response

from app.core.i18n import _
from app.ops.pages.parts import line_of, query, queue_tabs, viewer_of
from app.ops.service import jobs as service
from app.ops.service.jobs import COUNT_LIMIT, LIVE_LIMIT, QUEUED, RUNNING
from app.ops.wording import state as words_of
from app.web.auth import WebRequest
from app.web.pages import page

GROUPS = {"queued": QUEUED, "running": RUNNING}
TABS = ("", "queued", "running", "succeeded", "failed", "cancelled")


async def job_list(
    request: WebRequest, q: str, before: str, top: str, *, mine: bool
) -> Response[str]:
    """A list that stands still: `top` was the newest job when it was opened; newer ones count."""
    viewer = viewer_of(request)
    # As a parameter Litestar keeps the name `state` for itself.
    state = request.query_params.get("state", "")
    state = state if state in service.FILTERS else ""
    url = request.app.route_reverse("my_jobs" if mine else "queue_jobs")
    # `top` itself and what is older; whatever came since waits behind the pill.
    until = before or (f"{top}~" if top else "")
    rows = await service.list_jobs(
        viewer, mine=mine, state=state, q=q, before=until, limit=service.ROWS + 1
    )
    shown = rows[: service.ROWS]
    newest = top or (shown[0].id if shown and not before else "")
    newer = await service.count_newer(viewer, top, mine=mine, state=state, q=q) if top else 0
    kept = {"state": state, "q": q}
    older = shown[-1].id if len(rows) > len(shown) else ""
    counts = await service.count_states(viewer.id if mine else "")
    return page(
        request,
        "ops/jobs.html",
        block=("job_rows", "job_tabs"),
        mine=mine,
        sections=[] if mine else queue_tabs(request, "queue_jobs"),
        matching=0 if mine else await service.count_jobs(state, q, newest=newest),
        newest=newest,
        bulk_actions=_bulk_actions(state),
        tabs=_tabs(url, state, q, counts, mine=mine),
        states=_states(url, state, q, counts),
        scope=words_of(state)[1] if state else _("all states"),
        q=q,
        state=state,
        rows=[line_of(request, row, mine=mine) for row in shown],
        newer=newer,
        newest_url=url + query(**kept),
        here_url=url + query(**kept, before=before, top=newest),
        tabs_url=url + query(**kept),
        newer_url=url + query(**kept) if before else "",
        older_url=url + query(**kept, before=older, top=newest) if older else "",
        search_url=url,
    )


def _tabs(
    url: str, state: str, q: str, counts: dict[str, int], *, mine: bool
) -> list[dict[str, Any]]:
    """All, and the five states of a row; of one's own only those that live are counted."""
    found = []
    for name in TABS:
        group = GROUPS.get(name, (name,))
        word = words_of(name)[1].capitalize() if name else _("All")
        count = sum(counts[each] for each in group) if name else None
        found.append(
            {
                "title": word,
                "url": url + query(state=name, q=q),
                "here": state == name or (bool(name) and state in group),
                "count": None if mine and name not in GROUPS else count,
                "more": count in (COUNT_LIMIT, LIVE_LIMIT),
            }
        )
    return found


def _states(url: str, state: str, q: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    """What people see within the state chosen: ready, waiting, … with how many there are."""
    group = next((GROUPS[name] for name in GROUPS if state in (name, *GROUPS[name])), ())
    return [
        {
            "look": words_of(name)[0] if counts[name] else "off",
            "word": words_of(name)[1],
            "count": counts[name],
            "url": url + query(state=name, q=q),
            "here": name == state and state not in GROUPS,
        }
        for name in group
        if name not in GROUPS
    ]


def _bulk_actions(state: str) -> list[tuple[str, str]]:
    """What may be done to many jobs of a state."""
    live = ("", "queued", "running", *QUEUED, *RUNNING)
    offered = {
        "cancel": (_("Cancel"), live),
        "run_now": (_("Start now"), ("", "queued", *QUEUED)),
        "retry": (_("Try again"), ("", "failed", "cancelled")),
        "acknowledge": (_("Mark as seen"), ("failed",)),
        "delete": (_("Delete"), ("", "succeeded", "failed", "cancelled")),
    }
    return [(key, word) for key, (word, states) in offered.items() if state in states]
