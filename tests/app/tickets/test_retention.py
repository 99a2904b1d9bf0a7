"""What goes at once, what goes later, and what stays."""

import os
import time
from datetime import timedelta

import pytest

from app.accounts.service import users
from app.tickets.payloads import Prune
from app.tickets.service import copies, logins, retention, runs
from db import clock
from db.engine import DB
from jobs.enqueue import enqueue
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio


@pytest.mark.feature("T-06")
async def test_a_closed_account_leaves_no_portal_login_behind(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    await copies.save_push(user_id, "https://cloud.example/dav", "jana", "secret of the cloud")
    stored = await DB.one("SELECT * FROM user_credentials")
    assert stored is not None
    assert "pw-1" not in str(stored)
    login = await logins.find_login(user_id)
    assert login is not None
    assert login.uk_number == "••••0001"
    await DB.execute("UPDATE queueSettings SET paused = 1")
    await runs.order_download(user_id)
    await users.close_account(admin, user_id, hooks=[retention.on_account_closed])
    assert await DB.value("SELECT count(*) FROM user_credentials") == 0
    assert await DB.value("SELECT count(*) FROM credentials") == 0
    assert (await desk.job())["state"] == "cancelled"


@pytest.mark.feature("T-06")
async def test_a_sealed_password_cannot_be_moved_to_another_row(desk: Desk) -> None:
    one, two = await desk.student(1), await desk.student(2)
    sealed = await DB.value(
        "SELECT uk_password_encrypted FROM user_credentials WHERE user_id = ?", (one,)
    )
    await DB.execute(
        "UPDATE user_credentials SET uk_password_encrypted = ? WHERE user_id = ?", (sealed, two)
    )
    moved = await logins.open_login(two)
    assert moved is not None
    assert moved.credential is None


@pytest.mark.feature("T-58")
async def test_the_broom_takes_what_is_old_enough_and_nothing_else(desk: Desk) -> None:
    admin, gone, stays = await desk.admin(), await desk.student(1), await desk.student(2)
    for user_id in (gone, stays):
        await desk.run(user_id)
    await users.close_account(admin, gone, hooks=[retention.on_account_closed])
    home = desk.house.app.settings.data_dir / "tickets"
    orphan, young = home / stays / ("a" * 16), home / stays / ("b" * 16)
    for folder in (orphan, young):
        folder.mkdir()
    os.utime(orphan, (0, time.time() - 7200))
    old = clock.text(clock.now() - timedelta(days=401))
    await DB.execute(
        "INSERT INTO ticket_download_history (user_id, status, downloaded_at)"
        " VALUES (?, 'success', ?)",
        (stays, old),
    )
    await enqueue(Prune())
    await desk.idle()
    assert (home / gone).is_dir()  # closed only just now
    assert not orphan.exists()
    assert young.exists()
    assert await DB.value("SELECT count(*) FROM ticket_download_history") == 2
    await DB.execute(
        "UPDATE users SET deleted_at = ? WHERE id = ?",
        (clock.text(clock.now() - timedelta(days=31)), gone),
    )
    await enqueue(Prune())
    await desk.idle()
    assert not (home / gone).exists()
    assert [row["user_id"] for row in await DB.all("SELECT user_id FROM tickets")] == [stays]


async def test_what_a_dead_life_left_goes_at_the_start_and_a_run_under_way_keeps_its_own(
    desk: Desk,
) -> None:
    idle, busy = await desk.student(1), await desk.student(2)
    await desk.run(idle)
    await DB.execute("UPDATE queueSettings SET paused = 1")
    await runs.order_download(busy)
    await DB.execute(
        "UPDATE queueJobs SET state = 'running', lockedBy = 'another worker', attempts = 1,"
        " lockedAt = ?1, lockExpiresAt = ?1 + 60000 WHERE ownerUserId = ?2",
        (clock.ms(), busy),
    )
    home = desk.house.app.settings.data_dir / "tickets"
    left = {user: home / user / ("c" * 16) for user in (idle, busy)}
    for folder in left.values():
        folder.mkdir(parents=True)
    kept = await DB.value("SELECT file_path FROM tickets WHERE user_id = ?", (idle,))
    await retention.clear_left_over()
    assert not left[idle].exists()
    assert left[busy].exists()
    assert (home.parent / str(kept)).exists()
