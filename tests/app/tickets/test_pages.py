"""The pages of a person's tickets, whole and as fragments, through the running program."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.tickets.service import library, logins, runs
from db import clock
from db.engine import DB
from tests.app.tickets.desk import Desk, said

pytestmark = pytest.mark.anyio

PATHS = (
    *("", "/show", "/list", "/history", "/settings", "/devices", "/devices/new"),
    *("/{ticket}", "/{ticket}/changes"),
)


def asking(target: str = "") -> dict[str, str]:
    return {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": f"div#{target}"}


async def two_versions(desk: Desk) -> tuple[str, int]:
    user_id = await desk.student()
    await desk.run(user_id)
    desk.portal.scenario("changed", text="Now also in the night bus.")
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    return user_id, ticket.id


@pytest.mark.feature("T-65")
async def test_every_page_is_drawn_whole_and_its_forms_post_plainly(desk: Desk) -> None:
    user_id, ticket_id = await two_versions(desk)
    async with await desk.house.browser(user_id) as browser:
        for path in PATHS:
            page = await browser.get("/tickets" + path.format(ticket=ticket_id))
            assert page.status_code == 200, path
            assert page.text.startswith("<!doctype html>")
            for form in re.findall(r"<form\b[^>]*>", page.text):
                assert 'method="post"' in form or 'method="get"' in form
                assert 'action="/' in form
        kept = {
            "agree": "1",
            "auto_consent": "1",
            "auto_download": "1",
            "holder_name": "Test Person 1",
        }
        answer = await browser.post("/tickets/settings", data=kept)
        assert (answer.status_code, answer.headers["location"]) == (303, "/tickets")
    assert await DB.value("SELECT auto_download_enabled FROM users WHERE id = ?", (user_id,)) == 1


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "ticket-now"),
        ("", "ticket-rows"),
        ("/list", "version-rows"),
        ("/history", "history-rows"),
        ("/settings", "ticket-settings"),
        ("/settings", "ticket-push"),
        ("/devices/new", "device-form"),
    ],
)
async def test_a_fragment_is_its_block_alone(desk: Desk, path: str, target: str) -> None:
    user_id = await desk.student()
    async with await desk.house.browser(user_id) as browser:
        answer = await browser.get("/tickets" + path, headers=asking(target))
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert f'id="{target}"' in answer.text


@pytest.mark.feature("T-34")
async def test_the_current_ticket_stands_in_a_sandboxed_frame(desk: Desk) -> None:
    user_id = await desk.student()
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    other = await desk.student(2)
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get(f"/tickets/{ticket.id}")
        frame = await browser.get(f"/tickets/{ticket.id}/frame")
    assert f'sandbox="" referrerpolicy="no-referrer" src="/tickets/{ticket.id}/frame"' in page.text
    assert frame.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert frame.headers["x-frame-options"] == "SAMEORIGIN"
    assert "Test Person 1" in frame.text
    async with await desk.house.browser(other) as stranger:
        assert (await stranger.get(f"/tickets/{ticket.id}/frame")).status_code == 404


@pytest.mark.feature("T-35")
async def test_the_pass_shows_the_code_and_says_that_it_is_a_copy(desk: Desk) -> None:
    user_id = await desk.student()
    async with await desk.house.browser(user_id) as browser:
        empty = await browser.get("/tickets/show")
        await desk.run(user_id)
        shown = await browser.get("/tickets/show")
    assert "No ticket yet" in empty.text
    assert 'class="pass__code" src="/tickets/' in shown.text
    assert "data-wake" in shown.text
    assert "A copy, fetched today" in shown.text
    assert f'href="{desk.portal.sp_url}"' in shown.text
    assert "Test Person 1" in shown.text


@pytest.mark.feature("T-36")
async def test_the_code_is_a_picture_that_a_reader_reads(desk: Desk) -> None:
    import io

    import zxingcpp
    from PIL import Image

    user_id = await desk.student()
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    async with await desk.house.browser(user_id) as browser:
        picture = await browser.get(f"/tickets/{ticket.id}/code.png")
    assert picture.headers["content-type"] == "image/png"
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.content)))
    assert found[0].bytes.startswith(b"#UT01NVV-")


@pytest.mark.feature("T-37")
async def test_the_file_to_keep_needs_nothing_from_outside(desk: Desk) -> None:
    user_id = await desk.student()
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    async with await desk.house.browser(user_id) as browser:
        file = await browser.get(f"/tickets/{ticket.id}/file")
    month = clock.now().astimezone(library.BERLIN).strftime("%Y-%m")
    assert file.headers["content-disposition"] == (
        f'attachment; filename="semester-ticket-{month}.html"'
    )
    assert "data:image/png;base64," in file.text
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", file.text)
    assert "<script" not in file.text


@pytest.mark.feature("T-42")
async def test_days_left_and_months_are_shown(desk: Desk) -> None:
    user_id = await desk.student()
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    assert ticket.valid_to is not None
    left = (ticket.valid_to - clock.now().astimezone(library.BERLIN).date()).days
    async with await desk.house.browser(user_id) as browser:
        page = (await browser.get("/tickets")).text
    assert f"{left} day" in page
    assert 'class="ring"' in page
    months = page.split('class="months"')[1].split("</ol>")[0]
    assert months.count("<li") == 12
    assert months.count('data-state="success"') == 1
    assert 'data-state="success" aria-current="date"' in months


@pytest.mark.feature("T-43")
async def test_versions_are_sorted_filtered_and_compared(desk: Desk) -> None:
    user_id, ticket_id = await two_versions(desk)
    await DB.execute(
        "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status, valid_from,"
        " valid_to, created_at) VALUES (?, 'old', ?, 'tickets/a/b/raw.html', 'success',"
        " '2025-03-01', '2025-03-31', '2025-03-01T00:00:00.000Z')",
        (user_id, "1" * 64),
    )

    async def rows(query: str) -> list[str]:
        page = await browser.get(f"/tickets/list{query}", headers=asking("version-rows"))
        return re.findall(r'id="ticket-row-(\d+)"', page.text)

    async with await desk.house.browser(user_id) as browser:
        newest = await rows("?order=seen")
        assert newest == list(reversed(await rows("?order=seen_up")))
        assert newest[0] == str(ticket_id)
        assert len(await rows("?kind=valid")) == 2
        assert await rows("?year=2025") == [newest[-1]]
        assert await rows("?kind=over") == [newest[-1]]
        page = await browser.get(f"/tickets/{ticket_id}/changes")
    assert "<ins>Now also in the night bus.</ins>" in page.text
    assert page.text.count("<ins>") == 1
    assert "<del>" not in page.text


@pytest.mark.feature("T-44")
async def test_the_history_has_traces_and_a_filter(desk: Desk) -> None:
    user_id = await desk.student(auto_consent=False)
    desk.portal.scenario("consent", times=1)
    await desk.run(user_id)
    await desk.run(user_id)
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get("/tickets/history")
        refused = await browser.get("/tickets/history?outcome=consent_required")
        good = await browser.get("/tickets/history?status=success")
    assert page.text.count('id="attempt-') == 2
    assert refused.text.count('id="attempt-') == good.text.count('id="attempt-') == 1
    assert "GET 127.0.0.1:" in good.text
    assert "/idp/profile/SAML2/Redirect/SSO" in good.text
    assert "SAMLRequest" not in good.text
    assert "Released or asked for:" in refused.text


@pytest.mark.feature("T-13")
async def test_what_would_be_released_is_listed_before_anybody_agrees(desk: Desk) -> None:
    user_id = await desk.student(auto_consent=False)
    desk.portal.scenario("consent")
    row = await desk.run(user_id)
    assert row["outcome"] == "consent_required"
    names = said(row)["attributes"]
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get("/tickets/settings")
        assert len(names) > 1
        assert all(name in page.text for name in names)
        await browser.post("/tickets/settings", data={"agree": "1", "auto_consent": "1"})
    await DB.execute("UPDATE users SET is_setup_admin = 0")
    assert (await desk.run(user_id))["outcome"] == "new"
    desk.portal.scenario("terms")
    assert (await desk.run(user_id))["outcome"] == "terms_required"
    kinds = [line["kind"] for line in desk.portal.log()]
    assert "consent" in kinds
    assert "terms" not in kinds
    async with await desk.house.browser(user_id) as browser:
        chosen = {"agree": "1", "auto_consent": "1", "accept_terms": "1"}
        await browser.post("/tickets/settings", data=chosen)
    assert (await desk.run(user_id))["outcome"] in {"new", "refreshed", "duplicate"}
    assert "terms" in [line["kind"] for line in desk.portal.log()]


@pytest.mark.feature("T-32")
async def test_a_run_is_shown_step_by_step(desk: Desk) -> None:
    user_id = await desk.student()
    await DB.execute("UPDATE queueSettings SET paused = 1")
    await runs.order_download(user_id)
    async with await desk.house.browser(user_id) as browser:

        async def stages() -> list[tuple[str, str]]:
            page = await browser.get("/tickets", headers=asking("ticket-now"))
            part = page.text.split('class="stages"')[1].split("</ol>")[0]
            return re.findall(r'<li(?: data-state="(\w+)")?[^>]*>(\w+)', part)

        waiting = await stages()
        await DB.execute(
            "UPDATE queueJobs SET state = 'running', progress = 60, lockedBy = 'x',"
            " lockedAt = ?1, lockExpiresAt = ?1 + 60000, attempts = 1"
            " WHERE type = 'tickets.download'",
            (clock.ms(),),
        )
        running = await stages()
    words = ["Queued", "Login", "Consent", "Ticket", "Check", "Saved"]
    assert [word for _look, word in running] == words
    assert [look for look, _word in waiting] == ["running", "", "", "", "", ""]
    assert [look for look, _word in running] == ["success", "success", "success", "running", "", ""]


async def test_a_block_offers_one_more_try_and_its_limit_is_said(desk: Desk) -> None:
    user_id = await desk.student(password="not it")
    await desk.run(user_id)
    async with await desk.house.browser(user_id) as browser:
        assert "Try again" in (await browser.get("/tickets/settings")).text
        assert "Stopped" not in (await browser.get("/tickets")).text
        await browser.post("/tickets/settings/again")
        await desk.idle()
        second = await browser.post("/tickets/settings/again")
        assert second.headers["location"] == "/tickets/settings"
        assert "Not again before" in (await browser.get("/tickets/settings")).text
    assert desk.posts() == 2


async def test_a_login_is_kept_only_with_agreement_and_goes_at_once(desk: Desk) -> None:
    user_id = await desk.house.person("new")
    keeper = await desk.house.person("jana the keeper", role="admin")
    await DB.execute("UPDATE users SET is_setup_admin = 1 WHERE id = ?", (keeper,))
    given = {"uk_number": "uk000001", "uk_password": "pw-1"}
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get("/tickets/settings")
        assert "jana the keeper may store this login" in page.text
        refused = await browser.post("/tickets/settings", data=given)
        assert refused.status_code == 422
        assert "pw-1" not in refused.text
        await browser.post("/tickets/settings", data={**given, "agree": "1"})
        await desk.idle()
        assert (await desk.last(user_id))["trigger"] == "verify"
        await browser.post("/tickets/settings/forget")
    assert await logins.find_login(user_id) is None


async def test_a_missing_file_is_said_and_the_rest_stays(desk: Desk) -> None:
    user_id = await desk.student()
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    for file in (desk.house.app.settings.data_dir / "tickets").rglob("*.*"):
        file.unlink()
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get(f"/tickets/{ticket.id}")
        assert "is gone from the disk" in page.text
        assert (await browser.get("/tickets")).status_code == 200
        assert (await browser.get(f"/tickets/{ticket.id}/frame")).status_code == 404
        deleted: httpx.Response = await browser.post(f"/tickets/{ticket.id}/delete")
    assert deleted.status_code == 303
    assert await library.current_ticket(user_id) is None


async def test_a_history_of_years_is_read_page_by_page(desk: Desk) -> None:
    user_id = await desk.student()
    for n in range(60):
        at = clock.text(clock.now() - timedelta(hours=n))
        await DB.execute(
            "INSERT INTO ticket_download_history (user_id, status, outcome, downloaded_at)"
            " VALUES (?, 'duplicate', 'duplicate', ?)",
            (user_id, at),
        )
    seen: list[Any] = []
    async with await desk.house.browser(user_id) as browser:
        url = "/tickets/history"
        while url:
            page = (await browser.get(url)).text
            seen += re.findall(r'id="attempt-(\d+)"', page)
            older = re.search(r'href="([^"]+)" rel="next"', page)
            url = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 60
