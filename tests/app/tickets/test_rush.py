"""The first of the month, scaled down; and many people at once."""

import os
from bisect import bisect_left

import pytest

from app.tickets.payloads import ExpiryScan
from app.tickets.service import choices, library, rounds, runs
from app.tickets.service.choices import Choices
from db import clock
from db.engine import DB
from jobs import rates
from jobs.enqueue import enqueue
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio

PEOPLE = int(os.environ.get("HOLDFAST_RUSH", "100"))  # 500 take a minute, so they are asked for
PER_S = 40
WAITS, DOWN, BROKEN = (5, 34, 66), (9, 20, 50, 88), (13, 56, 98)


@pytest.mark.feature("T-01")
async def test_everybody_has_their_own_login_and_ticket(desk: Desk) -> None:
    people = {n: await desk.student(n) for n in (1, 2, 3)}
    for user_id in people.values():
        await desk.run(user_id)
    for number, user_id in people.items():
        ticket = await library.current_ticket(user_id)
        assert ticket is not None
        assert ticket.holder == f"Test Person {number}"
        assert len(await library.list_versions(user_id)) == 1


@pytest.mark.feature("T-51", "T-52")
async def test_a_rush_serves_everybody_and_locks_nobody(desk: Desk) -> None:
    """Slow answers, 429 and 503 in between; the portal's own log says that its limit was kept."""
    await rates.put("nvv", PER_S, per_s=1)
    people = [await desk.student(n, auto_download=True) for n in range(1, PEOPLE + 1)]
    for number in WAITS:
        desk.portal.scenario("rate_limit", user=f"uk{number:06}", times=1, retry_after=1)
    for number in DOWN:
        desk.portal.scenario("maintenance_503", user=f"uk{number:06}", times=1)
    for number in BROKEN:
        desk.portal.scenario("error_500", user=f"uk{number:06}", times=1)
    desk.portal.state.slow_s = 0.005
    await rounds.queue(await rounds.opted_in())
    await desk.idle(120)
    await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE state = 'queued'")  # a minute later
    await desk.idle()

    served = await DB.all("SELECT user_id, count(*) AS n FROM tickets GROUP BY user_id")
    assert {row["user_id"] for row in served} == set(people)
    assert {row["n"] for row in served} == {1}
    assert await DB.value("SELECT count(*) FROM user_credentials WHERE blocked_at IS NOT NULL") == 0
    stats = desk.portal.stats()
    assert stats["wrong_logins"] == 0
    assert max(stats["password_posts_by_user"].values()) <= 2
    assert stats["peak_parallel"] <= 2
    log = desk.portal.log()
    starts = [line["elapsed_s"] for line in log if line["kind"] == "start"]
    assert len(starts) == PEOPLE + len(WAITS) + len(DOWN) + len(BROKEN)
    assert busiest_second(starts) <= PER_S + 2  # two runs at a time may be late together
    refused = [line["elapsed_s"] for line in log if line.get("fault") == "rate_limit"]
    assert len(refused) == len(WAITS)
    for at in refused:  # who was under way already may come; nobody else before the second is over
        assert sum(at < start < at + 0.9 for start in starts) <= 1


def busiest_second(starts: list[float]) -> int:
    """The most starts in any window of one second."""
    return max(bisect_left(starts, at + 1) - number for number, at in enumerate(starts))


def test_a_second_too_busy_is_seen() -> None:
    assert busiest_second([0, 0.5, 0.99, 1.0, 1.4, 1.49, 3]) == 5


@pytest.mark.feature("T-30")
async def test_twenty_presses_are_one_run_and_move_a_waiting_one_to_now(desk: Desk) -> None:
    user_id = await desk.student(auto_download=True)
    await rounds.queue(await rounds.opted_in(), spread_s=100_000)
    waiting = await desk.job()
    assert waiting["runAt"] > clock.ms()
    await DB.execute("UPDATE queueSettings SET paused = 1")
    for _ in range(20):
        await runs.order_download(user_id)
    rows = await DB.all("SELECT id, runAt, priority FROM queueJobs WHERE type = 'tickets.download'")
    assert [row["id"] for row in rows] == [waiting["id"]]
    assert rows[0]["runAt"] <= clock.ms()
    assert rows[0]["priority"] == 80
    await DB.execute("UPDATE queueSettings SET paused = 0")
    await desk.idle()
    assert desk.portal.stats()["visits"] == 1


@pytest.mark.feature("T-54")
async def test_people_hear_of_what_is_new_what_failed_and_what_ends(desk: Desk) -> None:
    user_id = await desk.student(auto_download=True)
    await desk.run(user_id, "auto")
    desk.portal.scenario("consent", times=1)
    await choices.save_choices(user_id, Choices(auto_download=True))
    await desk.run(user_id, "auto")
    soon = library.today().isoformat()
    await DB.execute("UPDATE tickets SET valid_to = ?, valid_from = '2020-01-01'", (soon,))
    for _ in range(2):
        await enqueue(ExpiryScan())
        await desk.idle()
    assert await desk.notices(user_id) == ["tickets.new", "tickets.failed", "tickets.expiring"]
    quiet = await desk.student(2, notify_new=False, auto_download=True)
    await desk.run(quiet, "auto")
    assert await desk.notices(quiet) == []
