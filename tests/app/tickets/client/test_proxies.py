"""Proxies of own devices, through Debian's tinyproxy."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core import settings
from app.core.errors import Invalid
from app.tickets.service import devices
from app.tickets.service.devices import DeviceForm
from db.engine import DB
from tests.app.tickets.desk import Desk
from tests.system import program

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def proxy(folder: Path, *, login: bool) -> AsyncIterator[str]:
    """A running tinyproxy on a free port, with a login if asked for; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 20", "MaxClients 20", "Allow 127.0.0.1"]
    lines += ["BasicAuth jana geheim"] * login
    config = folder / "tinyproxy.conf"
    config.write_text("\n".join([*lines, f'LogFile "{folder}/proxy.log"', "LogLevel Connect", ""]))
    process = subprocess.Popen([program("tinyproxy"), "-d", "-c", str(config)])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.1).close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(5)


async def device(desk: Desk, url: str, login: str, password: str) -> tuple[str, str]:
    user_id = await desk.student()
    await DB.execute("UPDATE users SET role = 'admin' WHERE id = ?", (user_id,))
    form = DeviceForm(
        name="Proxied",
        user_agent="Mozilla/5.0",
        proxy_url=url,
        proxy_login=login,
        proxy_password=password,
    )
    key = await devices.save_device(user_id, form, admin=True)
    await devices.choose_device(user_id, key)
    return user_id, key


@pytest.mark.feature("T-49")
async def test_a_run_goes_through_the_proxy_with_its_sealed_login(
    desk: Desk, tmp_path: Path
) -> None:
    async with proxy(tmp_path, login=True) as url:
        user_id, key = await device(desk, url, "jana", "geheim")
        row = await desk.run(user_id)
        assert row["outcome"] == "new"
        assert "127.0.0.1" in (tmp_path / "proxy.log").read_text()
        sealed = await DB.value(
            "SELECT proxy_auth_encrypted FROM device_profiles WHERE id = ?", (key,)
        )
        assert "geheim" not in str(sealed)
        form = await devices.get_device(user_id, key)
        assert (form.proxy_login, form.proxy_password) == ("jana", "")


async def test_a_wrong_proxy_login_is_the_proxys_fault_not_the_passwords(
    desk: Desk, tmp_path: Path
) -> None:
    async with proxy(tmp_path, login=True) as url:
        user_id, _key = await device(desk, url, "jana", "wrong")
        row = await desk.run(user_id)
    assert row["outcome"] in {"proxy_error", "network", "portal_changed"}
    assert desk.posts() == 0


async def test_a_person_may_set_a_proxy_only_where_admins_allow_it(desk: Desk) -> None:
    user_id = await desk.student()
    form = DeviceForm(name="P", user_agent="x", proxy_url="http://127.0.0.1:3128")
    with pytest.raises(Invalid):
        await devices.save_device(user_id, form)
    await settings.put("tickets.allow_user_proxy", True, None, actor_kind="system")
    key = await devices.save_device(user_id, form)
    await devices.choose_device(user_id, key)
    row = await desk.run(user_id)  # a private address stays closed to people
    assert row["outcome"] == "forbidden_host"
    assert desk.portal.log() == []
