"""Copies: the mirror folder, and a WebDAV server on loopback."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.core import settings
from app.core.errors import Invalid, Upstream
from app.core.secret import SecretStr
from app.tickets.client import webdav
from app.tickets.service import copies
from db.engine import DB
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio


@dataclass
class Cloud:
    """A WebDAV server that knows one login; folders must be made before files."""

    url: str = ""
    port: int = 0
    folders: set[str] = field(default_factory=lambda: {"/dav"})
    files: dict[str, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    status: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.calls.append(f"{scope['method']} {scope['path']}")
        status = self._answer(scope, body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _answer(self, scope: Any, body: bytes) -> int:
        sent = dict(scope["headers"]).get(b"authorization", b"")
        if sent != b"Basic " + base64.b64encode("jana:geheim: ä".encode()):
            return 401
        if self.status:
            return self.status
        folder, _, name = scope["path"].rpartition("/")
        if scope["method"] == "PROPFIND":
            return 207 if folder in self.folders else 404
        if scope["method"] == "MKCOL":
            self.folders.add(folder if not name else scope["path"])
            return 201
        if folder not in self.folders:
            return 409
        self.files[scope["path"]] = body
        return 201


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    cloud = Cloud()
    server = uvicorn.Server(
        uvicorn.Config(cloud, port=0, log_config=None, lifespan="off", ws="none")
    )
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    cloud.port = server.servers[0].sockets[0].getsockname()[1]
    cloud.url = f"http://127.0.0.1:{cloud.port}/dav/tickets"
    yield cloud
    await server.shutdown()


async def permit(cloud: Cloud) -> None:
    allowed = (f"tickets.webdav 127.0.0.1:{cloud.port}",)
    await settings.put("outbound.allow", allowed, None, actor_kind="system")


@pytest.mark.feature("T-56")
async def test_each_new_ticket_is_put_into_ones_own_cloud(desk: Desk, cloud: Cloud) -> None:
    await permit(cloud)
    user_id = await desk.student()
    await copies.save_push(user_id, cloud.url, "jana", "geheim: ä")
    await desk.run(user_id)
    assert cloud.calls == ["PUT /dav/tickets/ticket.html", "MKCOL /dav/tickets/", cloud.calls[0]]
    assert b"Test Person 1" in cloud.files["/dav/tickets/ticket.html"]
    assert b"<script" not in cloud.files["/dav/tickets/ticket.html"]
    sealed = await DB.value("SELECT login_password_encrypted FROM credentials")
    assert "geheim" not in str(sealed)


async def test_a_refused_cloud_login_is_not_tried_again_and_a_full_cloud_is(
    desk: Desk, cloud: Cloud
) -> None:
    await permit(cloud)
    user_id = await desk.student()
    await copies.save_push(user_id, cloud.url, "jana", "wrong")
    await desk.run(user_id)
    job = await desk.job("tickets.push_copy")
    assert (job["state"], job["errorCode"]) == ("failed", "http_401")
    cloud.status = 507
    await copies.save_push(user_id, cloud.url, "jana", "geheim: ä")
    await desk.run(user_id)
    assert (await desk.job("tickets.push_copy"))["state"] == "queued"


@pytest.mark.feature("X-36")
async def test_the_stored_cloud_is_tried_with_one_call_and_no_secret_comes_back(
    desk: Desk, cloud: Cloud
) -> None:
    user_id = await desk.student()

    async def toast() -> str:
        async with await desk.house.browser(user_id) as client:
            answer = await client.post("/tickets/settings/push/try", follow_redirects=True)
        assert "geheim" not in answer.text
        return unescape(answer.text)

    assert "Nothing is stored yet" in await toast()
    await copies.save_push(user_id, cloud.url, "jana", "geheim: ä")
    assert "This address is not allowed from here." in await toast()
    assert cloud.calls == []
    await permit(cloud)
    page = await toast()
    assert "answer 404 after" in page
    assert "the folder is made with the first copy" in page
    cloud.folders.add("/dav/tickets")
    assert "It works: answer 207 after" in await toast()
    assert set(cloud.calls) == {"PROPFIND /dav/tickets/"}, "nothing is written"
    cloud.status = 507
    cloud.folders.clear()
    assert "It does not work (507 after" in await toast()
    cloud.status = 0
    await copies.save_push(user_id, cloud.url, "jana", "geheim, wrong")
    page = await toast()
    assert "It does not work (401 after" in page
    assert "It refused the login." in page


async def test_a_private_cloud_needs_an_admins_word(desk: Desk, cloud: Cloud) -> None:
    user_id = await desk.student()
    await copies.save_push(user_id, cloud.url, "jana", "geheim: ä")
    await desk.run(user_id)
    assert (await desk.job("tickets.push_copy"))["errorCode"] == "forbidden_host"
    assert cloud.calls == []


@pytest.mark.parametrize(
    "url",
    ["http://cloud.example/dav", "https://a:b@cloud.example/", "ftp://x", "https://x/?a=1", ""],
)
async def test_only_https_folders_are_taken(desk: Desk, url: str) -> None:
    user_id = await desk.student()
    with pytest.raises(Invalid):
        await copies.save_push(user_id, url, "jana", "x")


@pytest.mark.feature("T-57")
async def test_the_newest_ticket_lies_in_the_mirror_folder(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "mirror"
    root.mkdir()
    await settings.put("tickets.mirror_root", str(root), None, actor_kind="system")
    admin, user_id = await desk.admin(), await desk.student()
    for folder in ("/etc", "../up", "a/../b", "a b", "a/b/c/d/e", "a/./b"):
        if folder != "/etc":
            with pytest.raises(Invalid):
                await copies.set_mirror(admin, user_id, folder)
    await copies.set_mirror(admin, user_id, "sync/jana")
    await desk.run(user_id)
    assert b"Test Person 1" in (root / "sync" / "jana" / "ticket.html").read_bytes()
    assert [path.name for path in (root / "sync" / "jana").iterdir()] == ["ticket.html"]


async def test_a_link_in_the_mirror_leads_nowhere(desk: Desk, tmp_path: Path) -> None:
    root, outside = tmp_path / "mirror", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "jana").symlink_to(outside)
    await settings.put("tickets.mirror_root", str(root), None, actor_kind="system")
    user_id = await desk.student()
    await copies.set_mirror(await desk.admin(), user_id, "jana")
    await desk.run(user_id)
    assert list(outside.iterdir()) == []


async def test_a_stored_password_goes_to_no_other_server(desk: Desk, cloud: Cloud) -> None:
    user_id = await desk.student()
    await copies.save_push(user_id, cloud.url, "jana", "geheim: ä")
    await copies.save_push(user_id, f"{cloud.url}/deeper", "jana", "")
    for url in ("https://collector.example/dav", f"http://127.0.0.1:{cloud.port + 1}/dav"):
        with pytest.raises(Invalid) as refused:
            await copies.save_push(user_id, url, "jana", "")
        assert "push_password" in refused.value.fields
    assert (await copies.get_push(user_id)).url == f"{cloud.url}/deeper"


@pytest.mark.parametrize("url", ["https://[", "https://cloud.example:99999/", "https://[::1/"])
async def test_half_an_address_is_refused_in_words(desk: Desk, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        await copies.save_push(await desk.student(), url, "jana", "x")
    assert "push_url" in refused.value.fields


async def test_people_reach_the_ports_of_the_web_only() -> None:
    with pytest.raises(Upstream) as refused:
        await webdav.put("https://192.0.2.1:25/dav", ("jana", SecretStr("x")), b"")
    assert (refused.value.code, refused.value.retry) == ("forbidden_host", False)
    assert "port 25" in str(refused.value)
