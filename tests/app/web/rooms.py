"""Samples of the account and admin pages beyond the first ones."""

from __future__ import annotations

from types import SimpleNamespace as Thing
from typing import Any

from app.core.ordering import Came
from app.web.lists import Listing
from tests.app.web.samples import EARLIER, NOW, Sample

QR = Thing(side=33, path="M4 4h7v1h-7z")
OFFER = Thing(secret="GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
SECURITY: dict[str, Any] = {
    "has_app": True,
    "codes_left": 7,
    "required": False,
    "offer": None,
    "qr": None,
    "passkeys": [Thing(id="p1", name="Jana’s <b>phone</b>", created_at=NOW, last_used_at=None)],
    "can_passkeys": True,
}
WHO = Thing(
    id="u2",
    login="Tom <b>Fischer</b>",
    email="tom@example.org",
    role="user",
    active=True,
    first=False,
    created_at=EARLIER,
    last_login_at=NOW,
    deleted_at=None,
    invited_by="jana",
    inviter_id="u1",
    sessions=2,
    second_factor=True,
)
GONE = Thing(**{**vars(WHO), "id": "u3", "deleted_at": NOW, "active": False, "sessions": 0})
USERS = {
    "rows": [WHO, GONE],
    "counts": {"": 120, "admin": 1, "disabled": 0, "closed": 1},
    "listing": Listing("/admin/users", {"state": "", "q": "to"}, "name", "name", at=50, total=120),
}
CARD = {
    "who": WHO,
    "guests": [Thing(id="u4", login="Carl <b>Fischer</b>", created_at=NOW)],
    "is_me": False,
    "domains": [("tickets", "Tickets"), ("firmware", "Firmware")],
    "chosen": ["tickets"],
    "made": Thing(link="https://h.example/reset/x", expires_at=NOW),
}
TOKEN = Thing(
    id="abcd1234",
    name="cron <b>Fischer</b>",
    scopes=["jobs:read"],
    ip_list=["192.0.2.0/24"],
    state="live",
    created_at=NOW,
    expires_at=NOW,
    last_used_at=None,
)
TOKENS = {
    "rows": [TOKEN],
    "scopes": ["jobs:read", "tickets:write"],
    "days": 90,
    "made": Thing(text="hf_x", name="cron", expires_at=None),
}
LINE = Thing(
    id=4,
    at="2026-11-20T10:00:00.000Z",
    actor="<b>Fischer</b>",
    actor_kind="user",
    ip="192.0.2.7",
    action="session.started",
    object_type="user",
    object_id="jana",
    detail='{"a": "<b>Fischer</b>"}',
    request_id="r",
)
AUDIT = {
    "lines": [LINE],
    "listing": Listing(
        "/admin/audit",
        {"who": "jana", "what": "", "ip": "", "since": "", "until": ""},
        sort="time",
        usual="-time",
        total=1200,
        came=Came(newest="1200", newer=3),
    ),
    "actions": ["session.started"],
    "checked": True,
    "first_bad": 3,
    "list_url": "/admin/audit",
}
MANY = {
    "hours": 72,
    "domains": [("tickets", "Tickets")],
    "most": 200,
    "made": None,
    "back_url": "/admin/invites",
}
STANDING = Thing(
    kids=["0a1b2c3d", "99887766"],
    source="secret.key",
    active="x",
    data_keys=2,
    values=12,
    behind=3,
    unreadable=1,
)
ROOMS = {
    "second": Sample(
        "accounts/second.html",
        {
            "next": "/tickets",
            "has_app": True,
            "has_passkey": True,
            "offer": None,
            "qr": None,
            "errors": {"code": "Not right."},
        },
        ("second_form",),
    ),
    "second_enrol": Sample(
        "accounts/second.html",
        {"next": "", "has_app": False, "has_passkey": False, "offer": OFFER, "qr": QR},
        ("second_form",),
    ),
    "confirm": Sample("accounts/confirm.html", {"next": "/admin/users"}, ("confirm_form",)),
    "codes": Sample("accounts/codes.html", {"codes": ["abcdef-ghijkl"] * 10, "onward_url": "/"}),
    "security": Sample(
        "accounts/security.html",
        SECURITY,
        ("security_app", "security_codes", "security_passkeys"),
    ),
    "security_new": Sample(
        "accounts/security.html",
        {**SECURITY, "has_app": False, "offer": OFFER, "qr": QR, "passkeys": []},
        ("security_app", "security_codes", "security_passkeys"),
    ),
    "reset": Sample("accounts/reset.html", {"login": "jana", "refusal": ""}, ("reset_form",)),
    "reset_over": Sample("accounts/reset.html", {"login": "", "refusal": "Over."}, ("reset_form",)),
    "users": Sample("accounts/users.html", USERS, ("user_rows",)),
    "users_none": Sample("accounts/users.html", {**USERS, "rows": []}, ("user_rows",)),
    "user": Sample("accounts/user.html", CARD, ("user_card",)),
    "user_gone": Sample(
        "accounts/user.html", {**CARD, "who": GONE, "made": None, "guests": []}, ("user_card",)
    ),
    "tokens": Sample("accounts/tokens.html", TOKENS, ("token_new", "token_rows")),
    "tokens_none": Sample(
        "accounts/tokens.html",
        {**TOKENS, "rows": [], "made": None, "errors": {"scopes": "Choose."}},
        ("token_new", "token_rows"),
    ),
    "api": Sample(
        "accounts/api.html",
        {
            "operations": [
                Thing(method="GET", path="/api/v1/jobs", summary="x", scope="jobs:read")
            ],
            "base": "https://h.example",
        },
    ),
    "data": Sample(
        "accounts/data.html",
        {"archive": Thing(made_at=NOW, size_bytes=1200, running=True)},
        ("my_export", "my_close"),
    ),
    "audit": Sample("accounts/audit.html", AUDIT, ("audit_rows",)),
    "audit_none": Sample(
        "accounts/audit.html",
        {**AUDIT, "lines": [], "checked": False, "first_bad": None},
        ("audit_rows",),
    ),
    "system": Sample(
        "accounts/system.html",
        {
            **dict.fromkeys(("holdfast", "python", "sqlite", "system"), "1.0"),
            "found": [
                Thing(name="clock", state="ok", text="no row is from the future", hint=""),
                Thing(name="backups", state="warn", text="no backups yet", hint="copy it"),
                Thing(name="schema", state="bad", text="one index is gone", hint="migrate"),
            ],
        },
        ("system_now",),
    ),
    "vault": Sample("accounts/vault.html", {"standing": STANDING}, ("vault_now",)),
    "invites_many": Sample("accounts/invites_many.html", MANY, ("many_form",)),
    "invites_made": Sample(
        "accounts/invites_many.html",
        {**MANY, "made": [Thing(link="https://x", label="", email="a@b.c", expires_at=NOW)]},
        ("many_form",),
    ),
}
