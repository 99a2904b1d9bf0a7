"""The base check, the fan-out in its transaction, the calendar, and the switch."""

from datetime import datetime, timedelta

import pytest

from app.core import settings
from app.tickets.payloads import CheckBase
from app.tickets.service import base, choices, rounds
from app.tickets.service.choices import Choices
from db import clock, failpoints
from db.engine import DB
from jobs.enqueue import enqueue
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio


async def base_login(number: int = 9000) -> None:
    await settings.put("tickets.base_number", f"uk{number:06}", None, actor_kind="system")
    await settings.put("tickets.base_password", f"pw-{number}", None, actor_kind="system")


async def look(desk: Desk) -> None:
    await base.order_check()
    await desk.idle()


async def count(kind: str) -> int:
    return int(await DB.value("SELECT count(*) FROM queueJobs WHERE type = ?", (kind,)))


@pytest.mark.feature("T-27")
async def test_one_look_at_the_base_ticket_stands_for_everybody(desk: Desk) -> None:
    await base_login()
    people = [await desk.student(n, auto_download=True) for n in (1, 2, 3)]
    for user_id in people:
        await desk.run(user_id)
    await look(desk)
    before = desk.portal.stats()["logins"]
    await look(desk)
    assert desk.portal.stats()["logins"] == before + 1
    assert await count("tickets.fan_out") == 0
    state = await base.get_state()
    assert (state.failure_streak, state.last_outcome) == (0, "duplicate")


@pytest.mark.feature("T-28")
async def test_a_changed_base_ticket_serves_everybody_who_opted_in(desk: Desk) -> None:
    await base_login()
    people = [await desk.student(n, auto_download=True) for n in (1, 2, 3)]
    left_out = await desk.student(4)
    for user_id in people:
        await desk.run(user_id)
    await look(desk)
    old = await base.get_state()
    desk.portal.set_clock(clock.now() + timedelta(days=32))
    failpoints.arm("base_before_commit:1:raise")
    await look(desk)
    torn = await base.get_state()
    assert (torn.base_ticket_hash, await count("tickets.fan_out")) == (old.base_ticket_hash, 0)
    failpoints.arm("")
    await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE state = 'queued'")
    await desk.idle()
    state = await base.get_state()
    assert state.base_ticket_hash != old.base_ticket_hash
    assert await count("tickets.fan_out") == 1
    for user_id in people:
        row = await desk.last(user_id)
        assert (row["outcome"], row["trigger"]) == ("new", "auto")
    assert not await DB.value(
        "SELECT 1 FROM ticket_download_history WHERE user_id = ?", (left_out,)
    )


async def test_the_first_base_ticket_ever_queues_only_those_without_a_ticket(desk: Desk) -> None:
    await base_login()
    user_id = await desk.student(1, auto_download=True)
    await look(desk)
    assert (await desk.last(user_id))["outcome"] == "new"


async def test_three_failures_in_a_row_are_told_to_the_admins_once(desk: Desk) -> None:
    admin = await desk.admin()
    await base_login()
    await look(desk)
    kept = await base.get_state()
    desk.portal.scenario("error_json")
    for _ in range(4):
        await look(desk)
    state = await base.get_state()
    assert state.failure_streak == 4
    assert state.base_ticket_hash == kept.base_ticket_hash
    assert await desk.notices(admin) == ["tickets.base"]


@pytest.mark.feature("T-19")
async def test_a_refused_base_login_is_not_tried_again_by_itself(desk: Desk) -> None:
    admin = await desk.admin()
    await base_login()
    await settings.put("tickets.base_password", "wrong", None, actor_kind="system")
    for _ in range(3):
        await enqueue(CheckBase())
        await desk.idle()
        await DB.execute("UPDATE base_ticket_state SET last_checked_at = NULL")  # due again
    assert desk.posts() == 1
    assert await desk.notices(admin) == ["tickets.base_refused"]
    await base_login()
    await enqueue(CheckBase())
    await desk.idle()
    assert desk.posts() == 2
    assert (await base.get_state()).last_outcome == "new"


@pytest.mark.feature("T-19")
async def test_the_base_password_goes_out_twice_in_six_hours_at_most(desk: Desk) -> None:
    await base_login()
    desk.portal.scenario("acs_500")
    await enqueue(CheckBase())
    for _ in range(4):
        await desk.idle()
        await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE state = 'queued'")
    assert desk.posts() == 2
    desk.portal.scenario("ok")
    await look(desk)  # an admin who asks is heard
    assert (await base.get_state()).last_outcome == "new"


async def test_without_a_base_login_nothing_is_asked_of_the_portal(desk: Desk) -> None:
    await enqueue(CheckBase())
    await desk.idle()
    assert desk.portal.log() == []


@pytest.mark.feature("T-29")
async def test_the_calendar_queues_who_ends_soon_spread_over_hours(desk: Desk) -> None:
    soon, served, stale, blocked = [await desk.student(n, auto_download=True) for n in (1, 2, 3, 4)]
    today = clock.now().astimezone(rounds.BERLIN).date()
    await _own(soon, today + timedelta(days=1))
    await _own(served, today + timedelta(days=20))
    await _own(stale, today + timedelta(days=20), fetched=clock.now() - timedelta(days=26))
    await DB.execute(
        "UPDATE user_credentials SET blocked_at = ? WHERE user_id = ?", (clock.text(), blocked)
    )
    queued = await rounds.queue(await rounds.due(), spread_s=4 * 3600)
    assert queued == 2
    rows = await DB.all("SELECT ownerUserId, runAt FROM queueJobs WHERE state = 'queued'")
    assert {row["ownerUserId"] for row in rows} == {soon, stale}
    for row in rows:
        delay_s = (row["runAt"] - clock.ms()) / 1000
        assert 0 <= delay_s <= 4 * 3600
        assert abs(delay_s - rounds.staggered(row["ownerUserId"], 4 * 3600)) < 60
    assert await rounds.queue(await rounds.due(), spread_s=4 * 3600) == 0


async def _own(user_id: str, valid_to: object, fetched: datetime | None = None) -> None:
    await DB.execute(
        "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status, valid_from,"
        " valid_to, downloaded_at) VALUES (?, 'v', ?, 'tickets/a/b/raw.html', 'success',"
        " '2020-01-01', ?, ?)",
        (user_id, "0" * 64, str(valid_to), clock.text(fetched)),
    )


@pytest.mark.feature("T-31")
async def test_switching_automatic_on_fetches_at_once(desk: Desk) -> None:
    user_id = await desk.student()
    chosen = Choices(auto_download=True, auto_consent=True)
    await choices.save_choices(user_id, chosen)
    await desk.idle()
    row = await desk.last(user_id)
    assert (row["outcome"], row["trigger"]) == ("new", "auto")
    await choices.save_choices(user_id, chosen)
    assert await count("tickets.download") == 1
    await choices.save_choices(user_id, Choices())
    assert await rounds.opted_in() == []
