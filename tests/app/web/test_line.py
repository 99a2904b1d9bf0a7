"""One page at a time, and nobody waits for one that waits itself."""

import asyncio
from typing import Any

import pytest

from app.web.line import Line

pytestmark = pytest.mark.anyio


class Kitchen:
    """An application whose requests say what they do by their path, and how many were in it."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.order: list[str] = []
        self.bell = asyncio.Event()

    async def __call__(self, scope: Any, _: Any, send: Any) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(scope["path"])
        try:
            await asyncio.sleep(0)
            match scope["path"].partition("-")[0]:
                case "fails":
                    raise ValueError("no")
                case "waits":
                    await self.bell.wait()
                case "streams":
                    await send({"type": "http.response.start"})
                    await self.bell.wait()
            await send({"type": "http.response.start"})
        finally:
            self.inside -= 1


@pytest.fixture
async def kitchen() -> Kitchen:
    return Kitchen()


async def ask(line: Line, path: str, method: str = "GET") -> None:
    async def swallow(_: Any) -> None: ...

    await line({"type": "http", "method": method, "path": path}, None, swallow)


async def test_pages_are_made_in_the_order_they_were_asked_for(kitchen: Kitchen) -> None:
    line, paths = Line(kitchen), [f"page-{n}" for n in range(20)]
    async with asyncio.timeout(5):
        await asyncio.gather(*(ask(line, path) for path in paths))
    assert (kitchen.order, kitchen.most) == (paths, 1)


@pytest.mark.parametrize("slow", ["waits", "streams"])
async def test_one_that_waits_or_streams_keeps_nobody(kitchen: Kitchen, slow: str) -> None:
    line = Line(kitchen)
    first = asyncio.ensure_future(ask(line, slow))
    async with asyncio.timeout(5):
        await asyncio.gather(*(ask(line, f"page-{n}") for n in range(3)))
    assert not first.done()
    assert kitchen.most == 2, "its place was given away once, not twice"
    kitchen.bell.set()
    await first


async def test_one_that_fails_or_is_given_up_leaves_its_place(kitchen: Kitchen) -> None:
    line = Line(kitchen)
    with pytest.raises(ValueError, match="no"):
        await ask(line, "fails")
    running = asyncio.ensure_future(ask(line, "waits"))
    queued = asyncio.ensure_future(ask(line, "page-never"))
    await asyncio.sleep(0)
    queued.cancel()
    await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*(ask(line, f"page-{n}") for n in range(3)))
    assert kitchen.most == 1
    assert "page-never" not in kitchen.order


@pytest.mark.parametrize("path", ["/healthz", "/static/app.css"])
async def test_what_machines_ask_for_does_not_stand_in_line(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("app.web.line.HOLD_S", 60)
    line = Line(kitchen)
    first = asyncio.ensure_future(ask(line, "waits"))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await ask(line, path)
    assert kitchen.most == 2
    kitchen.bell.set()
    await first


async def test_what_is_posted_does_not_stand_in_line(kitchen: Kitchen) -> None:
    line = Line(kitchen)
    posted = [asyncio.ensure_future(ask(line, "waits", "POST")) for _ in range(5)]
    async with asyncio.timeout(5):
        await ask(line, "page")
    assert kitchen.most == 6
    kitchen.bell.set()
    await asyncio.gather(*posted)
