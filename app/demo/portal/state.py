"""What the stand-in portal remembers: its clock, visits, locks, log and the scenarios in force."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.demo.portal.people import Person
from app.demo.portal.scenario import Scenario, Scenarios

BERLIN = ZoneInfo("Europe/Berlin")
WRONG_LIMIT = 3
LOCK = timedelta(minutes=15)


@dataclass
class Visit:
    """One walk from the portal's front door to the ticket, with the scenario it walks in."""

    id: str
    scenario: Scenario
    person: Person | None = None
    password_at: float | None = None
    last_at: float = 0.0

    def begin_login(self) -> None:
        """A password arrived; from here to the last answer the login runs."""
        if self.password_at is None:
            self.password_at = self.last_at = time.monotonic()

    def has(self, *names: str) -> bool:
        """True when any of these scenarios is in force for this visit."""
        return not self.scenario.names.isdisjoint(names)

    def param(self, name: str, default: Any = None) -> Any:
        """A parameter of the scenario."""
        return self.scenario.params.get(name, default)


@dataclass
class Lock:
    """Wrong passwords of one account since the last right one."""

    wrong: int = 0
    until: datetime | None = None


@dataclass
class Addresses:
    """Where the three faces of the stand-in listen; `trap_url` is a host nobody may follow to."""

    sp_url: str = ""
    idp_url: str = ""
    trap_url: str = ""


@dataclass
class State:
    """Everything that is not a constant. One instance per running portal."""

    control_token: str = ""
    slow_s: float = 0.0
    addresses: Addresses = field(default_factory=Addresses)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to a fresh portal: no visits, no locks, an empty log, the real time."""
        self.scenarios = Scenarios()
        self.visits: dict[str, Visit] = {}
        self.asked: dict[str, Visit] = {}
        self.log: list[dict[str, Any]] = []
        self.locks: dict[str, Lock] = {}
        self.consented: set[str] = set()
        self.accepted_terms: set[str] = set()
        self.password_posts: dict[str, int] = {}
        self.tickets_shown = 0
        self._shift = 0.0
        self._started = time.monotonic()

    def now(self) -> datetime:
        """The portal's own clock, in UTC; it ticks from wherever it was set."""
        return datetime.fromtimestamp(time.time() + self._shift, UTC)

    def set_clock(self, now: datetime | None) -> None:
        """Move the clock; None brings the real time back."""
        self._shift = 0.0 if now is None else now.timestamp() - time.time()

    def note(self, kind: str, visit: Visit | None = None, **more: Any) -> None:
        """One log line. Callers pass no typed text, so no password can get in."""
        person = visit.person.login if visit and visit.person else None
        line = {
            "kind": kind,
            "user": person,
            "right": None,
            "at": self.now().isoformat(),
            "elapsed_s": round(time.monotonic() - self._started, 3),
            "visit": visit.id if visit else None,
            "scenario": visit.scenario.name if visit else None,
        }
        self.log.append(line | more)

    def begin_visit(self) -> Visit:
        """Someone is at the front door, still nameless: the order for everybody holds."""
        visit = Visit(secrets.token_hex(4), self.scenarios.take(None) or Scenario())
        self.visits[visit.id] = visit
        return visit

    def name_visitor(self, visit: Visit, person: Person | None) -> None:
        """A login was typed: an order for this person now replaces the general one."""
        if visit.person == person:
            return
        visit.person = person
        if person is None:
            return
        own = self.scenarios.take(person.login)
        if own is not None:
            visit.scenario = own

    def lock_of(self, person: Person) -> Lock:
        """The account's lock, opened again when its time is over."""
        lock = self.locks.setdefault(person.login, Lock())
        if lock.until is not None and lock.until <= self.now():
            lock.wrong, lock.until = 0, None
        return lock

    def count_wrong(self, person: Person) -> None:
        """One more wrong password; the third locks the account for a quarter of an hour."""
        lock = self.lock_of(person)
        lock.wrong += 1
        if lock.wrong >= WRONG_LIMIT:
            lock.until = self.now() + LOCK

    def stats(self) -> dict[str, Any]:
        """Counts of logins, and how many ran at once.

        A login lasts from its first password POST to the last answer it got, so a visit that was
        given up at a consent page does not count on for ever.
        """
        passwords = [line for line in self.log if line["kind"] == "password"]
        walks = [visit for visit in self.visits.values() if visit.password_at is not None]
        people = {visit.person.login for visit in walks if visit.person}
        return {
            "visits": len(self.visits),
            "logins": sum(line["right"] is True for line in passwords),
            "wrong_logins": sum(line["right"] is False for line in passwords),
            "password_posts": len(passwords),
            "password_posts_by_user": dict(self.password_posts),
            "peak_parallel": _peak(walks),
            "peak_parallel_by_user": {
                login: _peak([v for v in walks if v.person and v.person.login == login])
                for login in sorted(people)
            },
            "tickets": self.tickets_shown,
            "trapped": sum(line["kind"] == "trap" for line in self.log),
        }


def _peak(visits: list[Visit]) -> int:
    """The largest number of visits whose spans overlap."""
    edges = [(visit.password_at or 0.0, 1) for visit in visits]
    edges += [(visit.last_at, -1) for visit in visits]
    running = peak = 0
    for _, step in sorted(edges, key=lambda edge: (edge[0], -edge[1])):
        running += step
        peak = max(peak, running)
    return peak
