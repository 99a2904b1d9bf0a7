"""What each template is given, as its first comment asks: people and things that look real."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace as Thing
from typing import Any

from app.core.area import Hit
from app.web.lists import Listing
from tests.app.web import job_samples, queue_samples, ticket_samples

NOW = datetime(2026, 11, 20, 10, 42, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=4)
DAY = date(2026, 11, 20)


@dataclass(frozen=True)
class Sample:
    """A template, what it is given, and the blocks it is asked for alone."""

    template: str
    data: dict[str, Any] = field(default_factory=dict)
    blocks: tuple[str, ...] | None = None


TICKET = Thing(
    id=812,
    product="Deutschlandsemesterticket",
    holder="Jana Brandt",
    number="0471",
    look="success",
    word="valid now",
    valid_from=date(2026, 11, 1),
    valid_to=date(2026, 11, 30),
    days_left=10,
    days_total=30,
    first_seen=EARLIER,
    checked=EARLIER,
    fetched=EARLIER,
    driver="form",
    size_bytes=184_000,
    code_url="/code.png",
    has_file=True,
    has_pdf=True,
)
STEPS = [
    Thing(word="Queued", look="success", note="0.2 s"),
    Thing(word="Login", look="running", note=""),
    Thing(word="Ticket", look="", note=""),
]
INDEX: dict[str, Any] = {
    "ticket": TICKET,
    "run": Thing(job_id="0199", title="Looking", started_at=NOW, can_cancel=True, steps=STEPS),
    "last": None,
    "has_login": True,
    "has_consent": True,
    "can_download": True,
    "why_not": "",
    "months": [Thing(label="Nov", look="success", word="valid", here=True)],
    "rows": [
        Thing(
            id=812,
            valid_from=date(2026, 11, 1),
            valid_to=date(2026, 11, 30),
            product="Ticket",
            look="success",
            word="valid",
            first_seen=NOW,
            checks="9 of 9",
            driver="form",
            size_bytes=184_000,
        ),
        Thing(
            id=1,
            valid_from=None,
            valid_to=None,
            product="Ticket",
            look="off",
            word="over",
            first_seen=NOW,
            checks="",
            driver="form",
            size_bytes=1,
        ),
    ],
    "total": 14,
}
NOTHING = {**INDEX, "ticket": None, "run": None, "rows": [], "total": 0, "has_login": False}
REFUSED = Thing(
    at=NOW,
    look="failed",
    word="wrong password",
    text="Stopped.",
    advice_url="/tickets/settings",
    advice_word="Enter the login again",
)
TABS = [
    Thing(title="All", url="/x", here=True, count=1212),
    Thing(title="Failed", url="/y", here=False, count=None),
]
INVITES: dict[str, Any] = {
    "rows": [
        Thing(
            short=f"a1b2{state}",
            state=state,
            label=label,
            email="",
            role="user",
            domain_words="Tickets",
            creator="jana",
            used_by="ben",
            created_at=EARLIER,
            expires_at=NOW,
            used_at=NOW,
        )
        for state, label in (("open", "Tom"), ("used", "Ben"), ("void", ""))
    ],
    "counts": Thing(all=3, open=1, used=1, expired=0, revoked=0, void=1),
    "listing": Listing("/admin/invites", {"state": "", "q": ""}, "-made", "-made", total=3),
    "hours": 72,
    "domains": [("tickets", "Tickets"), ("firmware", "Firmware")],
    "made": None,
}
INVITES["counts"] = vars(INVITES["counts"])
MADE = Thing(
    link="https://hafen.example.org/join/Qm3v", label="Tom", email="", expires_at=NOW, qr=None
)
LISTED = ("invite_new", "invite_rows")
TYPED = {"label": "Wilhelmine", "email": "wilhelmine@", "hours": "960", "domains": "tickets"}
ACCOUNT: dict[str, Any] = {
    "login": "jana",
    "email": "jana@example.org",
    "role_word": "Admin",
    "created_at": EARLIER,
    "invited_by": "ada",
    "look": Thing(locale="en", theme="auto", time_zone=""),
    "zones": ["Europe/Berlin"],
    "devices": [
        Thing(
            id=name,
            words="Firefox on Linux",
            ip="192.0.2.1",
            created_at=EARLIER,
            last_seen_at=NOW,
            is_current=name == "d1",
        )
        for name in ("d1", "d2")
    ],
    "part": "",
}
DASHBOARD: dict[str, Any] = {
    "today": DAY,
    "summary": "Two things need you.",
    "needs_total": 7,
    "needs": [Thing(title="Refused", text="Tickets", at=NOW, url="/x", action="Enter new")],
    "running": [Thing(id="1", label="A", text="b", progress=None, url="/x")],
    "queue_url": "/jobs",
    "failures": {"tickets": {"id": "2", "label": "x"}},
    "areas": [
        Thing(
            title="Tickets",
            icon="ticket",
            url="/tickets",
            stands="here",
            sub="",
            next="1 Dec",
            spark=[2, 1, 3],
            size_bytes=86_000_000,
        )
    ],
    "next": [Thing(at=NOW, text="Backup")],
    "care": [Thing(word="Backup", look="success", text="today")],
    "tour": [Thing(title="A ticket", text="Look", url="/x", done=False)],
    "steps": [Thing(title="Invite", text="People", url="/x", done=False)],
}
OPEN_INVITE = Thing(email="tom@example.org", label="Tom", creator="jana", expires_at=NOW)
NOTICE = Thing(
    id="0199a",
    level="error",
    look="failed",
    text="Fetching the semester ticket failed",
    link="/tickets",
    at=NOW,
    is_read=False,
)
INBOX: dict[str, Any] = {
    "rows": [NOTICE, Thing(**{**vars(NOTICE), "id": "0199b", "is_read": True, "link": ""})],
    "unread": 1,
    "here_url": "/notifications",
    "newer_url": "",
    "older_url": "/older",
}
FOUND = [
    ("Places", [Hit(title="Tickets", url="/tickets", icon="ticket", key="t")]),
    ("Jobs", [Hit(title="Backup", url="/jobs/1", icon="queue", text="done")]),
]
FAULT = {"title": "Broken", "text": "Do it again.", "way_url": "/", "way_word": "Back"}
NOW_AND_ROWS = ("ticket_now", "ticket_rows")

ALL = {
    "index": Sample("tickets/index.html", INDEX, NOW_AND_ROWS),
    "index_last": Sample(
        "tickets/index.html", {**INDEX, "run": None, "last": REFUSED}, NOW_AND_ROWS
    ),
    "index_empty": Sample("tickets/index.html", NOTHING, NOW_AND_ROWS),
    **{name: Sample(*given) for name, given in ticket_samples.more(TICKET, TABS).items()},
    "patterns": Sample(
        "ops/patterns.html",
        {"listing": Listing("/p", {"state": "", "q": ""}, "name", "name", total=1204)},
    ),
    "invites": Sample("accounts/invites.html", {**INVITES, "made": MADE}, LISTED),
    "invites_wrong": Sample(
        "accounts/invites.html",
        {**INVITES, "rows": [], "form": TYPED, "errors": {"hours": "1 to 720.", "email": "No."}},
        LISTED,
    ),
    "account": Sample(
        "accounts/account.html",
        ACCOUNT,
        ("account_devices", "account_look", "account_password"),
    ),
    "login": Sample(
        "accounts/login.html",
        {
            "can_passkey": True,
            "login": "",
            "next": "/tickets",
            "remember": True,
            "setup_open": True,
            "errors": {"form": "Not right."},
        },
        ("login_form",),
    ),
    "setup": Sample("accounts/setup.html", {}, ("setup_form",)),
    "join": Sample(
        "accounts/join.html",
        {"invite": OPEN_INVITE, "refusal": "", "can_sign_in": False},
        ("join_form",),
    ),
    "join_code": Sample(
        "accounts/join.html",
        {"invite": None, "refusal": "This invite was used before.", "can_sign_in": True},
        ("join_form",),
    ),
    "dashboard": Sample("dashboard.html", DASHBOARD, ("dashboard_now",)),
    "notifications": Sample("notifications.html", INBOX, ("notice_rows",)),
    "notifications_none": Sample(
        "notifications.html", {**INBOX, "rows": [], "unread": 0}, ("notice_rows",)
    ),
    "palette": Sample("palette.html", {"q": "t", "groups": FOUND}, ("palette_rows",)),
    "palette_none": Sample("palette.html", {"q": "zz", "groups": []}, ("palette_rows",)),
    "offline": Sample("offline.html", {"user": None}),
    "error": Sample("error.html", {**FAULT, "reference": "7f3a-91c2"}, ("fault_toast",)),
    **{name: Sample(*shown) for name, shown in job_samples.SHOWN.items()},
    **{name: Sample(*shown) for name, shown in queue_samples.shown(job_samples.ROWS).items()},
}
