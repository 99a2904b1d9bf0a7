"""Sample data of the pages about jobs: the lists, one job, its form, the overview."""

from datetime import UTC, datetime
from types import SimpleNamespace as Thing
from typing import Any

AT = 1_795_000_000_000
NOW = datetime(2026, 11, 20, 10, 42, tzinfo=UTC)
SECTIONS = [{"title": "Overview", "url": "/q", "here": True, "key": "q"}]
TABS = [{"title": "1 hour", "url": "/q", "here": True, "count": None}]


def row(**more: Any) -> Thing:
    """A line of a job table."""
    given: dict[str, Any] = {
        "id": "0199",
        "label": "Ticket for Tom <b>Fischer</b>",
        "type": "tickets.download",
        "look": "running",
        "word": "running",
        "progress": 63,
        "text": "14 of 22",
        "age_s": 120.0,
        "attempts": 1,
        "max_attempts": 5,
        "owner": "Jana Brandt",
        "url": "/jobs/0199",
        "cancel_url": "/jobs/0199/cancel",
        "retry_url": "",
        "run_url": "",
    }
    return Thing(**{**given, **more})


ROWS = [
    row(),
    row(id="0200", look="failed", word="failed", progress=None, cancel_url="", retry_url="/x"),
    row(id="0201", look="planned", word="scheduled", progress=None, run_url="/r"),
]
ACTS = [
    {"word": "Start now", "url": "/r", "question": "", "id": "run"},
    {"word": "Delete", "url": "/x", "question": "Sure?", "id": "delete"},
]
JOB = Thing(
    **{
        **vars(row()),
        "number": "0199",
        "stage": "Downloading",
        "ended": False,
        "failed": False,
        "error": "The disk is full",
        "error_code": "storage_error",
        "advice": "Make room.",
        "remedy": {"word": "Try again", "url": "/x", "post": True},
        "acts": ACTS,
        "edit_url": "/x",
        "same_url": "/x",
    }
)
MOMENT = {
    "id": "attempt-2",
    "look": "failed",
    "word": "Try 1 failed",
    "at": AT,
    "how": "clock",
    "took": "ran 3 s",
    "text": "no such <b>Fischer</b>",
    "code": "KeyError",
    "stack": "Traceback …",
    "worker": "host-7",
}
OUTPUT = {
    "pieces": [("make: ", ""), ("all done\n", "ansi-green ansi-bold")],
    "more_url": "/more",
    "cut": True,
    "file_url": "/file",
}
JOB_PAGE: dict[str, Any] = {
    "mine": False,
    "job": JOB,
    "facts": [Thing(word="Lane", value="io", mono=True)],
    "links": [{"word": "The firmware", "url": "/firmware/1", "note": "3 of 4"}],
    "why": [Thing(look="held", word="Rate closed", note="until 10:44", url="/x", link="Rates")],
    "story": [MOMENT, {**MOMENT, "id": "attempt-1", "stack": "", "text": "", "took": ""}],
    "log": [Thing(at=NOW, level="warn", text="slow")],
    "level": "",
    "find": "",
    "log_full": True,
    "log_url": "/log",
    "output": OUTPUT,
    "tail": False,
    "payload": '{"a": 1}',
    "result": "ok",
    "family": [
        Thing(**vars(row(id="k1")), depth=0, here=False),
        Thing(**vars(row(id="k2")), depth=1, here=True),
    ],
    "twin": "0198",
    "twin_url": "/twin",
}
LIST: dict[str, Any] = {
    "mine": False,
    "tabs": [
        {"title": "All", "url": "/x", "here": True, "count": 10_000, "more": True},
        {"title": "Failed", "url": "/y", "here": False, "count": None, "more": False},
    ],
    "states": [{"look": "held", "word": "waiting", "count": 3, "url": "/w", "here": True}],
    "scope": "queued",
    "q": "tick",
    "state": "queued",
    "rows": ROWS,
    "newer": 4,
    "newest_url": "/x",
    "here_url": "/jobs?q=tick",
    "tabs_url": "/jobs",
    "newer_url": "",
    "older_url": "/older",
    "search_url": "/jobs",
    "sections": SECTIONS,
    "matching": 1234,
    "newest": "0199",
    "bulk_actions": [("cancel", "Cancel"), ("retry", "Try again")],
}
NOBODYS = {"mine": True, "rows": [], "states": [], "q": "", "state": "", "sections": []}
QUEUE: dict[str, Any] = {
    "health": Thing(look="running", word="Running", notes=["oldest waits 4 s"], bad=True),
    "here_url": "/admin/queue",
    "paused": True,
    "paused_reason": "Moving house",
    "slots": 8,
    "slots_max": 20,
    "counters": [Thing(look="running", word="running", count=6, more=True, note="of 8", url="/x")],
    "chart_labels": ["10:00", "10:01", "10:02"],
    "chart_done": [40, 1234, 7],
    "chart_failed": [0, 3, 0],
    "age_labels": ["10:00", "10:01", "10:02"],
    "age": [0, 4.5, 0],
    "wait_labels": ["10:00", "10:01"],
    "wait_p50": [18, 20],
    "wait_p95": [50, 60],
    "wait_p99": [80, 77],
    "run_p50": [18, 20],
    "run_p95": [50, 60],
    "run_p99": [80, 77],
    "sections": SECTIONS,
    "spans": TABS,
    "rows": ROWS,
    "total_open": 71,
    "failing": [Thing(type="a.b", count=2, text="why", url="/x")],
    "schedules": [Thing(name="Backup", at=NOW)],
}
IDLE = {"paused": False, "rows": [], "chart_labels": [], "wait_labels": [], "age_labels": []}
FIELDS = [
    Thing(name=name, kind=name, value="1", options=[("a", "a")], optional=True, hidden=hidden)
    for name, hidden in (
        *(("text", True), ("number", False), ("flag", False)),
        *(("choice", False), ("json", False)),
    )
]
WANTED = Thing(fields=FIELDS, priority=30, max_attempts=5, run_at=AT, open=False)
EDIT: dict[str, Any] = {"wanted": WANTED, "prefix": "payload-", "label": "L", "job_id": "0199"}
WRONG = {"payload-number": "A whole number, please."}

TARGET = Thing(
    id="0199",
    word="E-mail",
    where="<b>me</b>@example.org",
    kinds=["tickets"],
    quiet_from="22:00",
    quiet_to="07:00",
    last_ok_at="2026-11-20T10:00:00.000Z",
    error="",
    change_url="/n/0199",
    test_url="/n/0199/test",
    remove_url="/n/0199/remove",
)
BARE: dict[str, Any] = {"kinds": [], "quiet_from": "", "quiet_to": "", "last_ok_at": None}
TARGETS: dict[str, Any] = {
    "rows": [
        TARGET,
        Thing(**{**vars(TARGET), **BARE, "id": "0200", "error": "The server answered 403."}),
        Thing(**{**vars(TARGET), **BARE, "id": "0201"}),
    ],
    "kinds": {"tickets": "Semester tickets", "security": "Security of the account"},
    "own": True,
    "add_url": "/n",
}
NO_TARGETS: dict[str, Any] = {"rows": [], "own": False}
ODD = {"address": "Not one.", "kinds": "None such.", "quiet_to": "Both."}

NOW_ROWS = ("queue_now", "queue_charts", "queue_rows")
SHOWN = {
    "targets": ("ops/targets.html", TARGETS, ("target_rows", "target_new")),
    "targets_none": (
        "ops/targets.html",
        {**TARGETS, **NO_TARGETS, "errors": ODD, "form": {"kinds": ["tickets"]}},
        ("target_rows", "target_new"),
    ),
    "queue": ("ops/queue.html", QUEUE, NOW_ROWS),
    "queue_idle": ("ops/queue.html", {**QUEUE, **IDLE}, NOW_ROWS),
    "jobs": ("ops/jobs.html", LIST, ("job_rows", "job_tabs")),
    "jobs_none": ("ops/jobs.html", {**LIST, **NOBODYS}, ("job_rows", "job_tabs")),
    "job": ("ops/job.html", JOB_PAGE, ("job_now",)),
    "job_mine": (
        "ops/job.html",
        {**JOB_PAGE, "mine": True, "payload": "", "result": "", "log": [], "output": None},
        ("job_now",),
    ),
    "job_edit": ("ops/job_edit.html", EDIT, ("edit_form",)),
    "job_edit_wrong": ("ops/job_edit.html", {**EDIT, "errors": WRONG}, ("edit_form",)),
    "output": (
        "ops/output.html",
        {"output": OUTPUT, "tail": True, "job_url": "/j"},
        ("output_part",),
    ),
    "output_over": (
        "ops/output.html",
        {"output": {**OUTPUT, "more_url": ""}, "tail": False, "job_url": "/j"},
        ("output_part",),
    ),
}
