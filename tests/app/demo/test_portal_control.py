"""The control plane of the stand-in portal, over HTTP, and the stand-in as its own process."""

import asyncio
import json
import signal
import sys
from typing import Any

import httpx
import pytest

from app.demo.portal.serve import Portal
from tests.app.demo import steps

pytestmark = pytest.mark.anyio


async def put(control: httpx.AsyncClient, path: str, **body: Any) -> httpx.Response:
    return await control.post(path, json=body)


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong"])
@pytest.mark.parametrize("path", ["/__log", "/__stats", "/__scenario", "/__reset"])
async def test_without_the_token_there_is_no_control(
    client: httpx.AsyncClient, portal: Portal, path: str, token: str
) -> None:
    for url in (portal.sp_url, portal.idp_url):
        answer = await client.post(url + path, headers={"authorization": token}, json={})
        assert answer.status_code == 403


async def test_a_scenario_ends_after_its_visits(
    client: httpx.AsyncClient, control: httpx.AsyncClient, portal: Portal
) -> None:
    assert (await put(control, "/__scenario", name="error_500", times=2)).status_code == 200
    codes = [(await steps.open_portal(client, portal)).status_code for _ in range(3)]
    assert codes == [500, 500, 200]


async def test_a_new_scenario_replaces_the_old(
    client: httpx.AsyncClient, control: httpx.AsyncClient, portal: Portal
) -> None:
    await put(control, "/__scenario", name="error_500")
    await put(control, "/__scenario", name="empty_200")
    assert (await steps.open_portal(client, portal)).text == ""
    await put(control, "/__scenario", name="ok")
    assert steps.has(await steps.open_portal(client, portal), "#password")


async def test_a_scenario_for_one_person_leaves_the_others_alone(
    client: httpx.AsyncClient, control: httpx.AsyncClient, portal: Portal
) -> None:
    await put(control, "/__scenario", name="consent", user="uk000002", times=1)
    await put(control, "/__scenario", name="maintenance_200", user="uk000003")
    assert "Test Person 1" in steps.text(await steps.walk(client, portal))
    client.cookies.clear()
    page = await steps.open_portal(client, portal)
    page = await steps.sign_in(client, page, "pw-2", "uk000002")
    assert steps.has(page, "#attributeRelease")
    client.cookies.clear()
    page = await steps.open_portal(client, portal)
    page = await steps.sign_in(client, page, "pw-2", "uk000002")
    assert steps.has(page, "[name=SAMLResponse]")
    client.cookies.clear()
    # nobody knows who is at the front door, so an outage for one person shows after the login
    assert "Maintenance" in steps.text(await steps.walk(client, portal, "pw-3", "uk000003"))


@pytest.mark.parametrize(
    "order",
    [
        {"name": "no_such_thing"},
        {"name": "ok", "params": {"also": ["no_such_thing"]}},
        {"name": "slow", "params": {"second": 1}},
        {"name": "ok", "user": "root"},
        {"name": "ok", "user": "uk010000"},
        {"name": "ok", "times": 0},
        {"name": "ok", "time": 1},
        {},
    ],
)
async def test_an_order_with_a_mistake_is_refused(
    control: httpx.AsyncClient, order: dict[str, Any]
) -> None:
    assert (await put(control, "/__scenario", **order)).status_code == 422


async def test_the_clock_is_set_and_given_back(control: httpx.AsyncClient, portal: Portal) -> None:
    real = portal.state.now()
    answer = await put(control, "/__clock", now="2030-01-01T00:00:00+01:00")
    assert answer.json()["now"].startswith("2029-12-31T23:00:0")
    assert (await put(control, "/__clock", now="2030-01-01T00:00:00")).status_code == 422
    assert (await put(control, "/__clock", now="tomorrow")).status_code == 422
    assert portal.state.now().year == 2029
    await put(control, "/__clock", now=None)
    assert portal.state.now() >= real


async def test_the_log_tells_right_from_wrong_and_never_the_password(
    client: httpx.AsyncClient, control: httpx.AsyncClient, portal: Portal
) -> None:
    secret = "correct-horse-9417"
    page = await steps.sign_in(client, await steps.open_portal(client, portal), secret)
    page = await steps.sign_in(client, page, secret, secret)  # typed into the wrong field
    page = await steps.sign_in(client, page, "pw-1")
    await steps.hand_over(client, page)
    raw = (await control.get("/__log")).text
    raw += (await control.get("/__stats")).text
    assert secret not in raw
    assert "pw-1" not in raw
    tries = [line for line in portal.log() if line["kind"] == "password"]
    assert [(line["user"], line["right"]) for line in tries] == [
        ("uk000001", False),
        (None, False),
        ("uk000001", True),
    ]
    stats = (await control.get("/__stats")).json()
    assert (stats["logins"], stats["wrong_logins"], stats["password_posts"]) == (1, 2, 3)
    assert stats["password_posts_by_user"] == {"uk000001": 2}


async def test_reset_forgets_everything(
    client: httpx.AsyncClient, control: httpx.AsyncClient, portal: Portal
) -> None:
    await steps.walk(client, portal)
    await put(control, "/__scenario", name="error_500")
    await put(control, "/__clock", now="2030-01-01T00:00:00Z")
    assert (await control.post("/__reset")).status_code == 200
    assert (await control.get("/__log")).json() == []
    assert portal.state.now().year < 2030
    # the old session is gone too
    assert steps.has(await steps.open_portal(client, portal), "#password")


async def test_it_runs_as_its_own_process_until_told_to_stop(client: httpx.AsyncClient) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.demo.portal", "--token", "secret", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert ready["control_token"] == "secret"
    page = await client.get(f"{ready['sp_url']}/")
    assert page.url.netloc.decode() == ready["idp_host"]
    stats = await client.get(
        f"{ready['idp_url']}/__stats", headers={"authorization": "Bearer secret"}
    )
    assert stats.json()["visits"] == 1
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
