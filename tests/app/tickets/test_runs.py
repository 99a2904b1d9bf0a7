"""Runs through the service, the real queue and the stand-in portal over http."""

import pytest

from app.core.errors import Conflict
from app.tickets.service import checks, library, logins, runs
from db import clock
from db.engine import DB
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio

# Scenario -> what the history and the queue call it, and what the login's row then says.
ENDS = {
    "wrong_password": ("wrong_password", "wrong_password"),
    "locked": ("account_locked", "locked"),
    "password_expired": ("password_expired", "password_expired"),
    "login_loop": ("wrong_password", "wrong_password"),
    "markup_change": ("portal_changed", None),
    "consent": ("consent_required", "consent_required"),
    "terms": ("terms_required", "terms_required"),
    "portal_consent": ("consent_required", "consent_required"),
    "mfa": ("mfa_required", "mfa_required"),
    "captcha": ("captcha", "captcha"),
    "js_challenge": ("js_challenge", "captcha"),
    "js_ticket": ("needs_javascript", None),
    "marker_only_in_script": ("not_a_ticket", None),
    "error_json": ("not_html", None),
    "huge": ("too_large", None),
    "gzip_bomb": ("too_large", None),
    "redirect_evil": ("forbidden_host", None),
    "redirect_loop": ("too_many_hops", None),
    "http_downgrade": ("forbidden_host", None),
    "drop_cookie": ("too_many_hops", None),
}
RETRIED = {
    "maintenance_503": "maintenance",
    "maintenance_200": "maintenance",
    "error_500": "portal_5xx",
    "empty_200": "network",
    "acs_500": "portal_5xx",
    "stale_request": "stale_request",
}


@pytest.mark.feature("T-17")
@pytest.mark.parametrize("scenario", ENDS)
async def test_a_run_that_cannot_be_repeated_ends_with_its_own_code(
    desk: Desk, scenario: str
) -> None:
    code, status = ENDS[scenario]
    user_id = await desk.student(auto_consent=False)
    desk.portal.scenario(scenario)
    row = await desk.run(user_id)
    job = await desk.job()
    assert (row["status"], row["outcome"]) == ("error", code)
    assert (job["state"], job["errorCode"], job["attempts"]) == ("failed", code, 1)
    login = await logins.find_login(user_id)
    assert login is not None
    assert login.status == status


@pytest.mark.parametrize("scenario", RETRIED)
async def test_an_outside_fault_is_tried_again_later(desk: Desk, scenario: str) -> None:
    user_id = await desk.student()
    desk.portal.scenario(scenario, times=1 if scenario != "stale_request" else None)
    row = await desk.run(user_id)
    job = await desk.job()
    assert row["outcome"] == RETRIED[scenario]
    assert (job["state"], job["attempts"]) == ("queued", 1)
    assert 40_000 < job["runAt"] - clock.ms() <= 60_000


@pytest.mark.feature("T-18")
@pytest.mark.parametrize("scenario", ["captcha", "js_challenge", "mfa", "password_expired"])
async def test_robot_checks_and_second_factors_are_named_and_left_alone(
    desk: Desk, scenario: str
) -> None:
    user_id = await desk.student()
    await DB.execute("UPDATE users SET flags = json_set(flags, '$.tickets.driver', 'auto')")
    desk.portal.scenario(scenario)
    row = await desk.run(user_id)
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get("/tickets")
    words = {
        "captcha": "robot check",
        "js_challenge": "robot check",
        "mfa": "second factor",
        "password_expired": "password expired",
    }
    assert words[scenario] in page.text
    assert row["driver"] == "auto"
    assert desk.portal.stats()["visits"] == 1


@pytest.mark.feature("T-19")
async def test_the_first_refusal_stops_everything_automatic(desk: Desk) -> None:
    user_id = await desk.student(auto_download=True, password="not it")
    await desk.run(user_id, "auto")
    assert desk.posts() == 1
    with pytest.raises(Conflict):
        await runs.order_download(user_id)
    await DB.execute(
        "INSERT INTO queueJobs (id, type, payloadJson, runAt, createdAt, updatedAt, maxAttempts)"
        " SELECT 'late', type, payloadJson, 0, 0, 0, 5 FROM queueJobs WHERE type ="
        " 'tickets.download'"
    )  # one that was queued before the refusal
    await desk.idle()
    row = await desk.last(user_id)
    assert (row["status"], row["outcome"]) == ("skipped", "credential_blocked")
    assert desk.posts() == 1
    assert await desk.notices(user_id) == ["tickets.refused"]


async def test_automatic_runs_send_a_password_twice_in_six_hours_at_most(desk: Desk) -> None:
    user_id = await desk.student(auto_download=True)
    desk.portal.scenario("acs_500")
    for _ in range(4):
        await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE state = 'queued'")
        await runs.order_download(user_id, "auto")
        await desk.idle()
    assert desk.posts() == 2
    assert (await desk.last(user_id))["outcome"] == "credential_blocked"


@pytest.mark.feature("T-07")
async def test_a_login_is_checked_without_a_download(desk: Desk) -> None:
    user_id = await desk.student()
    await checks.order_check(user_id)
    await desk.idle()
    row = await desk.last(user_id)
    login = await logins.find_login(user_id)
    assert login is not None
    assert (row["status"], row["outcome"], row["trigger"]) == ("success", "ok", "verify")
    assert login.status == "ok"
    assert await library.current_ticket(user_id) is None
    job = await desk.job("tickets.verify_login")
    assert job["priority"] == 90


async def test_saving_a_login_has_it_checked(desk: Desk) -> None:
    user_id = await desk.student(password="not it")
    await checks.order_check(user_id)
    await desk.idle()
    assert (await desk.job("tickets.verify_login"))["errorCode"] == "wrong_password"
    await checks.save_and_check(user_id, "", "pw-1")
    await desk.idle()
    login = await logins.find_login(user_id)
    assert login is not None
    assert (login.status, login.is_blocked, login.revision) == ("ok", False, 2)


async def test_trying_again_is_limited_in_the_hour_and_in_the_day(desk: Desk) -> None:
    user_id = await desk.student(password="not it")
    await desk.run(user_id)
    for tries in (1, 2, 3):
        await checks.try_again(user_id)
        await desk.idle()
        assert desk.posts() == 1 + tries
        with pytest.raises(Conflict):
            await checks.try_again(user_id)
        await _age_tries(minutes=11)
    with pytest.raises(Conflict, match="3 times"):
        await checks.try_again(user_id)
    assert desk.posts() == 4
    login = await logins.find_login(user_id)
    assert login is not None
    assert login.is_blocked


async def test_trying_again_with_the_right_password_opens_the_block(desk: Desk) -> None:
    user_id = await desk.student()
    desk.portal.scenario("wrong_password", times=1)
    await desk.run(user_id)
    await checks.try_again(user_id)
    await desk.idle()
    login = await logins.find_login(user_id)
    assert login is not None
    assert (login.status, login.is_blocked) == ("ok", False)


async def _age_tries(*, minutes: int) -> None:
    """Let the tries look older: the audit log refuses changes, so its guard is taken off."""
    triggers = await DB.all(
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'audit_log' AND type = 'trigger'"
    )
    for row in triggers:
        await DB.execute(f"DROP TRIGGER {row['name']}")
    await DB.execute(
        "UPDATE audit_log SET at = strftime('%Y-%m-%dT%H:%M:%fZ', at, ?) WHERE action = ?",
        (f"-{minutes} minutes", checks.TRIED),
    )
    for row in triggers:
        await DB.execute(row["sql"])


@pytest.mark.feature("T-23")
@pytest.mark.parametrize("way", ["name", "code"])
async def test_another_persons_ticket_is_refused_and_the_admins_hear_of_it(
    desk: Desk, way: str
) -> None:
    admin = await desk.admin()
    user_id = await desk.student(1, holder_name="Test Person 1" if way == "name" else "")
    if way == "code":
        await desk.run(await desk.student(2))
    desk.portal.scenario("foreign_ticket", user="uk000001", other=2)
    row = await desk.run(user_id)
    assert row["outcome"] == "foreign_ticket"
    assert await library.current_ticket(user_id) is None
    assert await desk.notices(admin) == ["tickets.foreign"]
    login = await logins.find_login(user_id)
    assert login is not None
    assert login.status == "ok"


@pytest.mark.feature("T-24")
async def test_the_newest_five_refused_documents_are_kept_apart(desk: Desk) -> None:
    user_id = await desk.student(holder_name="Test Person 1")
    for other in range(2, 9):
        desk.portal.scenario("foreign_ticket", user="uk000001", other=other)
        await desk.run(user_id)
    kept = await DB.all("SELECT status, ticket_version, file_path FROM tickets ORDER BY id")
    assert len(kept) == 5
    assert {row["status"] for row in kept} == {"error"}
    assert all(row["ticket_version"].startswith("rejected:") for row in kept)
    home = desk.house.app.settings.data_dir / "tickets" / user_id
    assert {folder.name for folder in home.iterdir()} == {
        row["file_path"].split("/")[2] for row in kept
    }


@pytest.mark.feature("T-25")
async def test_only_a_real_change_is_a_new_version(desk: Desk) -> None:
    user_id = await desk.student()
    seen = []
    for scenario in ("ok", "volatile", "code_rotates", "changed", "volatile"):
        desk.portal.scenario(scenario, counter=True)
        seen.append((await desk.run(user_id))["outcome"])
    assert seen == ["new", "refreshed", "refreshed", "new", "refreshed"]
    assert len(await library.list_versions(user_id)) == 2
    assert await desk.notices(user_id) == ["tickets.new", "tickets.new"]
