"""Samples of the ticket templates beside the first page: template, data, blocks."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace as Thing
from typing import Any

from app.web.lists import Listing

NOW = datetime(2026, 11, 20, 6, 42, tzinfo=UTC)
Given = tuple[str, dict[str, Any], tuple[str, ...] | None]
SETTINGS: dict[str, Any] = {
    "number_masked": "••••6789",
    "password_at": NOW,
    "keeper": "Jana Brandt",
    "login": Thing(look="success", word="works", text="", at=NOW),
    "blocked": False,
    "unreadable": False,
    "released": ["Name", "Student number"],
    "push": Thing(url="", login_name="", saved_at=None),
    "auto_download": True,
    "auto_consent": False,
    "accept_terms": False,
    "holder_name": "",
    "notify_new": True,
    "notify_failed": True,
    "notify_expiring": False,
    "devices": [("honest", "Holdfast itself")],
    "device_profile": "honest",
}
ATTEMPT = Thing(
    id=1,
    at=NOW,
    look="success",
    word="new",
    text="New text",
    asked_by="you",
    ms=4100,
    driver="http",
    device="holdfast",
    who="jana",
    steps=[Thing(word="Login", note="302")],
)
HISTORY: dict[str, Any] = {
    "tabs": [],
    "rows": [ATTEMPT],
    "outcomes": [("", "Any"), ("new", "new"), ("duplicate", "unchanged")],
    "outcome": "new",
    "chosen": "",
    "here_url": "/tickets/history",
    "newer_url": "",
    "older_url": "/older",
}
ROW = Thing(
    id=812,
    valid_from=date(2026, 11, 1),
    valid_to=date(2026, 11, 30),
    product="Deutschlandsemesterticket",
    look="success",
    word="valid",
    first_seen=NOW,
    checks="8 of 8",
    driver="http",
    size_bytes=4150,
)
VERSIONS: dict[str, Any] = {
    "rows": [ROW],
    "total": 1,
    "years": [("", "All"), ("2026", "2026"), ("2025", "2025")],
    "year": "",
    "order": "valid",
    "kind": "",
    "here_url": "/x",
    "valid_url": "/x",
    "seen_url": "/x",
    "newer_url": "",
    "older_url": "/older",
}
CARD = Thing(
    key="iphone_13",
    title="iPhone 13",
    width=390,
    height=844,
    locale="de-DE",
    timezone="Europe/Berlin",
    is_mobile=True,
    own=True,
    chosen=False,
    proxied=True,
    works_with=("http",),
    frame=Thing(x=20, y=2, w=30, h=60),
)
DEVICE = Thing(
    **dict.fromkeys(("latitude", "longitude", "proxy_url", "proxy_login"), ""),
    name="Mine",
    user_agent="Mozilla/5.0",
    viewport_width="390",
    viewport_height="12px",
    device_scale_factor="2",
    is_mobile=True,
    has_touch=False,
    locale="de-DE",
    timezone="Europe/Berlin",
)
SERIES = [Thing(name="New", look="b1", points=[1, 0, 3])]
ADMIN: dict[str, Any] = {
    "tiles": Thing(people=9, valid=7, expiring=1, failing=1, blocked=0),
    "labels": ["18 Nov", "19 Nov", "20 Nov"],
    "bars": SERIES,
    "answers": [Thing(name="ms", look="l1", points=[12, 0, 40])],
    "base": Thing(
        has_login=True, look="success", word="new", streak=2, facts=[("Last look", "today")]
    ),
    "pace": Thing(limit=12, period_s=60.0, paused_until=NOW),
    "waiting": Thing(queued=4, running=1),
    "done_s": 25.0,
}
PERSON = Thing(
    id="u1",
    login="jana",
    look="success",
    word="new",
    until="2026-11-30",
    last_at=NOW,
    auto=True,
    has_login=True,
    blocked=False,
    driver="",
    mirror="",
)
PEOPLE: dict[str, Any] = {
    "rows": [PERSON],
    "kinds": {"": "All", "valid": "Valid"},
    "listing": Listing(
        "/admin/tickets/users", {"kind": "", "q": "ja"}, sort="name", usual="name", total=1
    ),
}


def _setting(name: str, kind: str, value: Any, **more: Any) -> Thing:
    given = {"help": f"About {name}", "choices": [], "secret": False, "stored": True}
    return Thing(
        **{
            **given,
            "name": name,
            "kind": kind,
            "value": value,
            "locked": False,
            "source": "default",
            "default": "",
            **more,
        }
    )


def more(ticket: Any, tabs: list[Any]) -> dict[str, Given]:
    """All of them, with the ticket and the tabs the other samples use."""
    checks = [Thing(word="Name", look="success", text="fits")]
    shown = {"ticket": ticket, "checks": checks, "changes_url": "/changes", "own": True}
    history = {**HISTORY, "tabs": tabs}
    fresh = {"number_masked": "", "password_at": None, "login": None}
    typed = {"uk_number": "12", "uk_password": "hush-hush"}
    missing = {"form": typed, "errors": {"agree": "Please say yes first."}}
    blocks = ("ticket_settings", "ticket_push")
    rows = [
        _setting("tickets.markers", "tuple", "A\nB"),
        _setting("tickets.driver", "str", "http", choices=[("http", "http")]),
        _setting("tickets.admin_can_view", "bool", False),
        _setting("tickets.base_password", "str", "", secret=True),
        _setting("tickets.base_number", "str", "uk1", locked=True, source="HOLDFAST_X"),
        _setting("tickets.ignore_patterns", "tuple", "/x/"),
    ]
    hop = Thing(
        method="GET",
        host="idp.example:443",
        path="/idp",
        kind="login",
        status=200,
        ms=9,
        certificate="idp.example; Example CA",
    )
    found = Thing(hops=[hop], login_host="idp.example:443", fault="", hosts=["idp.example:443"])
    error = Thing(
        outcome="timeout",
        look="again",
        word="too slow",
        text="Slow.",
        url="/x",
        times=3,
        people=2,
        newest=NOW,
    )
    works = [Thing(word="http", look="success"), Thing(word="browser", look="off")]
    device = {"device": DEVICE, "profile_id": "p1", "works": works, "live_errors": ["Wrong."]}
    return {
        "show": ("tickets/show.html", shown, None),
        "pass": (
            "tickets/pass.html",
            {"ticket": ticket, "portal_url": "https://t.example", "versions": []},
            None,
        ),
        "pass_none": (
            "tickets/pass.html",
            {"ticket": None, "portal_url": "https://t.example"},
            None,
        ),
        "versions": ("tickets/list.html", {**VERSIONS, "tabs": tabs}, ("version_rows",)),
        "versions_none": (
            *("tickets/list.html", {**VERSIONS, "tabs": tabs, "rows": []}, ("version_rows",)),
        ),
        "changes": (
            "tickets/changes.html",
            {
                "ticket": ticket,
                "lines": [Thing(text="Now", look="added"), Thing(text="x", look="")],
            },
            None,
        ),
        "history": ("tickets/history.html", history, ("history_rows",)),
        "history_empty": ("tickets/history.html", {**history, "rows": []}, ("history_rows",)),
        "settings": ("tickets/settings.html", SETTINGS, blocks),
        "settings_new": ("tickets/settings.html", {**SETTINGS, **fresh, **missing}, blocks),
        "devices": (
            "tickets/devices.html",
            {
                "own": [CARD],
                "presets": [CARD],
                "fields": [Thing(field="Place", http="no", browser="yes")],
                "names": {"http": "plain (http)", "browser": "browser"},
            },
            None,
        ),
        "device": (
            "tickets/device.html",
            {**device, "errors": {"viewport_height": "A whole number."}},
            ("device_form", "device_works"),
        ),
        "tickets_admin": ("tickets/admin.html", ADMIN, ("tickets_all",)),
        "tickets_attempts": (
            "tickets/admin_history.html",
            {**history, "outcome_word": "new", "all_url": "/x"},
            ("attempt_rows",),
        ),
        "tickets_errors": (
            "tickets/admin_errors.html",
            {"tabs": tabs, "rows": [error], "redesign": Thing(at=NOW, old="form", new="div")},
            None,
        ),
        "tickets_people": ("tickets/people.html", PEOPLE, ("people_rows",)),
        "tickets_person": (
            "tickets/person.html",
            {"person": PERSON, "drivers": [("", "As set")], "rows": [ROW], "can_look": True},
            ("person_form",),
        ),
        "tickets_portal": (
            "tickets/admin_settings.html",
            {
                "groups": [("Portal", rows)],
                "tried": [Thing(pattern="x", lines=1, total=9, slow=False)],
            },
            ("portal_form",),
        ),
        "tickets_probe": (
            "tickets/probe.html",
            {"portal_url": "https://t.example", "pinned": ["old.example"], "found": found},
            None,
        ),
    }
