"""What admins see and do: numbers, people, the portal's pace, its settings, the probe."""

import re
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest

from app.core import settings
from app.tickets.paper.page import Page
from app.tickets.service import base, library, overview, pace, portal, rounds, runs
from db import clock
from db.engine import DB
from jobs import rates
from tests.app.tickets.desk import FAST, Desk, opened

pytestmark = pytest.mark.anyio

PATHS = ("", "/users", "/history", "/errors", "/settings", "/probe")


async def put(name: str, value: object) -> None:
    await settings.put(f"tickets.{name}", value, None, actor_kind="system")


async def test_every_admin_page_is_drawn_and_people_are_kept_out(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    await desk.run(user_id)
    async with await desk.house.browser(admin) as browser:
        for path in (*PATHS, f"/users/{user_id}"):
            page = await browser.get(f"/admin/tickets{path}")
            assert page.status_code == 200, path
            assert "Test Person 1" not in page.text
            assert "uk000001" not in page.text
    async with await desk.house.browser(user_id) as browser:
        for path in PATHS:
            assert (await browser.get(f"/admin/tickets{path}")).status_code == 403


@pytest.mark.feature("T-59")
async def test_the_dashboard_counts_people_and_days(desk: Desk) -> None:
    admin = await desk.admin()
    await desk.run(await desk.student(1))
    await desk.run(await desk.student(2, password="not it"))
    tiles = await overview.tiles()
    assert (tiles.people, tiles.valid, tiles.failing, tiles.blocked) == (2, 1, 1, 1)
    days = await overview.days()
    assert len(days) == 30
    assert (days[-1].success, days[-1].error) == (1, 1)
    assert days[-1].answer_ms is not None
    async with await desk.house.browser(admin) as browser:
        page = (await browser.get("/admin/tickets")).text
    assert page.count("<rect") >= 2
    assert "<polyline" in page
    assert page.count("Show data") == 2


@pytest.mark.feature("X-36")
async def test_the_stored_base_login_is_tried_and_never_shown(desk: Desk) -> None:
    admin = await desk.admin()
    async with await desk.house.browser(admin) as browser:

        async def tried() -> str:
            answer = await browser.post("/admin/tickets/check", follow_redirects=True)
            await desk.idle()
            return unescape(answer.text + (await browser.get("/admin/tickets")).text)

        assert "Nothing is stored yet. Save it first." in await tried()
        assert desk.posts() == 0
        await put("base_number", "uk009000")
        await put("base_password", "pw-9000-wrong")
        assert "wrong password" in (await tried()).lower()
        await put("base_password", "pw-9000")
        page = await tried()
        assert desk.posts() == 2
        settings_page = (await browser.get("/admin/tickets/settings")).text
    assert (await base.get_state()).last_outcome == "new"
    assert "Last look" in page
    assert "Stored. Empty keeps it." in settings_page
    assert "pw-9000" not in page + settings_page


@pytest.mark.feature("T-60")
async def test_a_look_at_another_persons_ticket_needs_a_setting_and_is_audited(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    async with await desk.house.browser(admin) as browser:
        for path in ("", "/frame"):
            assert (await browser.get(f"/admin/tickets/look/{ticket.id}{path}")).status_code == 404
        assert (await browser.get(f"/tickets/{ticket.id}")).status_code == 404
        await put("admin_can_view", True)
        page = await browser.get(f"/admin/tickets/look/{ticket.id}")
        frame = await browser.get(f"/admin/tickets/look/{ticket.id}/frame")
    assert page.status_code == frame.status_code == 200
    assert frame.headers["content-security-policy"].startswith("sandbox;")
    looks = await DB.all(
        "SELECT actor_id, object_id FROM audit_log WHERE action = 'tickets.looked_at'"
    )
    assert [(row["actor_id"], row["object_id"]) for row in looks] == [(admin, str(ticket.id))] * 2


@pytest.mark.feature("T-11")
async def test_an_admin_chooses_the_driver_of_one_person(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    await put("browser_path", "/nowhere/chromium")
    async with await desk.house.browser(admin) as browser:
        wrong = await browser.post(
            f"/admin/tickets/users/{user_id}", data={"driver": "carrier pigeon"}
        )
        right = await browser.post(
            f"/admin/tickets/users/{user_id}", data={"driver": "browser", "output_dir": "a/b"}
        )
    assert (wrong.status_code, right.status_code) == (422, 303)
    assert (await desk.run(user_id))["outcome"] == "browser_missing"
    assert (await desk.run(await desk.student(2)))["outcome"] == "new"
    audited = await DB.all("SELECT action FROM audit_log WHERE object_id = ?", (user_id,))
    assert {"tickets.driver_set", "tickets.mirror_set"} <= {row["action"] for row in audited}


async def test_people_are_found_sorted_and_served_in_bulk(desk: Desk) -> None:
    admin = await desk.admin()
    people = [await desk.student(n) for n in (1, 2)]
    await desk.student(3, password="not it")
    async with await desk.house.browser(admin) as browser:
        found = (await browser.get("/admin/tickets/users?q=UDENT2")).text
        assert re.findall(r'id="person-([^"]+)"', found) == [people[1]]
        await browser.post("/admin/tickets/users/download", data={"ids": people})
        await desk.idle()
        valid = (await browser.get("/admin/tickets/users?kind=valid")).text
        turned = (await browser.get("/admin/tickets/users?kind=valid&sort=-name")).text
        sheet = (await browser.get("/admin/tickets/users/csv?kind=valid&sort=-name")).text
    assert re.findall(r'id="person-([^"]+)"', valid) == people
    assert re.findall(r'id="person-([^"]+)"', turned) == people[::-1]
    assert [line.partition(",")[0] for line in sheet.splitlines()[1:]] == people[::-1]
    assert (await desk.last(people[0]))["trigger"] == "admin"


@pytest.mark.feature("T-61")
async def test_another_portal_is_set_up_by_hand(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    async with await desk.house.browser(admin) as browser:
        wrong = await browser.post(
            "/admin/tickets/settings",
            data={
                "tickets.portal_url": "ftp://x",
                "tickets.ignore_patterns": "/(/",
                "tickets.markers": "A",
            },
        )
        assert wrong.status_code == 422
        assert await settings.get("tickets.markers") != ("A",)
        await browser.post(
            "/admin/tickets/settings", data={"tickets.markers": "Fahrschein\nBoleto"}
        )
        assert (await desk.run(user_id))["outcome"] in {"portal_changed", "not_a_ticket"}
        await browser.post("/admin/tickets/settings", data={"tickets.markers": "Semesterticket"})
        assert (await desk.run(user_id))["outcome"] == "new"
        page = await browser.get("/admin/tickets/settings")
        assert "pw-9000" not in page.text
    audited = await DB.value("SELECT count(*) FROM audit_log WHERE object_id = 'tickets.markers'")
    assert audited == 2


@pytest.mark.feature("T-26")
async def test_ignore_patterns_are_tried_and_a_runaway_is_switched_off(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    await desk.run(user_id)
    tried = await portal.try_patterns(["Geburtsdatum", "/^Test$/", "/(?:x+x+)+y/"])
    assert [each.lines for each in tried] == [1, 0, 0]
    async with await desk.house.browser(admin) as browser:
        page = await browser.post(
            "/admin/tickets/settings/patterns", data={"tickets.ignore_patterns": "Geburtsdatum"}
        )
    assert f"drops 1 of {tried[0].total} lines" in page.text
    await put("ignore_patterns", ("Datum", "/(a|aa)+$/"))
    desk.portal.scenario("changed", text="a" * 60 + "b")
    await desk.run(user_id)
    assert await settings.get("tickets.ignore_patterns") == ("Datum",)
    assert await desk.notices(admin) == ["tickets.pattern"]


@pytest.mark.feature("T-15")
async def test_the_probe_shows_the_way_and_pins_by_a_click(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    await put("idp_hosts", ())
    desk.portal.scenario("ok_storage")
    async with await desk.house.browser(admin) as browser:
        page = (await browser.post("/admin/tickets/probe")).text
        rows = re.findall(r'class="tight">(\w+)</td>', page)
        assert [kind for kind in rows if kind.isalpha() or "_" in kind][-1] == "login"
        assert "storage" in rows
        assert f'value="{desk.portal.idp_host}" checked' in page
        assert desk.posts() == 0
        assert (await desk.run(user_id))["outcome"] == "forbidden_host"
        await browser.post("/admin/tickets/probe/pin", data={"hosts": [desk.portal.idp_host]})
    assert await settings.get("tickets.idp_hosts") == (desk.portal.idp_host,)
    assert (await desk.run(user_id))["outcome"] == "new"


@pytest.mark.feature("T-16")
async def test_a_trace_holds_shapes_and_no_words(desk: Desk) -> None:
    admin = await desk.admin()
    async with await desk.house.browser(admin) as browser:
        answer = await browser.post("/admin/tickets/probe/trace")
    trace = answer.json()
    assert answer.headers["content-disposition"].endswith('"portal-trace.json"')
    shape = trace["hops"][-1]["shape"]
    assert "input id=username name=j_username" in shape
    login = (await _login_page(desk)).lines
    assert login
    assert not [line for line in login if len(line) > 8 and line in answer.text]
    assert "SAMLRequest=" not in answer.text


async def _login_page(desk: Desk) -> Page:
    import httpx

    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
        answer = await client.get(desk.portal.sp_url)
    return Page(str(answer.url), answer.content)


@pytest.mark.feature("T-20")
async def test_a_redesign_is_laid_beside_what_was_known(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student()
    await desk.run(user_id)
    desk.portal.scenario("markup_change", opaque=True)
    await desk.run(user_id)
    assert await desk.notices(admin) == ["tickets.changed"]
    async with await desk.house.browser(admin) as browser:
        page = (await browser.get("/admin/tickets/errors")).text
    old, new = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert "[login]" in old
    assert "name=j_password type=password" in old
    assert new.strip()
    assert "type=password" not in new


@pytest.mark.feature("T-52")
async def test_a_portal_that_asks_for_time_gets_it_from_everybody(desk: Desk) -> None:
    one, two = await desk.student(1), await desk.student(2)
    desk.portal.scenario("rate_limit", times=1, retry_after=120)
    row = await desk.run(one)
    job = await desk.job()
    assert (row["outcome"], job["state"], job["attempts"]) == ("rate_limited", "queued", 0)
    state = await pace.get_pace()
    assert state.paused_until is not None
    assert 100 < (state.paused_until - clock.now()).total_seconds() <= 120
    visits = desk.portal.stats()["visits"]
    await runs.order_download(two)
    await desk.looked()
    assert desk.portal.stats()["visits"] == visits
    await rates.release("nvv")
    await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE state = 'queued'")
    await desk.idle()
    assert (await desk.last(one))["outcome"] == (await desk.last(two))["outcome"] == "new"


@pytest.mark.feature("T-53")
async def test_an_admin_pauses_resumes_and_runs_now(desk: Desk) -> None:
    admin, user_id = await desk.admin(), await desk.student(auto_download=True)
    async with await desk.house.browser(admin) as browser:
        await browser.post("/admin/tickets/pause", data={"hours": "6"})
        assert "paused" in (await browser.get("/admin/tickets")).text
        await browser.post("/admin/tickets/download")
        await desk.looked()
        assert await DB.value("SELECT count(*) FROM queueJobs WHERE type = 'tickets.download'") == 1
        assert desk.portal.log() == []
        await browser.post("/admin/tickets/resume")
        await desk.idle()
    assert (await desk.last(user_id))["outcome"] == "new"
    audited = await DB.all("SELECT action FROM audit_log WHERE actor_id = ? ORDER BY id", (admin,))
    assert [row["action"] for row in audited][-2:] == ["tickets.paused", "tickets.resumed"]


@pytest.mark.feature("T-51")
async def test_logins_are_spaced(desk: Desk) -> None:
    bucket = await rates.get("nvv")
    assert bucket is not None
    await rates.put("nvv", 5, per_s=1)  # one each 200 ms
    people = [await desk.student(n, auto_download=True) for n in range(1, 5)]
    await rounds.queue(await rounds.opted_in())
    await desk.idle()
    rows = await DB.all("SELECT startedAt FROM queueJobs WHERE type = 'tickets.download'")
    starts = sorted(row["startedAt"] for row in rows)
    assert len(starts) == len(people)
    assert all(
        later - earlier >= 199 for earlier, later in pairwise(starts)
    )  # the claims' own time


@pytest.mark.feature("T-51")
async def test_the_pace_outlives_a_restart(database: Path) -> None:
    async with opened(database) as desk:
        await rates.put("nvv", 1, per_s=3600)
        await desk.run(await desk.student(1))
        two = await desk.student(2)
    async with opened(database) as desk:
        await rates.put("nvv", 1, per_s=3600)
        await runs.order_download(two)
        await desk.looked()
        assert (await desk.job())["state"] == "queued"
        assert desk.portal.log() == []
        await rates.put("nvv", FAST, per_s=60, burst=FAST)
        await desk.idle()
        assert (await desk.last(two))["outcome"] == "new"


async def test_five_outside_faults_in_a_row_pause_the_portal(desk: Desk) -> None:
    desk.portal.scenario("maintenance_200")
    for n in range(1, 6):
        assert (await pace.get_pace()).paused_until is None
        await desk.run(await desk.student(n))
    state = await pace.get_pace()
    assert state.paused_until is not None
    assert 500 < (state.paused_until - clock.now()).total_seconds() <= 600
