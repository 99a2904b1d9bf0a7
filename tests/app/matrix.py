"""Every door of the program, every kind of caller, and what each is to see of the other."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
from litestar.routes import HTTPRoute

from app.accounts.service import tokens
from app.asgi import create_app
from app.core import settings
from app.ops.service import targets
from app.tickets.service import logins
from db import clock
from db.engine import DB
from db.keys import uuid7
from tests.app.house import House, marker

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
# Who may see words of the owner somewhere: the owner, and an admin on admin pages.
ENTITLED = {"user", "admin", "token", "narrow_token"}
SCOPES = {
    "token": {"tickets:read", "tickets:write", "jobs:read", "jobs:write"},
    "token_other": {"tickets:read", "tickets:write", "jobs:read", "jobs:write"},
    "narrow_token": {"jobs:read"},
    "token_without_domain": {"tickets:read", "tickets:write", "jobs:read", "admin:read"},
    "dead_token": {"tickets:read", "jobs:read"},
}
# Rows of the owner that addresses name, and what stands there for things nobody owns.
OWNED = (
    *("ticket_id", "job_id", "profile_id", "device_id", "row_id", "notice", "token"),
    "passkey",
    "target_id",
)
OTHERS = {
    "secret": "x" * 43,
    "path": "css/base.css",
    "invite": "0" * 8,
    "short": "0" * 8,
    "firmware_id": "4242423",
    "action": "pin",
    "name": "AP_x.tar.md5",
    "person": uuid7(),
    "person_id": uuid7(),
    "batch_id": uuid7(),
    "key": "nobody",
    "schedule": "no.schedule",
    "kind": "no.type",
    "channel_id": uuid7(),
}
MISSING = {
    "ticket_id": "4242422",
    "job_id": uuid7(),
    "profile_id": uuid7(),
    "device_id": "4242422",
    "row_id": "4242422",
    "notice": uuid7(),
    "token": "zzzzzzzz",
    "passkey": uuid7(),
    "target_id": uuid7(),
}
MALFORMED = ("0x1", "-1", "1;--", "9" * 40, "%00", "é", "a" * 500)


class Door(NamedTuple):
    """One handler as it declares itself."""

    method: str
    path: str
    access: str
    fresh: bool = False

    @property
    def names(self) -> set[str]:
        """The owned things its address names."""
        return set(re.findall(r"\{(\w+)\}", self.path)) & set(OWNED)


def doors() -> Iterator[Door]:
    """From the routes themselves: a new one is tried without being named anywhere."""
    app = create_app(settings.load({"data_dir": Path("unused")}, {}), {}).litestar
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            for method in sorted({"GET", "POST"} & set(handler.http_methods)):
                opt = handler.opt
                yield Door(method, route.path_format, str(opt["access"]), bool(opt.get("fresh")))


DOORS = sorted(set(doors()))


@dataclass
class Town:
    """A running program, its people by actor, and what the user owns."""

    house: House
    people: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)
    secret: str = ""
    looks: int = 0
    _keys: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def founded(cls, house: House) -> "Town":
        """With everybody in it; `plant` before each look."""
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
        return cls(house, people)

    async def plant(self) -> None:
        """What the user owns, anew, full of words nobody else may read; nobody is signed in."""
        user, secret, now = self.people["user"], marker(), clock.ms()
        self.secret, self._keys = secret, {}
        self.looks += 1  # from a place of its own, so that no look uses up the pace of the next
        for table in (
            *("tickets", "user_credentials", "device_profiles", "firmware_devices", "imei_log"),
            *("notifications", "api_tokens", "passkeys", "sessions", "queueJobs"),
            "notification_targets",
        ):
            await DB.execute(f"DELETE FROM {table}")
        job, profile, notice, passkey = uuid7(), uuid7(), uuid7(), uuid7()
        await DB.execute(
            "INSERT INTO tickets (id, user_id, ticket_version, content_hash, file_path, status,"
            " product, holder_name)"
            " VALUES (4242421, ?, 'v', ?, 'tickets/x/y/raw.html', 'success', ?, ?)",
            (user, "0" * 64, secret, secret),
        )
        await DB.execute(
            "INSERT INTO queueJobs (id, type, state, runAt, ownerUserId, label, lastError,"
            " createdAt, updatedAt, finishedAt)"
            " VALUES (?1, 'x.y', 'failed', ?2, ?3, ?4, ?4, ?2, ?2, ?2)",
            (job, now, user, secret),
        )
        await DB.execute(
            "INSERT INTO device_profiles (id, user_id, name, user_agent, viewport_width,"
            " viewport_height) VALUES (?, ?, ?, ?, 800, 600)",
            (profile, user, secret, secret),
        )
        await DB.execute(
            "INSERT INTO firmware_devices (id, user_id, nickname, model, csc)"
            " VALUES (4242421, ?, ?, 'SM-X', 'EUX')",
            (user, secret),
        )
        await DB.execute(
            "INSERT INTO imei_log (id, user_id, imei, model, csc, version_code, device_version)"
            " VALUES (4242421, ?, ?, 'SM-X', 'EUX', 'a/b/c/d', ?)",
            (user, "350000000000006", secret),
        )
        await DB.execute(
            "INSERT INTO notifications (id, user_id, kind, title, link) VALUES (?, ?, 'x', ?, '/')",
            (notice, user, secret),
        )
        await DB.execute(
            "INSERT INTO passkeys (id, user_id, credential_id, public_key, name)"
            " VALUES (?, ?, ?, 'x', ?)",
            (passkey, user, uuid7(), secret),
        )
        address = f"mailtos://x:{secret}@127.0.0.1?to={secret}@example.org"
        target = await targets.add(user, address, actor=user)
        made = await tokens.create_token(
            user, name=secret, scopes=["jobs:read"], possible=["jobs:read"]
        )
        await logins.save_login(user, f"uk{secret}", secret)
        self.ids = {
            "ticket_id": "4242421",
            "job_id": job,
            "profile_id": profile,
            "device_id": "4242421",
            "row_id": "4242421",
            "notice": notice,
            "token": made.id,
            "passkey": passkey,
            "target_id": target,
        }

    async def knock(
        self, door: Door, actor: str, ids: Mapping[str, str] | None = None, **headers: str
    ) -> httpx.Response:
        """One request of that actor."""
        key = await self._key(actor)
        path = door.path
        for name, value in {**OTHERS, **self.ids, **(ids or {})}.items():
            path = path.replace(f"{{{name}}}", value)
        async with self.house.client(
            "" if actor in SCOPES else key, ip=f"192.0.2.{self.looks}"
        ) as client:
            if actor in SCOPES:
                client.headers["Authorization"] = f"Bearer {key}"
            answer = await client.request(door.method, path, headers=headers)
        if "holdfast=" in answer.headers.get("set-cookie", ""):
            self._keys.pop(actor, None)  # signed out, renewed or confirmed: the next one is fresh
        return answer

    async def _key(self, actor: str) -> str:
        """The session or token this actor comes with, in the state that makes them who they are."""
        if actor in self._keys or actor == "anonymous":
            return self._keys.get(actor, "")
        person = self.people[actor]
        if actor in SCOPES:
            scopes = sorted(SCOPES[actor])
            made = await tokens.create_token(
                person, name="a script", scopes=scopes, possible=scopes
            )
            key = made.text
        else:
            key = await self.house.session(person)
        change = {
            "expired": "UPDATE sessions SET expiresAt = '2001-01-01T00:00:00.000Z'",
            "half_way": "UPDATE sessions SET authLevel = 0",
        }.get(actor)
        if actor == "stale_admin":
            old = clock.text(clock.now() - timedelta(minutes=16))
            change = f"UPDATE sessions SET reauthAt = '{old}'"
        if change:
            await DB.execute(f"{change} WHERE userId = ?", (person,))
        if actor in ("disabled", "dead_token"):
            await DB.execute("UPDATE users SET is_active = 0 WHERE id = ?", (person,))
        if actor not in ("expired", "disabled"):  # those are cleared away when they are seen
            self._keys[actor] = key
        return key


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


def seen(actor: str, door: Door, answer: httpx.Response, expected: str) -> str:
    """The same words for what came back."""
    where = answer.headers.get("location", "")
    sent_away = answer.status_code == 303 and where.startswith("/login")
    own_way = door.path.startswith(("/login", "/logout", "/reset"))
    if door.path == "/logout" and (actor in STRANGERS or actor in SCOPES):
        own_way = False
    if sent_away and not own_way:
        return "sign_in"
    if where.startswith("/account/confirm"):
        return "confirm"
    if answer.status_code == 401:
        return "locked"
    if answer.status_code == 403:
        return "denied"
    if door.access == "anon_only" and where == "/":
        return "home"
    if expected == "unknown" and answer.status_code == 404:
        return "unknown"
    return "in"


async def survey(
    town: Town,
    actors: Iterable[str],
    some: Iterable[Door] = DOORS,
    ids: Mapping[str, str] | None = None,
    *,
    shapeless: bool = False,
    enough: int = 10_000,
) -> list[tuple[object, ...]]:
    """Every cell that is not as declared, and every word that got out; at most `enough` of them.

    `shapeless`: the ids are none, so that a door may also say that there is no such address.
    """
    wrong: list[tuple[object, ...]] = []
    for actor in actors:
        for door in some:
            answer = await town.knock(door, actor, ids)
            expected = may(actor, door)
            found = seen(actor, door, answer, expected)
            unfound = shapeless and answer.status_code in (400, 404)
            if answer.status_code >= 500 or (found != expected and not unfound):
                wrong.append((door, actor, expected, found, answer.status_code))
            if actor not in ENTITLED and leaks(town, answer):
                wrong.append((door, actor, "a leak"))
            if len(wrong) >= enough:
                return wrong
    return wrong


def leaks(town: Town, answer: httpx.Response) -> bool:
    """Whether a word of the owner stands anywhere in it."""
    return town.secret in answer.text or any(
        town.secret in value for value in answer.headers.values()
    )


async def strangeness(
    town: Town, actor: str, some: Iterable[Door] = DOORS, *, enough: int = 10_000
) -> list[tuple[object, ...]]:
    """Doors where another's thing does not look like what never was."""
    wrong: list[tuple[object, ...]] = []
    for door in some:
        if not door.names or may(actor, door) != "in":
            continue
        if "admin" in actor and (door.access == "admin" or "passkey" in door.names):
            continue  # the queue is theirs to see
        theirs = await town.knock(door, actor)
        never = await town.knock(door, actor, MISSING)
        same = plain(theirs.text, town.ids) == plain(never.text, MISSING)
        # A form may be read before what it is about is looked for.
        if (
            theirs.status_code not in (404, 422)
            or not same
            or theirs.status_code != never.status_code
        ):
            wrong.append((door, theirs.status_code, never.status_code))
        if leaks(town, theirs):
            wrong.append((door, "a leak"))
        if len(wrong) >= enough:
            break
    return wrong


def plain(text: str, ids: Mapping[str, str]) -> str:
    """The page without what differs by nature: its address, its nonce and its moment."""
    for value in ids.values():
        text = re.sub(rf"(?<![0-9a-zA-Z]){re.escape(value)}(?![0-9a-zA-Z])", "ID", text)
    return re.sub(r'nonce="[^"]+"|since=[0-9a-f-]+', "", text)
