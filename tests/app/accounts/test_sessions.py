"""Sessions: how they begin, are renewed, and end."""

import asyncio
from pathlib import Path

import pytest

from app.accounts.service import sessions, users
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import settings
from app.core.errors import Conflict, NotFound
from db.clock import FakeClock
from db.engine import DB
from tests.app.accounts.people import invited

pytestmark = pytest.mark.anyio

HOUR, DAY = 3600, 86400


async def count() -> int:
    return int(await DB.value("SELECT count(*) FROM sessions"))


async def renewed(token: str) -> str:
    """The token to go on with after a visit."""
    visit = await sessions.read_session(token)
    assert visit is not None
    return visit.new_token or token


@pytest.mark.feature("X-22")
async def test_the_token_is_stored_as_a_hash_only(admin: str, caller: Caller) -> None:
    token = await sessions.start_session(admin, caller)
    assert len(token) == 43
    row = await DB.one("SELECT * FROM sessions")
    assert row is not None
    assert row["tokenHash"] == sessions.hash_token(token)
    assert DB.path is not None
    for file in DB.path.parent.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), file


async def test_a_new_session_never_takes_over_what_the_client_sent(admin: str) -> None:
    before = await sessions.start_session(admin, Caller())
    token = await sessions.start_session(admin, Caller(token=before))
    assert token != before
    assert await sessions.read_session(before) is None
    assert await count() == 1
    chosen = "A" * 43
    assert await sessions.start_session(admin, Caller(token=chosen)) != chosen
    assert await sessions.read_session(chosen) is None


@pytest.mark.feature("X-22")
async def test_a_token_is_renewed_after_a_day_and_the_old_one_dies_after_a_minute(
    admin: str, caller: Caller, clock: FakeClock
) -> None:
    old = await sessions.start_session(admin, caller, remember=True)
    clock.advance(DAY - 1)
    assert await renewed(old) == old
    clock.advance(1)
    new = await renewed(old)
    assert new != old
    assert await renewed(old) == old, "within the grace the old one still opens, and is not renewed"
    assert await renewed(new) == new
    clock.advance(60)
    assert await sessions.read_session(old) is None
    assert await sessions.read_session(new) is not None
    assert await count() == 1


async def test_of_parallel_requests_one_renews_and_none_is_turned_away(
    admin: str, caller: Caller, clock: FakeClock
) -> None:
    token = await sessions.start_session(admin, caller, remember=True)
    clock.advance(DAY)
    visits = await asyncio.gather(*(sessions.read_session(token) for _ in range(20)))
    assert all(visit is not None for visit in visits)
    assert sum(visit is not None and visit.new_token is not None for visit in visits) == 1


@pytest.mark.parametrize(("remember", "idle_s"), [(False, 12 * HOUR), (True, 14 * DAY)])
async def test_a_session_ends_when_nobody_comes_back(
    admin: str, caller: Caller, clock: FakeClock, remember: bool, idle_s: int
) -> None:
    token = await sessions.start_session(admin, caller, remember=remember)
    clock.advance(idle_s - 1)
    token = await renewed(token)
    clock.advance(idle_s)
    assert await sessions.read_session(token) is None
    assert await count() == 0


@pytest.mark.parametrize(("remember", "days"), [(False, 7), (True, 90)])
async def test_a_session_ends_for_good_however_often_one_comes(
    admin: str, caller: Caller, clock: FakeClock, remember: bool, days: int
) -> None:
    token = await sessions.start_session(admin, caller, remember=remember)
    for _ in range(days * 4 - 1):
        clock.advance(DAY / 4)
        token = await renewed(token)
    clock.advance(DAY / 4)
    assert await sessions.read_session(token) is None


async def test_an_ended_session_stays_ended_when_the_clock_goes_back(
    admin: str, caller: Caller, clock: FakeClock
) -> None:
    token = await sessions.start_session(admin, caller)
    clock.step(13 * HOUR)
    assert await sessions.read_session(token) is None
    clock.step(-13 * HOUR)
    assert await sessions.read_session(token) is None


async def test_the_settings_say_how_long(admin: str, caller: Caller, clock: FakeClock) -> None:
    await settings.put("accounts.idle_hours", 1, admin)
    token = await sessions.start_session(admin, caller)
    clock.advance(HOUR)
    assert await sessions.read_session(token) is None


async def test_a_visit_is_written_down_at_most_every_five_minutes(
    admin: str, caller: Caller, clock: FakeClock
) -> None:
    token = await sessions.start_session(admin, caller)
    seen = set()
    for _ in range(60):
        clock.advance(10)
        await sessions.read_session(token)
        seen.add(await DB.value("SELECT lastSeenAt FROM sessions"))
    assert len(seen) == 3, "the first, and two in ten minutes"


async def test_a_visit_is_one_read_by_index(admin: str, caller: Caller) -> None:
    plan = await DB.all(f"EXPLAIN QUERY PLAN {sessions._READ}", {"hash": "0" * 64, "now": "2026"})
    steps = [row["detail"] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN")], steps


async def test_nobody_has_more_than_twenty(admin: str, caller: Caller, clock: FakeClock) -> None:
    tokens = []
    for _ in range(22):
        tokens.append(await sessions.start_session(admin, caller))
        clock.advance(1)
    assert await count() == 20
    assert await sessions.read_session(tokens[1]) is None
    assert await sessions.read_session(tokens[2]) is not None


@pytest.mark.parametrize("change", ["disabled", "demoted", "closed"])
async def test_a_change_of_the_account_ends_its_sessions_at_once(
    admin: str, hasher: Hasher, change: str
) -> None:
    person = await invited(admin, "bea", hasher, role="admin")
    assert await sessions.read_session(person.token) is not None
    if change == "disabled":
        await users.set_active(admin, person.user_id, False)
    elif change == "demoted":
        await users.set_role(admin, person.user_id, "user")
    else:
        await users.close_account(admin, person.user_id)
    assert await sessions.read_session(person.token) is None
    assert await DB.value("SELECT count(*) FROM sessions WHERE userId = ?", (person.user_id,)) == 0


async def test_an_account_disabled_behind_our_back_opens_nothing(
    admin: str, hasher: Hasher
) -> None:
    person = await invited(admin, "bea", hasher)
    await DB.execute("UPDATE users SET is_active = 0 WHERE id = ?", (person.user_id,))
    assert await sessions.read_session(person.token) is None


async def test_the_device_list_is_ones_own(admin: str, hasher: Hasher, caller: Caller) -> None:
    token = await sessions.start_session(admin, caller)
    visit = await sessions.read_session(token)
    assert visit is not None
    other = await sessions.start_session(admin, Caller(ip="192.0.2.200", user_agent="a phone"))
    devices = await sessions.list_devices(admin, visit.session_id)
    assert [device.user_agent for device in devices if device.is_current] == ["a browser"]
    stranger = await invited(admin, "bea", hasher)
    with pytest.raises(NotFound):
        await sessions.end_device(stranger.user_id, visit.session_id)
    await sessions.end_sessions(admin, but=visit.session_id)
    assert await sessions.read_session(other) is None
    assert await sessions.read_session(token) is not None
    await sessions.end_device(admin, visit.session_id)
    assert await sessions.read_session(token) is None
    assert await sessions.read_session(stranger.token) is not None


async def test_domains_are_what_is_switched_on_less_what_one_may_not(
    admin: str, hasher: Hasher
) -> None:
    async def may(token: str) -> tuple[str, ...]:
        visit = await sessions.read_session(token)
        assert visit is not None
        return visit.domains

    person = await invited(admin, "bea", hasher)
    assert await may(person.token) == settings.DOMAINS
    await users.set_domains(admin, person.user_id, ["tickets", "firmware"])
    assert await may(person.token) == ("tickets", "firmware")
    await settings.put("domains.enabled", ("firmware", "projects"), admin)
    assert await may(person.token) == ("firmware",)
    await users.set_domains(admin, person.user_id, None)
    assert await may(person.token) == ("firmware", "projects")


async def test_domains_switched_on_from_outside_hold_against_the_table(
    admin: str, data_dir: Path, hasher: Hasher
) -> None:
    person = await invited(admin, "bea", hasher)
    await settings.put("domains.enabled", ("firmware", "projects"), admin)
    settings.use(settings.load({"data_dir": data_dir}, {"HOLDFAST_DOMAINS_ENABLED": "tickets"}))
    try:
        visit = await sessions.read_session(person.token)
        assert visit is not None
        assert visit.domains == ("tickets",)
        with pytest.raises(Conflict):
            await settings.put("domains.enabled", ("firmware",), admin)
    finally:
        settings.use(None)


async def test_what_is_over_is_swept(admin: str, caller: Caller, clock: FakeClock) -> None:
    await sessions.start_session(admin, caller)
    await sessions.start_session(admin, caller, remember=True)
    clock.advance(13 * HOUR)
    assert await sessions.sweep() == 1
    assert await count() == 1


async def test_a_visit_asks_the_database_one_thing_and_writes_nothing(
    admin: str, caller: Caller, clock: FakeClock
) -> None:
    token = await sessions.start_session(admin, caller)
    assert DB.path is not None
    path = DB.path
    await DB.close()
    await DB.open(path, readers=1)
    asked: list[str] = []

    def note(_cursor: object, statement: str, _bindings: object) -> bool:
        asked.append(statement)
        return True

    await DB.read(lambda connection: connection.set_exec_trace(note))
    await DB.write(lambda connection: connection.set_exec_trace(note))
    asked.clear()
    clock.advance(60)
    assert await sessions.read_session(token) is not None
    assert asked == [sessions._READ]
    given = {"hash": "x", "now": "y"}
    plan = [
        str(row["detail"])
        for row in await DB.all(f"EXPLAIN QUERY PLAN {sessions._READ}", given)
        if str(row["detail"]).startswith(("SEARCH", "SCAN"))
    ]
    assert plan
    assert not [step for step in plan if step.startswith("SCAN")], "every table by an index"
    # The control: a look without an index is told as one.
    slow = await DB.all("EXPLAIN QUERY PLAN SELECT 1 FROM sessions WHERE userAgent = 'x'")
    assert str(slow[0]["detail"]).startswith("SCAN")


async def test_half_a_sign_in_lasts_ten_minutes_however_busy(
    admin: str, caller: Caller, clock: FakeClock
) -> None:
    token = await sessions.start_session(admin, caller, auth_level=0)
    for _ in range(9):
        clock.advance(66)
        visit = await sessions.read_session(token)
        assert visit is not None
        assert visit.auth_level == 0
    clock.advance(6)
    assert await sessions.read_session(token) is None
