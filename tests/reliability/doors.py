"""The doors that change something, what is known of each, and a look at all rows of all tables."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
import httpx
from litestar.routes import HTTPRoute

from app.asgi import create_app
from app.core import settings
from tests.reliability.conftest import student
from tests.serving import PASSWORD, Person, Server

# What changes without anybody having changed anything: where and when somebody was, who was turned
# away, the health probe's row, the worker's sign of life. None: the whole table.
TOUCHED: dict[str, tuple[str, ...] | None] = {
    "sessions": ("lastSeenAt",),
    "audit_log": None,
    "sqlite_sequence": None,  # the audit log's counter
    "auth_throttle": None,
    "vault_meta": None,
    "queue_workers": None,
    "queue_stats": None,  # the worker's samples, paused or not
    "queue_backlog": None,  # the same
}

# Doors that take no form: what is sent with them is not read, so there is nothing to refuse.
BARE = {
    "/account/notifications/{target_id}/remove",
    "/account/notifications/{target_id}/test",
    "/admin/notifications/{channel_id}/remove",
    "/admin/notifications/{channel_id}/test",
    "/login/passkey/options",
    "/login/second/passkey/options",
    "/account/security/app/offer",
    "/account/security/app/remove",
    "/account/security/codes",
    "/account/security/passkeys/options",
    "/account/security/passkeys/{passkey}/remove",
    "/account/tokens/{token}/revoke",
    "/account/data/archive",
    "/account/data/export",
    "/admin/vault/rotate",
    "/admin/system",
    "/admin/system/bundle",
    "/admin/queue/jobs/{job_id}/delete",
    "/admin/queue/jobs/{job_id}/release",
    "/admin/queue/jobs/{job_id}/run",
    "/admin/queue/jobs/{job_id}/seen",
    "/admin/queue/batches/{batch_id}/cancel",
    "/admin/queue/batches/{batch_id}/retry",
    "/admin/queue/rates/{key}/release",
    "/admin/queue/schedules/{schedule}/run",
    "/notifications/{notice}/open",
    "/admin/tickets/check",
    "/admin/tickets/download",
    "/admin/tickets/resume",
    "/admin/tickets/settings/browser",
    "/tickets/settings/push/try",
    "/tickets/devices/{profile_id}/try",
    "/admin/tickets/probe",
    "/admin/tickets/probe/trace",
    "/firmware/{firmware_id}/{action}",
    "/firmware/{firmware_id}/cancel",
    "/firmware/{firmware_id}/pause",
    "/firmware/{firmware_id}/resume",
    "/firmware/{firmware_id}/verify",
    "/firmware/devices/{device_id}/delete",
    "/firmware/queries/{row_id}/delete",
    "/admin/firmware/cleanup",
    "/admin/firmware/test",
    "/logout",
    "/tickets/download",
    "/tickets/{ticket_id}/delete",
    "/tickets/settings/again",
    "/tickets/settings/check",
    "/tickets/settings/forget",
    "/tickets/devices/{profile_id}/choose",
    "/tickets/devices/{profile_id}/delete",
    "/admin/invites/{short}/revoke",
    "/admin/queue/resume",
    "/admin/queue/worker/drain",
    "/admin/queue/worker/work",
    "/admin/queue/jobs/{job_id}/cancel",
    "/admin/queue/jobs/{job_id}/retry",
    "/jobs/{job_id}/cancel",
    "/jobs/{job_id}/retry",
}
# Forms in which nothing at all is a choice: every box unticked, an invite for anybody.
MAY_BE_EMPTY = {
    "/join/check",
    "/firmware/devices/check",
    "/admin/invites/validate",
    "/tickets/settings",
    "/tickets/settings/push",
    "/admin/invites",
    "/admin/queue/pause",
    "/admin/queue/schedules/{schedule}/enable",
    "/admin/queue/types/{kind}/pause",
    "/admin/queue/types/{kind}",
    "/admin/queue/schedules/{schedule}/times",
    "/admin/tickets/pause",
    "/admin/tickets/users/{person_id}",
    "/admin/tickets/users/download",
    "/admin/tickets/settings",
    "/admin/tickets/settings/patterns",
    "/admin/firmware",
    "/notifications/read",
    "/palette/shortcuts",
}
# Doors that only look at what was typed and say in a page what is wrong with it.
LOOKS_ONLY = {
    "/tickets/devices/check",
    "/admin/tickets/settings/patterns",
    "/firmware/queries",
}
# Doors that are not there: no first admin is wanted any more; no part of the page is named; the
# owner has no such thing.
NOT_THERE = {
    "/account/notifications/{target_id}",
    "/admin/notifications/{channel_id}",
    "/setup",
    "/account",
    "/tickets/devices/{profile_id}",
    "/firmware/{firmware_id}/get",
    "/firmware/devices/{device_id}",
}
# Doors that refuse by sending back: who is not half-way in, or has no reset link, starts at the
# sign-in; what is wrong with the hosts is said on the page they came from.
SENT_BACK = {"/login/second", "/login/second/passkey", "/reset", "/admin/tickets/probe/pin"}
# A form each that is good but for the one field that the test then spoils.
GOOD = {
    "/login": {"login": student(4), "password": PASSWORD},
    "/join": {"login": "newcomer", "email": "", "password": PASSWORD},
    "/admin/invites": {
        "hours": "72",
        "role": "user",
        "domains": "tickets",
        "label": "",
        "email": "",
    },
    "/admin/queue/slots": {"slots": "3"},
    "/account": {"part": "look", "locale": "en", "theme": "dark", "time_zone": "Europe/Berlin"},
    "/tickets/settings": {
        "agree": "1",
        "uk_number": "uk000001",
        "uk_password": "pw-1",
        "holder_name": "",
        "device_profile": "",
    },
}
SPOILED = {
    "huge": quote("x" * 100_000),
    "NUL": "a%00b",
    "broken UTF-8": "%ff%fe%c3%28",
    "lone surrogate": "%ed%a0%80",
}
# So many forms in a minute are no person's: without this the pace would refuse them all.
UNHURRIED = {"HOLDFAST_RATE_WRITES": "0"}
NOBODYS = "999999"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WHOLE_BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "empty": (b"", FORM),
    "unknown field": (b"is_admin=1&role=admin", FORM),
    "too large": (b"a=" + b"x" * (1024 * 1024), FORM),
    "JSON": (b'{"login": {"$ne": ""}, "password": []}', {"Content-Type": "application/json"}),
    "broken JSON": (b'{"login": ', {"Content-Type": "application/json"}),
    "not multipart": (b"--x\r\nnothing", {"Content-Type": "multipart/form-data; boundary=y"}),
    "no boundary": (b"--x", {"Content-Type": "multipart/form-data"}),
    "broken UTF-8 in a part": (
        b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n\xff\xfe\r\n--x--\r\n',
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
    "raw bytes": (bytes(range(256)), FORM),
}
BAD_IDS = ("0", "-1", "x" * 4000, "%00", "%ff", "..%2f..%2fetc", "'%20OR%201=1--", "%F0%9F%92%A9")
OTHER_SITES: dict[str, dict[str, str]] = {
    "says cross-site": {"Sec-Fetch-Site": "cross-site"},
    "says same-site": {"Sec-Fetch-Site": "same-site"},
    "another origin": {"Origin": "https://evil.example"},
    "no page at all": {"Origin": "null"},
    "another port": {"Origin": "http://localhost:1"},
}
# Programs with a token knock here, answered in JSON: tests/app/test_api.py.
API = "/api/"


def post_doors() -> dict[str, str]:
    """Path and access of every route that takes POST."""
    app = create_app(settings.load({"data_dir": Path("unused")}, {}), {}).litestar
    return {
        route.path_format: str(handler.opt["access"])
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if "POST" in handler.http_methods and not route.path_format.startswith(API)
    }


DOORS = post_doors()


class Watch:
    """All rows of all tables; looked at again only where somebody committed since."""

    def __init__(self, data_dir: Path) -> None:
        file = str(data_dir / "holdfast.db")
        self._connection = apsw.Connection(file, flags=apsw.SQLITE_OPEN_READONLY)
        self._version: object = None
        self._rows: dict[str, str] = {}

    def look(self) -> dict[str, str]:
        """Each table's rows as one hash, without what every request touches."""
        # Grows with each commit of another connection, whatever it wrote.
        version = self._connection.execute("PRAGMA data_version").fetchall()[0][0]
        if version != self._version:
            self._rows = fingerprint(self._connection)
            self._version = version
        return self._rows

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


@dataclass(frozen=True)
class Town:
    """A running server, the people at it, and what one of them owns."""

    server: Server
    watch: Watch
    people: Mapping[str, Person]
    ids: Mapping[str, str]

    def path(self, door: str, **ids: str) -> str:
        """The door's address with real ids, or with those given."""
        named = dict.fromkeys(re.findall(r"{(\w+)}", door), NOBODYS)
        return door.format_map({**named, **self.ids, **ids})

    def rightful(self, door: str) -> Person:
        """Somebody who may go through."""
        if door == "/join":
            return self.people["guest"]
        if DOORS[door] == "anon_only":
            return self.people["stranger"]
        access = DOORS[door]
        return self.people["admin" if access == "admin" else "owner"]

    def refused(self, who: str | Person, method: str, path: str, **more: Any) -> httpx.Response:
        """Send it; whatever the answer says, nothing has changed and nothing of ours is shown."""
        person = self.people[who] if isinstance(who, str) else who
        before = self.watch.look()
        answer = person.http.request(method, path, **more)
        after = self.watch.look()
        changed = [table for table, rows in after.items() if rows != before[table]]
        shown = f"{method} {path[:80]}: {answer.status_code} {answer.text[:300]}"
        assert changed == [], shown
        assert answer.status_code < 500, shown
        assert not re.search(r"Traceback|apsw|sqlite|SELECT |/site-packages/", answer.text), shown
        return answer


def fingerprint(connection: apsw.Connection) -> dict[str, str]:
    """Each table's rows as one hash, without what every request touches; of one moment."""
    connection.execute("BEGIN").fetchall()
    try:
        rows = connection.execute("SELECT name FROM pragma_table_list WHERE type = 'table'")
        tables = sorted(str(name) for (name,) in rows.fetchall())
        touched = {table: TOUCHED.get(table, ()) for table in tables}
        return {
            table: rows_hash(connection, table, left_out)
            for table, left_out in touched.items()
            if left_out is not None
        }
    finally:
        connection.execute("COMMIT").fetchall()


def rows_hash(connection: apsw.Connection, table: str, left_out: tuple[str, ...]) -> str:
    columns = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    kept = ", ".join(f'"{name}"' for (name,) in columns if name not in left_out)
    rows = connection.execute(f'SELECT {kept} FROM "{table}"').fetchall()
    return hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()
