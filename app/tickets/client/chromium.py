"""One Chromium for all runs of the browser driver: started when needed, stopped when idle.

It resolves only the hosts of the portal (and a proxy), so that no page can lead it anywhere else,
by whatever way. Playwright is the extra `browser`; without it nothing here can be started.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from app.tickets.outcomes import Fault, Outcome

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

IDLE_S: Final = 300.0
START_S: Final = 30.0
_ARGS: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
)


def is_there(path: str) -> bool:
    """Whether the extra and a browser are installed."""
    return _playwright() is not None and bool(path) and shutil.which(path) is not None


def is_unguarded() -> bool:
    """Whether Chromium's own sandbox is off, which it must be for root; the admin page warns."""
    return os.geteuid() == 0


class Keeper:
    """Holds the running browser. One run at a time has it."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._key: tuple[Any, ...] = ()
        self._idle: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def browser(self, path: str, hosts: Sequence[str]) -> "AsyncIterator[Browser]":
        """A browser that knows these `host:port`s only. Raises Fault where there is none."""
        if not is_there(path):
            raise Fault(Outcome.BROWSER_MISSING)
        async with self._turn:
            if self._idle:
                self._idle.cancel()
            browser = await self._ready(path, hosts)
            try:
                yield browser
            finally:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(IDLE_S, self._stop_soon)

    async def close(self) -> None:
        """Stop the browser now."""
        if self._idle:
            self._idle.cancel()
        browser, self._browser = self._browser, None
        playwright, self._playwright = self._playwright, None
        with contextlib.suppress(Exception):  # a browser that died cannot be closed
            if browser:
                await browser.close()
        if playwright:
            await playwright.stop()

    async def _ready(self, path: str, hosts: Sequence[str]) -> "Browser":
        key = (path, tuple(sorted(hosts)))
        if self._browser and self._browser.is_connected() and key == self._key:
            return self._browser
        await self.close()
        start = _playwright()
        if start is None:
            raise Fault(Outcome.BROWSER_MISSING)
        try:
            async with asyncio.timeout(START_S):
                self._playwright = await start().start()
                self._browser = await self._playwright.chromium.launch(
                    executable_path=shutil.which(path),
                    chromium_sandbox=not is_unguarded(),
                    args=[*_ARGS, f"--host-resolver-rules={_rules(hosts)}"],
                )
        except Exception as error:  # whatever Playwright raises: it did not start
            await self.close()
            raise Fault(Outcome.BROWSER_CRASHED, type(error).__name__) from error
        self._key = key
        return self._browser

    def _stop_soon(self) -> None:
        self._stopping = asyncio.get_running_loop().create_task(self._stop_idle())

    async def _stop_idle(self) -> None:
        async with self._turn:
            await self.close()


_keepers: dict[int, Keeper] = {}


def keeper() -> Keeper:
    """The browser of this event loop; a process has one loop, tests have many."""
    return _keepers.setdefault(id(asyncio.get_running_loop()), Keeper())


async def close() -> None:
    """Stop this loop's browser; nothing happens if none runs."""
    held = _keepers.pop(id(asyncio.get_running_loop()), None)
    if held:
        await held.close()


async def self_test(path: str) -> str:
    """Start the browser on an empty page: its version, or raises Fault."""
    async with keeper().browser(path, ()) as browser:
        page = await browser.new_page()
        await page.close()
        return browser.version


def _rules(hosts: Sequence[str]) -> str:
    names = {urlsplit(f"//{host}").hostname or "" for host in hosts}
    return ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {name}" for name in sorted(names) if name)])


def _playwright() -> Any:
    try:  # the extra `browser`
        from playwright.async_api import async_playwright  # noqa: PLC0415
    except ImportError:
        return None
    return async_playwright


def read_download(path: Path, limit: int) -> bytes:
    """A downloaded file, if it is not too large."""
    return path.read_bytes() if path.stat().st_size <= limit else b""
