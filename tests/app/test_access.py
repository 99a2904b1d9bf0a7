"""Every route against every kind of person, generated from what each route declares."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from litestar.routes import HTTPRoute

from app.accounts.service import tokens
from app.asgi import create_app
from app.core import settings
from app.tickets.service import logins
from db import clock
from db.engine import DB
from db.keys import uuid7
from tests.app.house import House, marker, running

pytestmark = pytest.mark.anyio

ACTORS = (
    "anonymous",
    "expired",
    "disabled",
    "half_way",  # the second factor is still to come
    "user",
    "other",
    "without_domain",
    "admin",
    "stale_admin",  # who proved who they are more than 15 minutes ago
    "token",  # of the owner, for tickets and jobs
    "narrow_token",  # of the owner, to read jobs only
    "token_without_domain",  # says more than its owner may
    "dead_token",  # of a disabled person
)
STRANGERS = {"anonymous", "expired", "disabled", "half_way"}
SCOPES = {
    "token": {"tickets:read", "tickets:write", "jobs:read", "jobs:write"},
    "token_other": {"tickets:read", "tickets:write", "jobs:read", "jobs:write"},
    "narrow_token": {"jobs:read"},
    "token_without_domain": {"tickets:read", "tickets:write", "jobs:read", "admin:read"},
    "dead_token": {"tickets:read", "jobs:read"},
}


class Door(NamedTuple):
    """One handler as it declares itself."""

    method: str
    path: str
    access: str
    fresh: bool = False


class Town(NamedTuple):
    """A running program, its people by actor, and what the user owns."""

    house: House
    people: dict[str, str]
    ids: dict[str, str]
    secret: str


def doors() -> Iterator[Door]:
    app = create_app(settings.load({"data_dir": Path("unused")}, {}), {}).litestar
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            for method in sorted({"GET", "POST"} & set(handler.http_methods)):
                opt = handler.opt
                yield Door(method, route.path_format, str(opt["access"]), bool(opt.get("fresh")))


DOORS = sorted(set(doors()))


@pytest.fixture
async def town(database: Path) -> AsyncIterator[Town]:
    async with running(database) as house:
        people = {
            "user": await house.person("owner"),
            "other": await house.person("other"),
            "without_domain": await house.person("narrow", flags='{"domains": ["campaigns"]}'),
            "admin": await house.person("boss", role="admin"),
            "disabled": await house.person("gone"),
            "expired": await house.person("late"),
            "half_way": await house.person("half"),
            "stale_admin": await house.person("stale", role="admin"),
        }
        people |= {
            "token": people["user"],
            "token_other": people["other"],
            "narrow_token": people["user"],
            "token_without_domain": people["without_domain"],
            "dead_token": people["disabled"],
        }
        secret = marker()
        ids = await _belongings(people["user"], secret)
        yield Town(house, people, ids, secret)


async def _belongings(user_id: str, secret: str) -> dict[str, str]:
    """A ticket and a job of the user, both full of words nobody else may read."""
    await DB.execute(
        "INSERT INTO tickets (id, user_id, ticket_version, content_hash, file_path, status,"
        " product, holder_name)"
        " VALUES (4242421, ?, 'v', ?, 'tickets/x/y/raw.html', 'success', ?, ?)",
        (user_id, "0" * 64, secret, secret),
    )
    job = uuid7()
    now = clock.ms()
    await DB.execute(
        "INSERT INTO queueJobs (id, type, state, runAt, ownerUserId, label, lastError, createdAt,"
        " updatedAt, finishedAt) VALUES (?1, 'x.y', 'failed', ?2, ?3, ?4, ?4, ?2, ?2, ?2)",
        (job, now, user_id, secret),
    )
    await logins.save_login(user_id, f"uk{secret}", secret)
    ticket = await DB.value("SELECT id FROM tickets")
    return {"ticket_id": str(ticket), "job_id": job}


async def knock(town: Town, door: Door, actor: str, ids: dict[str, str]) -> httpx.Response:
    """One request of that actor, with a session of its own."""
    token, bearer = "", ""
    if actor in SCOPES:
        bearer = await a_token(town.people[actor], SCOPES[actor])
    elif actor != "anonymous":
        token = await town.house.session(town.people[actor])
    if actor == "expired":
        await DB.execute(
            "UPDATE sessions SET expiresAt = '2001-01-01T00:00:00.000Z' WHERE userId = ?",
            (town.people[actor],),
        )
    if actor == "half_way":
        await DB.execute(
            "UPDATE sessions SET authLevel = 0 WHERE userId = ?", (town.people[actor],)
        )
    if actor == "stale_admin":
        await DB.execute(
            "UPDATE sessions SET reauthAt = ? WHERE userId = ?",
            (clock.text(clock.now() - timedelta(minutes=16)), town.people[actor]),
        )
    if actor in ("disabled", "dead_token"):
        await DB.execute("UPDATE users SET is_active = 0 WHERE id = ?", (town.people[actor],))
    path = door.path
    for name in ("ticket_id", "job_id"):
        path = path.replace(f"{{{name}}}", ids[name])
    path = path.replace("{secret}", "x" * 43).replace("{path}", "css/base.css")
    path = path.replace("{token}", "0" * 8).replace("{invite}", "0" * 8)
    for name in ("firmware_id", "device_id", "row_id"):
        path = path.replace(f"{{{name}}}", "4242423")
    path = path.replace("{action}", "pin").replace("{name}", "AP_x.tar.md5")
    async with town.house.client(token) as client:
        if bearer:
            client.headers["Authorization"] = f"Bearer {bearer}"
        return await client.request(door.method, path)


async def a_token(user_id: str, scopes: set[str]) -> str:
    """A live API token that says it may all of these, whatever its owner may."""
    made = await tokens.create_token(
        user_id, name="a script", scopes=sorted(scopes), possible=sorted(scopes)
    )
    await DB.execute("DELETE FROM api_tokens WHERE user_id = ? AND id <> ?", (user_id, made.id))
    return made.text


def is_sent_to_sign_in(answer: httpx.Response) -> bool:
    return answer.status_code == 303 and answer.headers["location"].startswith("/login")


def may(actor: str, door: Door) -> str:
    """What that actor is to see of such a route.

    `in`, `sign_in`, `home`, `denied`, `unknown`, `confirm` or `locked`.
    """
    kind, _, domain = door.access.partition(":")
    known = actor not in STRANGERS and actor not in SCOPES
    if kind == "token":
        if actor not in SCOPES or actor == "dead_token":
            return "locked"
        says = domain == "any" or domain in SCOPES[actor]
        beyond = actor == "token_without_domain" and domain.partition(":")[0] != "jobs"
        return "in" if says and (domain == "any" or not beyond) else "denied"
    if kind == "public":
        return "in"
    if kind == "anon_only":
        return "home" if known else "in"
    if not known:
        return "sign_in"
    if kind == "admin" and "admin" not in actor:
        return "denied"
    if actor == "stale_admin" and (kind == "admin" or door.fresh):
        return "confirm"
    return "unknown" if domain and actor == "without_domain" else "in"


@pytest.mark.feature("X-30")
@pytest.mark.parametrize("actor", ACTORS)
async def test_every_route_lets_in_whom_it_declares(town: Town, actor: str) -> None:
    wrong: list[tuple[object, ...]] = []
    for door in DOORS:
        answer = await knock(town, door, actor, town.ids)
        expected = may(actor, door)
        seen = (
            "sign_in"
            if is_sent_to_sign_in(answer)
            and not door.path.startswith(("/login", "/logout", "/reset"))
            else "confirm"
            if answer.headers.get("location", "").startswith("/account/confirm")
            else "locked"
            if answer.status_code == 401
            else "denied"
            if answer.status_code == 403
            else "home"
            if door.access == "anon_only" and answer.headers.get("location") == "/"
            else "in"
        )
        if door.path == "/logout" and (actor in STRANGERS or actor in SCOPES):
            seen = "sign_in" if is_sent_to_sign_in(answer) else seen
        if expected == "unknown":
            seen = "unknown" if answer.status_code == 404 else seen
        if answer.status_code >= 500 or seen != expected:
            wrong.append((door, actor, expected, seen, answer.status_code))
        if actor not in ("user", "admin", "token", "narrow_token") and town.secret in answer.text:
            wrong.append((door, actor, "a leak"))
    assert not wrong


def plain(text: str, ids: dict[str, str]) -> str:
    """The page without what differs by nature: its address and its nonce."""
    for value in ids.values():
        text = re.sub(rf"(?<![0-9a-zA-Z]){re.escape(value)}(?![0-9a-zA-Z])", "ID", text)
    return re.sub(r'nonce="[^"]+"', "", text)


@pytest.mark.parametrize("actor", ["other", "admin", "token_other"])
async def test_what_is_another_persons_looks_like_what_never_was(town: Town, actor: str) -> None:
    """Status and body of another's id are those of an id that never existed."""
    missing = {"ticket_id": "4242422", "job_id": uuid7()}
    wrong: list[tuple[object, ...]] = []
    for door in DOORS:
        if "{ticket_id}" not in door.path and "{job_id}" not in door.path:
            continue
        if actor == "admin" and door.access == "admin":
            continue  # the queue is theirs to see
        theirs = await knock(town, door, actor, town.ids)
        never = await knock(town, door, actor, missing)
        if may(actor, door) == "in":
            same = plain(theirs.text, town.ids) == plain(never.text, missing)
            if theirs.status_code != 404 or never.status_code != 404 or not same:
                wrong.append((door, theirs.status_code, never.status_code))
        if town.secret in theirs.text:
            wrong.append((door, "a leak"))
    assert not wrong


async def test_the_owner_is_shown_what_is_theirs(town: Town) -> None:
    """The control: the words that must not leak are really on the owner's pages."""
    shown = [
        door
        for door in DOORS
        if door.method == "GET" and town.secret in (await knock(town, door, "user", town.ids)).text
    ]
    assert {door.path for door in shown} >= {"/tickets", "/jobs", "/jobs/{job_id}", "/"}


async def test_pages_know_get_and_post_only(town: Town) -> None:
    paths = sorted({door.path for door in DOORS})
    wrong: list[tuple[object, ...]] = []
    for path in paths:
        for method in ("PUT", "PATCH", "DELETE"):
            answer = await knock(town, Door(method, path, ""), "admin", town.ids)
            if answer.status_code != 405:
                wrong.append((method, path, answer.status_code))
    assert not wrong


@pytest.mark.parametrize("malformed", ["0x1", "-1", "1;--", "9" * 40, "%00", "é", "a" * 500])
async def test_a_malformed_id_is_no_such_thing(town: Town, malformed: str) -> None:
    ids = {"ticket_id": malformed, "job_id": malformed}
    wrong: list[tuple[object, ...]] = []
    for door in DOORS:
        if "_id}" in door.path and may("user", door) == "in":
            answer = await knock(town, door, "user", ids)
            if answer.status_code not in (400, 404, 405):
                wrong.append((door, answer.status_code))
    assert not wrong


async def test_a_route_without_declared_access_is_refused_at_start() -> None:
    from litestar import Litestar, get

    from app.web.auth import require_access_declared

    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return ""

    with pytest.raises(ValueError, match="/forgotten"):
        require_access_declared(Litestar([forgotten], openapi_config=None))


async def test_the_list_of_doors_is_not_empty() -> None:
    assert len(DOORS) > 30
    assert json.dumps([door.path for door in DOORS]).count("/admin/") > 8
