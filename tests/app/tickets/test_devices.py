"""Devices: presets, own profiles, what is wrong with a field, and what each driver honours."""

import re

import pytest

from app.tickets.service import devices
from app.tickets.service.devices import DeviceForm
from db.engine import DB
from tests.app.tickets.desk import Desk, said

pytestmark = pytest.mark.anyio


def asking(target: str) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": f"div#{target}"}


@pytest.mark.feature("T-46")
async def test_eight_presets_are_offered_beside_the_honest_one(desk: Desk) -> None:
    user_id = await desk.student()
    async with await desk.house.browser(user_id) as browser:
        page = await browser.get("/tickets/devices")
        assert page.text.count('class="device"') == 9
        await browser.post("/tickets/devices/iphone_13/choose")
    await desk.run(user_id)
    row = await desk.last(user_id)
    assert row["device_profile"] == "iphone_13"


@pytest.mark.feature("T-47")
async def test_an_own_device_is_made_used_and_deleted(desk: Desk) -> None:
    user_id = await desk.student()
    given = {
        "name": "My phone",
        "user_agent": "Mozilla/5.0 (Mine)",
        "is_mobile": "1",
        "locale": "ru-RU",
    }
    async with await desk.house.browser(user_id) as browser:
        made = await browser.post("/tickets/devices/new", data=given)
        assert made.status_code == 303
        key = next(card.key for card in await devices.list_devices(user_id) if card.own)
        await browser.post(f"/tickets/devices/{key}/choose")
        row = await desk.run(user_id)
        assert (row["device_profile"], row["outcome"]) == ("My phone", "new")
        assert "viewport_width" in said(row)["ignored"]
        again = await browser.post("/tickets/devices/new", data=given)
        assert again.status_code == 422
        await browser.post(f"/tickets/devices/{key}/delete")
    assert await DB.value("SELECT device_profile FROM users WHERE id = ?", (user_id,)) is None


BAD: dict[str, dict[str, str]] = {
    "viewport_width": {"viewport_width": "0"},
    "viewport_height": {"viewport_height": "12px"},
    "latitude": {"latitude": "91", "longitude": "1"},
    "longitude": {"latitude": "1"},
    "proxy_url": {"proxy_url": "http://a:b@proxy.example:3128"},
    "timezone": {"timezone": "Mars/Olympus"},
    "locale": {"locale": "deutsch!"},
    "user_agent": {"user_agent": "a\r\nX: y"},
    "name": {"name": "x" * 81},
}


@pytest.mark.parametrize("field", BAD)
async def test_a_wrong_field_is_named_and_the_rest_is_kept(desk: Desk, field: str) -> None:
    user_id = await desk.student()
    given = {"name": "Mine", "user_agent": "Mozilla/5.0", **BAD[field]}
    async with await desk.house.browser(user_id) as browser:
        answer = await browser.post("/tickets/devices/new", data=given)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert await DB.value("SELECT count(*) FROM device_profiles") == 0


async def test_every_wrong_field_is_named_at_once(desk: Desk) -> None:
    user_id = await desk.student()
    wrong = DeviceForm(
        name="", user_agent="", viewport_width="1e9", latitude="x", proxy_url="ftp://x:1"
    )
    assert set(devices.check(wrong)) >= {
        "name",
        "user_agent",
        "viewport_width",
        "latitude",
        "proxy_url",
    }
    assert user_id


# What the table promises; client/test_browser.py and client/test_proxies.py hold it to that.
HONOURED = {
    "Browser name (user agent)": ("yes", "own devices only"),
    "Language": ("yes", "yes"),
    "Size of the window": ("no", "yes"),
    "Phone, touch, pixel ratio": ("no", "yes"),
    "Time zone": ("no", "yes"),
    "Place": ("no", "yes"),
    "Proxy http, https": ("yes", "yes"),
    "Proxy socks5 without a login": ("yes", "yes"),
    "Proxy socks5 with a login": ("yes", "no"),
    "Proxy socks4": ("no", "without a login"),
}


@pytest.mark.feature("T-50")
async def test_the_page_says_which_driver_honours_what(desk: Desk) -> None:
    user_id = await desk.student()
    async with await desk.house.browser(user_id) as browser:
        page = (await browser.get("/tickets/devices")).text
        live = await browser.post(
            "/tickets/devices/check",
            data={
                "name": "x",
                "user_agent": "y",
                "proxy_url": "socks5://p.example:1080",
                "proxy_login": "z",
            },
            headers=asking("device-works"),
        )
        wrong = await browser.post(
            "/tickets/devices/check", data={"locale": "deutsch"}, headers=asking("locale-said")
        )
        right = await browser.post(
            "/tickets/devices/check", data={"locale": "de-DE"}, headers=asking("locale-said")
        )
    assert (wrong.status_code, right.status_code) == (422, 200)
    assert "A language such as de-DE." in wrong.text
    assert "A name has" not in wrong.text, "only of the field that was left"
    assert right.text.strip() == ""
    table = page.split('id="honours"')[1]
    rows = re.findall(r"<th[^>]*>([^<]+)</th><td[^>]*>([^<]+)</td><td[^>]*>([^<]+)</td>", table)
    assert {field: (http, browser) for field, http, browser in rows} == HONOURED
    assert 'data-state="success">plain (http)' in live.text
    assert 'data-state="off">browser' in live.text
