"""Accounts against a model of them in plain Python, under a clock that moves.

A house with a few people; whatever happens in whatever order, exactly those sessions, tokens and
links are good that the model says. 40 lives of 30 steps; `HOLDFAST_MODEL_RUNS` sets how many.
"""

import asyncio
import os
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.accounts.service import (
    closing,
    confirming,
    invites,
    profile,
    redeem,
    resets,
    sessions,
    setup,
    signin,
    tokens,
    users,
)
from app.accounts.service.passwords import Hasher
from app.core import paths, vault
from app.core.errors import AppError, Conflict
from db import clock
from db.engine import DB
from tests.app.accounts.conftest import CountingArgon2
from tests.app.accounts.model import DAY, HOUR, Compared, Link, Person

LOGINS = ["ada", "bea", "cyd", "dov"]
PASSWORDS = ["eleven paper boats at noon", "twelve slow trams in the fog"]
WAITS = [timedelta(seconds=30), timedelta(minutes=6), 7 * HOUR, 13 * HOUR, 25 * HOUR]
WAITS += [4 * DAY, 8 * DAY, 91 * DAY]
TABLES = ("sessions", "invite_tokens", "reset_links", "api_tokens", "auth_throttle", "users")

some = st.integers(0, 1000)  # which of what there is: modulo its number


class Accounts(Compared):
    """Every rule asks the service and the model, and both must say the same."""

    @initialize(first=st.booleans())
    def founded(self, first: bool) -> None:
        """With the first admin of the setup, or with one who came another way."""

        async def fresh() -> str:
            async with DB.tx():
                for table in TABLES:
                    await DB.execute(f"DELETE FROM {table}")
            ada = await setup.create_admin("ada", PASSWORDS[0], hasher=self.hasher)
            if not first:
                await DB.execute("UPDATE users SET is_setup_admin = 0")
            return ada

        self.house.people[self.do(fresh())] = Person("ada", PASSWORDS[0], "admin", setup=first)
        for login, role in (("bea", "user"), ("cyd", "admin")):
            self.invite(role, 72)
            self.redeem_invite(-1, login, PASSWORDS[0])
            self.make_token(-1, 30)
        self.sign_in(1, PASSWORDS[0], remember=True, over=1)

    @rule(role=st.sampled_from(["user", "admin"]), hours=st.sampled_from([1, 72]))
    def invite(self, role: str, hours: int) -> None:
        for admin in self.admins()[:1]:
            made = self.do(invites.create_invite(admin, hours=hours, role=role))
            ends = clock.now() + hours * HOUR
            self.house.invites.append(Link(made.secret, admin, ends, role))

    @precondition(lambda self: self.house.invites)
    @rule(which=some, login=st.sampled_from(LOGINS), password=st.sampled_from(PASSWORDS))
    def redeem_invite(self, which: int, login: str, password: str) -> None:
        link = self.house.invites[which % len(self.house.invites)]
        open_ = not link.used_by and not link.over and clock.now() < link.ends
        open_ = open_ and link.user in self.admins()
        taken = login in {self.house.people[one].login for one in self.there()}
        again = self.house.people.get(link.used_by)
        twice = again and again.login == login and again.password == password
        asked = redeem.redeem(link.secret, login, "", password, self.caller(), hasher=self.hasher)
        if open_ and not taken:
            signed = self.do(asked)
            self.house.people[signed.user_id] = Person(login, password, link.role)
            link.used_by = signed.user_id
            self.began(signed.user_id, signed.token)
            self.seen.add("redeemed")
        elif twice and self.may(link.used_by):
            signed = self.do(asked)
            assert signed.user_id == link.used_by, "the same form twice"
            self.began(signed.user_id, signed.token)
        else:
            assert self.refused(asked)
            self.seen.add("invite refused")

    @precondition(lambda self: self.house.invites)
    @rule(which=some)
    def revoke_invite(self, which: int) -> None:
        link = self.house.invites[which % len(self.house.invites)]
        short = invites.hash_secret(link.secret)[:8]
        asked = invites.revoke_invite(link.user, short)
        assert self.refused(asked) == bool(link.used_by or link.over)
        link.over = True

    @rule(which=some, password=st.sampled_from(PASSWORDS), remember=st.booleans(), over=some)
    def sign_in(self, which: int, password: str, remember: bool, over: int) -> None:
        """Perhaps in a browser that holds a session already: that one ends."""
        people = self.there()
        user = people[which % len(people)]
        one, held = self.house.people[user], self.house.sessions
        before = held[over % len(held)] if held and over % 3 == 0 else None
        caller = self.caller(before.token if before else None)
        asked = signin.sign_in(one.login, password, caller, remember=remember, hasher=self.hasher)
        if not self.may(user) or password != one.password:
            assert self.refused(asked)
            self.seen.add("sign-in refused")
            return
        signed = self.do(asked)
        assert signed.user_id == user
        if before and not before.over:
            before.over = True
            self.house.dead |= before.known
        self.began(user, signed.token, remember=remember)

    @precondition(lambda self: self.house.sessions)
    @rule(which=some)
    def visit(self, which: int) -> None:
        session = self.house.sessions[which % len(self.house.sessions)]
        now, was_good = clock.now(), self.good(session)
        found = self.do(sessions.read_session(session.token))
        assert (found is not None) == was_good
        if found is None:
            session.over = True
            self.house.dead.add(session.token)
            return
        assert (found.new_token is not None) == (now - session.rotated >= DAY)
        if session.before and session.before_until:
            late = self.do(sessions.read_session(session.before))
            assert (late is not None) == (now < session.before_until), "a minute of grace"
        if found.new_token:
            self.house.dead |= {session.before} - {""}
            session.before, session.before_until = session.token, now + timedelta(seconds=60)
            session.token, session.rotated = found.new_token, now
            session.moved(now)
            self.seen.add("rotated")
        elif now - session.seen >= timedelta(minutes=5):
            session.moved(now)

    @precondition(lambda self: any(one.remember for one in self.open_sessions()))
    @rule(which=some, span=st.sampled_from([25 * HOUR, 13 * DAY]), times=st.sampled_from([1, 8]))
    def come_back(self, which: int, span: timedelta, times: int) -> None:
        """Where somebody stays signed in: a new token after a day, and an end whatever they do."""
        stay = [one for one in self.open_sessions() if one.remember]
        session = stay[which % len(stay)]
        for _time in range(times):
            self.fake.advance(span.total_seconds())
            self.visit(self.house.sessions.index(session))

    @precondition(lambda self: self.open_sessions())
    @rule(which=some)
    def sign_out(self, which: int) -> None:
        session = self.open_sessions()[which % len(self.open_sessions())]
        self.do(sessions.end_session(session.id))
        session.over = True
        self.house.dead |= session.known

    @precondition(lambda self: self.open_sessions())
    @rule(which=some, all_=st.booleans())
    def sign_out_everywhere(self, which: int, all_: bool) -> None:
        session = self.open_sessions()[which % len(self.open_sessions())]
        self.do(sessions.end_sessions(session.user, but="" if all_ else session.id))
        self.ended(session.user, None if all_ else session)

    @precondition(lambda self: self.open_sessions())
    @rule(which=some, password=st.sampled_from(PASSWORDS))
    def show_again(self, which: int, password: str) -> None:
        """Re-authentication: a right password gives a new token, the old one dies at once."""
        session = self.open_sessions()[which % len(self.open_sessions())]
        asked = confirming.confirm(
            session.user, session.id, password, self.caller(), hasher=self.hasher
        )
        if password != self.house.people[session.user].password:
            assert self.refused(asked)
            return
        renewed = self.do(asked)
        self.house.dead |= session.known
        session.token, session.before, session.rotated = renewed.token, "", clock.now()

    @precondition(lambda self: self.open_sessions())
    @rule(which=some, current=st.sampled_from(PASSWORDS), new=st.sampled_from(PASSWORDS))
    def change_password(self, which: int, current: str, new: str) -> None:
        session = self.open_sessions()[which % len(self.open_sessions())]
        person = self.house.people[session.user]
        asked = profile.change_password(
            session.user, current, new, self.caller(session.token), hasher=self.hasher
        )
        if current != person.password:
            assert self.refused(asked)
            return
        token, remember = self.do(asked)
        assert remember == session.remember
        person.password = new
        self.ended(session.user)
        self.began(session.user, token, remember=remember)

    @precondition(lambda self: self.house.dead)
    @rule(which=some)
    def come_with_an_old_token(self, which: int) -> None:
        dead = sorted(self.house.dead)
        assert self.do(sessions.read_session(dead[which % len(dead)])) is None

    @rule(which=some, password=st.sampled_from(PASSWORDS), at_once=st.booleans())
    def reset_link(self, which: int, password: str, at_once: bool) -> None:
        people = list(self.house.people)
        user = people[which % len(people)]
        asked = resets.make_link(self.admins()[0], user)
        if not self.may(user):
            assert self.refused(asked)
            return
        made = self.do(asked)
        for link in self.house.resets:
            link.over |= link.user == user
        self.house.resets.append(Link(made.secret, user, clock.now() + resets.LIFE))
        if at_once:
            self.reset_password(-1, password)

    @precondition(lambda self: self.house.resets)
    @rule(which=some, password=st.sampled_from(PASSWORDS))
    def reset_password(self, which: int, password: str) -> None:
        """Whoever knew the old one is out: every session and every token of theirs is over."""
        link = self.house.resets[which % len(self.house.resets)]
        open_ = not link.over and clock.now() < link.ends and self.may(link.user)
        asked = resets.redeem(link.secret, password, self.caller(), hasher=self.hasher)
        if not open_:
            assert self.refused(asked)
            return
        assert self.do(asked) == link.user
        self.house.people[link.user].password = password
        self.ended(link.user)
        for other in (*self.house.resets, *self.house.tokens):
            other.over |= other.user == link.user
        self.seen.add("reset")

    @rule(which=some, active=st.booleans())
    def disable_or_enable(self, which: int, active: bool) -> None:
        people = list(self.house.people)
        user = people[which % len(people)]
        asked = users.set_active(self.admins()[0], user, active)
        if self.house.people[user].deleted or (not active and self.needed(user)):
            assert self.refused(asked)
            return
        self.do(asked)
        self.house.people[user].active = active
        if not active:
            self.ended(user)
            self.seen.add("disabled")

    @rule(which=some, role=st.sampled_from(["user", "admin"]))
    def give_role(self, which: int, role: str) -> None:
        people = list(self.house.people)
        user = people[which % len(people)]
        asked = users.set_role(self.admins()[0], user, role)
        if self.house.people[user].deleted or (role != "admin" and self.needed(user)):
            assert self.refused(asked)
            return
        self.do(asked)
        self.house.people[user].role = role
        self.ended(user)

    @rule(which=some)
    def delete(self, which: int) -> None:
        people = list(self.house.people)
        user = people[which % len(people)]
        asked = closing.close(self.admins()[0], user)
        if self.house.people[user].deleted or self.needed(user):
            assert self.refused(asked)
            return
        self.do(asked)
        self.house.people[user].deleted = True
        name = self.house.people[user].login
        again = signin.sign_in(name, PASSWORDS[0], self.caller(), hasher=self.hasher)
        assert self.refused(again), "the name is free, and opens nothing"
        self.house.people[user].active = False
        self.ended(user)
        for link in (*self.house.tokens, *self.house.resets):
            link.over |= link.user == user
        self.seen.add("deleted")

    @precondition(lambda self: self.open_sessions())
    @rule(which=some, days=st.sampled_from([1, 30]))
    def make_token(self, which: int, days: int) -> None:
        user = self.open_sessions()[which % len(self.open_sessions())].user
        scopes = ["jobs:read"]
        asked = tokens.create_token(user, name="x", scopes=scopes, possible=scopes, days=days)
        try:
            made = self.do(asked)
        except Conflict:
            return  # as many as one may have
        self.house.tokens.append(Link(made.text, user, clock.now() + days * DAY))

    @precondition(lambda self: self.house.tokens)
    @rule(which=some)
    def revoke_token(self, which: int) -> None:
        link = self.house.tokens[which % len(self.house.tokens)]
        with suppress(AppError):
            self.do(tokens.revoke_token(link.user, link.secret.split("_")[1]))
        link.over = True

    @rule(span=st.sampled_from(WAITS))
    def wait(self, span: timedelta) -> None:
        self.fake.advance(span.total_seconds())

    @rule()
    def sweep(self) -> None:
        self.do(sessions.sweep())


@pytest.mark.feature("X-22", "X-31")
def test_accounts_do_what_their_model_does(migrated: Path, tmp_path: Path) -> None:
    shutil.copy(migrated, tmp_path / "holdfast.db")
    runs = int(os.environ.get("HOLDFAST_MODEL_RUNS", "40"))

    async def opened() -> None:
        await DB.open(tmp_path / "holdfast.db")
        await vault.load(tmp_path, {})
        paths.use_data(tmp_path)

    with asyncio.Runner() as runner:
        runner.run(opened())
        Accounts.runner, Accounts.hasher = runner, Hasher(CountingArgon2())
        try:
            run_state_machine_as_test(
                Accounts,
                settings=settings(
                    max_examples=runs,
                    stateful_step_count=30,
                    deadline=None,
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            vault.close()
            runner.run(DB.close())
    happened = {"redeemed", "invite refused", "sign-in refused", "reset", "disabled", "deleted"}
    assert Accounts.seen >= {*happened, "rotated"}, "the control: all of it came up"
