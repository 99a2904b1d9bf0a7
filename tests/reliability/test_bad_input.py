"""Bad input at every door that changes something: it is refused in words and changes nothing.

The doors are those the program has; a new one is tried without being named here. One real server,
its queue paused so that nothing moves by itself; after each request all rows of all tables are
compared, but for those that every request touches (`TOUCHED`).
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import apsw
import httpx
import pytest
from litestar.routes import HTTPRoute

from app.asgi import create_app
from app.core import settings
from db.keys import uuid7
from tests.reliability.conftest import student
from tests.reliability.evidence import ask
from tests.serving import PASSWORD, Person, Server, portal, serving

NO_SOCKETS = shutil.ignore_patterns("*.sock")  # a queue's socket is no file to copy

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
}

# Doors that take no form: what is sent with them is not read, so there is nothing to refuse.
BARE = {
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
    "/admin/queue/pause",
    "/admin/queue/resume",
    "/admin/queue/jobs/{job_id}/cancel",
    "/admin/queue/jobs/{job_id}/retry",
    "/jobs/{job_id}/cancel",
    "/jobs/{job_id}/retry",
}
# Forms in which nothing at all is a choice: every box unticked, an invite for anybody.
MAY_BE_EMPTY = {
    "/tickets/settings",
    "/tickets/settings/push",
    "/admin/invites",
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
LOOKS_ONLY = {"/tickets/devices/check", "/admin/tickets/settings/patterns", "/firmware/queries"}
# Doors that are not there: no first admin is wanted any more; no part of the page is named; the
# owner has no such thing.
NOT_THERE = {
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


@dataclass(frozen=True)
class Town:
    """A running server, the people at it, and what one of them owns."""

    server: Server
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
        before = fingerprint(self.server.data_dir)
        answer = person.http.request(method, path, **more)
        after = fingerprint(self.server.data_dir)
        changed = [table for table, rows in after.items() if rows != before[table]]
        shown = f"{method} {path[:80]}: {answer.status_code} {answer.text[:300]}"
        assert changed == [], shown
        assert answer.status_code < 500, shown
        assert not re.search(r"Traceback|apsw|sqlite|SELECT |/site-packages/", answer.text), shown
        return answer


def fingerprint(data_dir: Path) -> dict[str, str]:
    """Each table's rows as one hash, without what every request touches."""
    connection = apsw.Connection(str(data_dir / "holdfast.db"), flags=apsw.SQLITE_OPEN_READONLY)
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
        connection.close()


def rows_hash(connection: apsw.Connection, table: str, left_out: tuple[str, ...]) -> str:
    columns = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    kept = ", ".join(f'"{name}"' for (name,) in columns if name not in left_out)
    rows = connection.execute(f'SELECT {kept} FROM "{table}"').fetchall()
    return hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()


@pytest.fixture(scope="module")
def town(inhabited: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    data_dir = Path(shutil.copytree(inhabited, folder / "data", ignore=NO_SOCKETS))
    settle(data_dir)
    names = ("admin", "owner", "other", "expired", "stranger", "guest")
    with portal(folder) as outside, serving(data_dir, {**outside.env, **UNHURRIED}) as server:
        people = {name: Person(server.url) for name in names}
        try:
            people["admin"].sign_in().post("/admin/queue/pause")
            for number, name in ((1, "owner"), (2, "other"), (3, "expired")):
                people[name].sign_in(student(number), PASSWORD)
            link = people["admin"].invite()
            assert people["guest"].get(link).status_code == 303
            people["owner"].order_ticket()
            expire(data_dir, student(3))
            people["expired"].get("/account")  # what is over is put away when it is seen
            yield Town(server, people, ids_in(data_dir, link))
        finally:
            for person in people.values():
                person.http.close()


def settle(data_dir: Path) -> None:
    """Everybody may use firmware too, and no schedule comes due while we look."""
    connection = apsw.Connection(str(data_dir / "holdfast.db"))
    try:
        connection.execute(
            "UPDATE users SET flags = json_set(flags, '$.domains', json('[\"tickets\",\"firmware\"]'))"
            " WHERE role = 'user'"
        )
        connection.execute("UPDATE job_schedules SET enabled = 0")
    finally:
        connection.close()


def expire(data_dir: Path, login: str) -> None:
    """End the person's session as time would."""
    connection = apsw.Connection(str(data_dir / "holdfast.db"))
    try:
        connection.set_busy_timeout(5000)
        connection.execute(
            "UPDATE sessions SET expiresAt = '2020-01-01T00:00:00.000Z'"
            " WHERE userId = (SELECT id FROM users WHERE login = ?)",
            (login,),
        )
    finally:
        connection.close()


def ids_in(data_dir: Path, link: str) -> dict[str, str]:
    job = ask(data_dir, "SELECT id FROM queueJobs WHERE type = 'tickets.download'")[0]["id"]
    short = hashlib.sha256(link.rpartition("/")[2].encode()).hexdigest()[:8]
    other = ask(data_dir, f"SELECT id FROM users WHERE login = '{student(2)}'")[0]["id"]
    return {
        "job_id": job,
        "short": short,
        "person": other,
        "person_id": other,
        "schedule": "accounts.sweep",
        "kind": "tickets.download",
        "key": "nvv",
    }


@pytest.mark.feature("X-40")
@pytest.mark.parametrize("door", DOORS)
def test_a_form_of_another_site_is_refused(town: Town, door: str) -> None:
    person = town.rightful(door)
    body = urlencode(GOOD.get(door, {}))
    for what, headers in OTHER_SITES.items():
        answer = town.refused(
            person, "POST", town.path(door), content=body, headers={**FORM, **headers}
        )
        assert answer.status_code == 403, what
        assert "did not come from Holdfast" in answer.text, what


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_method_is_refused(town: Town, door: str) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = town.refused(town.rightful(door), method, town.path(door))
        assert answer.status_code == 405, method
    # Nothing is changed by looking, whether or not there is a page to look at.
    assert town.refused(town.rightful(door), "GET", town.path(door)).status_code in (
        200,
        404,
        405,
        303,
    )


@pytest.mark.parametrize(
    "door", [d for d, access in DOORS.items() if access not in ("public", "anon_only")]
)
def test_who_is_not_or_no_longer_signed_in_is_sent_to_the_door(town: Town, door: str) -> None:
    body = urlencode(GOOD.get(door, {}))
    for who in ("stranger", "expired"):
        answer = town.refused(who, "POST", town.path(door), content=body, headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        part = {**FORM, "HX-Request": "true"}
        answer = town.refused(who, "POST", town.path(door), content=body, headers=part)
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize("door", [d for d, access in DOORS.items() if access == "admin"])
def test_an_admins_door_is_closed_to_others(town: Town, door: str) -> None:
    body = urlencode(GOOD.get(door, {}))
    answer = town.refused("owner", "POST", town.path(door), content=body, headers=FORM)
    assert answer.status_code == 403
    assert "admin" in answer.text


@pytest.mark.parametrize("door", [d for d in DOORS if "{" in d])
def test_what_is_anothers_or_nobodys_is_not_there(town: Town, door: str) -> None:
    names = re.findall(r"{(\w+)}", door)
    person = town.rightful(door)
    missing = town.path(door, **dict.fromkeys(names, uuid7()))
    answer = town.refused(person, "POST", missing)
    # A form may be read before what it is about is looked for.
    refused = (404,) if door in BARE and "{action}" not in door else (404, 422)
    assert answer.status_code in refused
    if DOORS[door] != "admin":
        others = town.refused("other", "POST", town.path(door))
        nobodys = town.refused("other", "POST", missing)
        assert others.status_code == nobodys.status_code == answer.status_code
        assert plain(others) == plain(nobodys), "another's and nobody's must look the same"
    for bad in BAD_IDS:
        answer = town.refused(person, "POST", town.path(door, **dict.fromkeys(names, bad)))
        assert answer.status_code in (400, *refused), f"{bad[:20]}: {answer.status_code}"


def plain(answer: httpx.Response) -> str:
    """The page without what is new in each: nonces and ids."""
    return re.sub(rf'nonce="[^"]*"|[0-9a-f-]{{36}}|{NOBODYS}', "", answer.text)


@pytest.mark.parametrize("door", [d for d in DOORS if d not in BARE])
def test_a_body_that_is_no_such_form_is_refused(town: Town, door: str) -> None:
    for what, (body, headers) in WHOLE_BODIES.items():
        if door in MAY_BE_EMPTY and what == "empty":
            continue
        answer = town.refused(
            town.rightful(door), "POST", town.path(door), content=body, headers=headers
        )
        closed = (404,) if door in NOT_THERE else (200,) if door in LOOKS_ONLY else ()
        closed += (303,) if door in SENT_BACK else ()
        wanted = (413,) if what == "too large" else (400, 413, 415, 422, 429)
        assert answer.status_code in wanted + closed, f"{what}: {answer.status_code}"
        if answer.status_code != 303:
            words = re.sub(r"<[^>]+>|\s+", "", answer.text)
            assert len(words) > 10, f"{what}: refused without a word"


@pytest.mark.parametrize("door", GOOD)
def test_one_bad_field_spoils_the_form(town: Town, door: str) -> None:
    for name in GOOD[door]:
        if name == "agree":  # a tick is a tick, whatever it says
            continue
        for what, bad in SPOILED.items():
            rest = urlencode({key: text for key, text in GOOD[door].items() if key != name})
            body = f"{rest}&{name}={bad}"
            answer = town.refused(
                town.rightful(door), "POST", town.path(door), content=body, headers=FORM
            )
            wanted = (400, 404) if name == "part" else (400, 413, 422, 429)
            assert answer.status_code in wanted, f"{name}, {what}: {answer.status_code}"


def test_the_comparison_sees_one_changed_cell(town: Town) -> None:
    """The control: a change that is one must be seen, by its table's name."""
    person = town.people["owner"]
    before = fingerprint(town.server.data_dir)
    person.post("/tickets/settings", agree="1", holder_name="Somebody New")
    after = fingerprint(town.server.data_dir)
    assert {table for table in after if after[table] != before[table]} == {"users"}
