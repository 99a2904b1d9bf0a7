"""Devices: a password that is kept goes where it was meant to go, and nowhere else."""

import pytest
from msgspec.structs import asdict

from app.core import settings
from app.core.errors import Invalid
from app.tickets.service import devices
from app.tickets.service.devices import DeviceForm
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio


async def test_a_stored_proxy_password_goes_to_no_other_proxy(desk: Desk) -> None:
    await settings.put("tickets.allow_user_proxy", True, None, actor_kind="system")
    user_id = await desk.student()
    form = DeviceForm(
        name="Mine",
        user_agent="Mozilla/5.0",
        proxy_url="http://proxy.example:3128",
        proxy_login="jana",
        proxy_password="geheim",
    )
    key = await devices.save_device(user_id, form)
    kept = {**asdict(form), "proxy_password": ""}
    await devices.save_device(user_id, DeviceForm(**{**kept, "name": "Ours"}), key)
    moved = DeviceForm(**{**kept, "proxy_url": "http://collector.example:3128"})
    with pytest.raises(Invalid) as refused:
        await devices.save_device(user_id, moved, key)
    assert set(refused.value.fields) == {"proxy_password"}
    assert (await devices.get_device(user_id, key)).proxy_url == form.proxy_url


async def test_the_check_of_a_form_answers_without_scripts_too(desk: Desk) -> None:
    async with await desk.house.browser(await desk.student()) as browser:
        answer = await browser.post("/tickets/devices/check", data={"name": "", "locale": "x!"})
    assert answer.status_code == 200
    assert 'id="locale-error"' in answer.text
