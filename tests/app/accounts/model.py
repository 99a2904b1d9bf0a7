"""What should be true of accounts, in plain Python, and the comparison after each step."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from app.accounts.service import sessions, tokens
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core.errors import AppError
from db import clock
from db.engine import DB

T = TypeVar("T")

HOUR = timedelta(hours=1)
DAY = 24 * HOUR


@dataclass
class Person:
    login: str
    password: str
    role: str
    setup: bool = False
    active: bool = True
    deleted: bool = False


@dataclass
class Session:
    id: str
    user: str
    token: str
    created: datetime
    seen: datetime
    rotated: datetime
    ends: datetime
    remember: bool
    over: bool = False
    before: str = ""
    before_until: datetime | None = None

    @property
    def known(self) -> set[str]:
        """Its tokens, the last one and the one before."""
        return {self.token, self.before} - {""}

    def moved(self, now: datetime) -> None:
        """Somebody was here: the idle time begins anew, the absolute end stays."""
        idle, whole = (14 * DAY, 90 * DAY) if self.remember else (12 * HOUR, 7 * DAY)
        self.seen, self.ends = now, min(self.created + whole, now + idle)


@dataclass
class Link:
    """An invite, a reset link or an API token."""

    secret: str
    user: str  # who made it, for whom it is, whose it is
    ends: datetime
    role: str = ""
    used_by: str = ""
    over: bool = False


@dataclass
class House:
    people: dict[str, Person] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)  # tokens of sessions that were good once
    invites: list[Link] = field(default_factory=list)
    resets: list[Link] = field(default_factory=list)
    tokens: list[Link] = field(default_factory=list)


class Compared(RuleBasedStateMachine):
    """The model, and what must hold; the rules are `test_model.py`'s."""

    runner: ClassVar[asyncio.Runner]
    hasher: ClassVar[Hasher]
    seen: ClassVar[set[str]] = set()  # what happened in some life: the control

    def __init__(self) -> None:
        super().__init__()
        self.fake = clock.FakeClock()
        self.using = clock.use(self.fake)
        self.using.__enter__()
        self.house = House()
        self.callers = 0

    def teardown(self) -> None:
        try:
            for token in self.house.dead:
                assert self.do(sessions.read_session(token)) is None
        finally:
            self.using.__exit__(None, None, None)

    def do(self, asked: Awaitable[T]) -> T:
        async def wait() -> T:
            return await asked

        return self.runner.run(wait())

    def refused(self, asked: Awaitable[object]) -> bool:
        try:
            self.do(asked)
        except AppError:
            return True
        return False

    def caller(self, token: str | None = None) -> Caller:
        """From a new place each time: how often one may guess is shown elsewhere."""
        self.callers += 1
        return Caller(ip=f"198.51.{self.callers // 250}.{self.callers % 250}", token=token)

    def may(self, user: str) -> bool:
        person = self.house.people[user]
        return person.active and not person.deleted

    def good(self, session: Session) -> bool:
        return not session.over and clock.now() < session.ends and self.may(session.user)

    def admins(self, but: str = "") -> list[str]:
        return [
            id_
            for id_, one in self.house.people.items()
            if one.role == "admin" and self.may(id_) and id_ != but
        ]

    def needed(self, user: str) -> bool:
        """The first admin, and the last one who can still come in."""
        one = self.house.people[user]
        last = one.active and not self.admins(but=user)
        return one.role == "admin" and (one.setup or last)

    def ended(self, user: str, but: Session | None = None) -> None:
        for session in self.house.sessions:
            if session.user == user and session is not but and not session.over:
                session.over = True
                self.house.dead |= session.known

    def began(self, user: str, token: str, *, remember: bool = False) -> None:
        now, visit = clock.now(), self.do(sessions.read_session(token))
        assert visit is not None
        assert visit.id == user
        known = {one.token for one in self.house.sessions} | self.house.dead
        assert token not in known, "never one that was there before"
        new = Session(visit.session_id, user, token, now, now, now, now, remember)
        new.moved(now)
        self.house.sessions.append(new)

    def there(self) -> list[str]:
        return [id_ for id_, one in self.house.people.items() if not one.deleted]

    def open_sessions(self) -> list[Session]:
        return [one for one in self.house.sessions if self.good(one)]

    # ---- what must hold ----

    @invariant()
    def a_session_works_exactly_when_the_model_says_so(self) -> None:
        async def look() -> None:
            for session in self.house.sessions:
                found = await sessions.read_by_id(session.id)
                assert (found is not None) == self.good(session), session
                if found:
                    assert found.id == session.user
                    assert found.role == self.house.people[session.user].role
            held = await DB.one(
                "SELECT count(*) FILTER (WHERE expiresAt > ?) AS living,"
                " count(*) FILTER (WHERE u.is_active = 0 OR u.deleted_at IS NOT NULL) AS wrong"
                " FROM sessions s JOIN users u ON u.id = s.userId",
                (clock.text(),),
            )
            assert held == {"living": len(self.open_sessions()), "wrong": 0}, "not even a row"

        self.do(look())

    @invariant()
    def a_token_works_exactly_when_the_model_says_so(self) -> None:
        async def look() -> None:
            for link in self.house.tokens:
                good = not link.over and clock.now() < link.ends and self.may(link.user)
                found = await tokens.read_token(link.secret, "198.51.100.1")
                assert (found is not None) == good, link
                if found:
                    assert found.visit.id == link.user

        self.do(look())

    @invariant()
    def somebody_can_always_let_others_in(self) -> None:
        found = self.do(
            DB.value(
                "SELECT count(*) FROM users"
                " WHERE role = 'admin' AND is_active = 1 AND deleted_at IS NULL"
            )
        )
        assert found == len(self.admins())
        assert found or not self.house.people
