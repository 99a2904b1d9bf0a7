"""The one event stream of a page, spoken to by hand: what is sent, to whom, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.core.live import PER_SESSION
from db.engine import DB
from tests.app.house import House, running

pytestmark = pytest.mark.anyio


class Listener:
    """A client of `/live` that reads when asked to."""

    def __init__(self, house: House, token: str, method: str = "GET", last_id: str = "") -> None:
        headers = [(b"host", b"localhost:8040")]
        if token:
            headers.append((b"cookie", f"holdfast={token}".encode()))
        if last_id:
            headers.append((b"last-event-id", last_id.encode()))
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": "/live",
            "raw_path": b"/live",
            "query_string": b"at=/tickets",
            "headers": headers,
            "client": ("192.0.2.7", 5000),
            "server": ("localhost", 8040),
        }
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._left = asyncio.Event()
        self._house = house
        self.status = 0
        self.headers: dict[str, str] = {}

    async def run(self) -> None:
        async def receive() -> dict[str, Any]:
            await self._left.wait()
            return {"type": "http.disconnect"}

        await self._house.app(self._scope, receive, self._sent.put)

    async def head(self) -> None:
        start = await asyncio.wait_for(self._sent.get(), 3)
        self.status = start["status"]
        self.headers = {k.decode(): v.decode() for k, v in start["headers"]}

    async def read(self) -> str:
        piece = await asyncio.wait_for(self._sent.get(), 3)
        return str(piece["body"].decode())

    def leave(self) -> None:
        self._left.set()


@asynccontextmanager
async def listening(
    house: House, token: str, method: str = "GET", last_id: str = ""
) -> AsyncIterator[Listener]:
    listener = Listener(house, token, method, last_id)
    task = asyncio.get_running_loop().create_task(listener.run())
    try:
        await listener.head()
        yield listener
    finally:
        listener.leave()
        await asyncio.wait_for(task, 3)


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with running(database) as house:
        yield house


@pytest.fixture
async def token(house: House) -> str:
    return await house.session(await house.person("anna"))


async def test_it_opens_with_hello_and_carries_names_only(house: House, token: str) -> None:
    async with listening(house, token) as live:
        assert live.status == 200
        assert live.headers["content-type"].startswith("text/event-stream")
        assert live.headers["cache-control"] == "no-store"
        assert "event: hello" in await live.read()
        user_id = await DB.value("SELECT id FROM users WHERE login = 'anna'")
        await DB.execute(
            "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status,"
            " holder_name) VALUES (?, 'v', ?, 'tickets/a/b/raw.html', 'success', 'Secret Name')",
            (user_id, "0" * 64),
        )
        said = await live.read()
        assert "event: tickets\n" in said
        assert "Secret" not in said
        assert "<" not in said


async def test_nobody_signed_in_hears_bye_with_200(house: House) -> None:
    async with listening(house, "") as live:
        assert live.status == 200
        assert "event: bye" in await live.read()


async def test_a_session_that_ends_hears_bye(house: House, token: str) -> None:
    async with listening(house, token) as live:
        await live.read()
        await DB.execute("DELETE FROM sessions")
        said = await live.read()
        while "event: bye" not in said:
            said = await live.read()


async def test_a_disabled_person_hears_bye(house: House, token: str) -> None:
    async with listening(house, token) as live:
        await live.read()
        await DB.execute("UPDATE users SET is_active = 0 WHERE login = 'anna'")
        said = await live.read()
        while "event: bye" not in said:
            said = await live.read()


async def test_a_known_id_is_replayed_and_an_unknown_one_is_resync(
    house: House, token: str
) -> None:
    async with listening(house, token, last_id="no-such-boot-5") as live:
        assert "event: hello" in await live.read()
        assert "event: resync" in await live.read()


async def test_it_ends_when_the_server_stops(house: House, token: str) -> None:
    async with listening(house, token) as live:
        await live.read()
        house.app.litestar.state.hub.close()
        assert "retry: 1000" in await live.read()


async def test_too_many_streams_are_told_to_come_back(house: House, token: str) -> None:
    hub = house.app.litestar.state.hub
    async with listening(house, token) as live:
        viewer = next(iter(hub._streams)).viewer  # the session that has it open
        await live.read()
        for _ in range(PER_SESSION - 1):
            hub.connect(viewer)
        async with listening(house, token) as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"] == "30"


async def test_leaving_forgets_the_stream(house: House, token: str) -> None:
    hub = house.app.litestar.state.hub
    async with listening(house, token) as live:
        await live.read()
        assert hub.watching("/tickets") == 1
    assert hub.count() == 0


async def test_it_is_for_get_alone(house: House, token: str) -> None:
    async with listening(house, token, "HEAD") as live:
        assert live.status == 405
