"""A browser's tab under the rules of a run: what it may ask for, what it was answered."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from app.core.secret import SecretStr
from app.tickets.client import chromium
from app.tickets.client.driver import Policy
from app.tickets.client.hops import PROXY_ASKS
from app.tickets.outcomes import Fault, Outcome, Step
from app.tickets.paper.page import Asset, Page, host_port, resolve

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Request, Response, Route
    from playwright.async_api import Page as Tab

QUIET_MS: Final = 500
EXPORT_MS: Final = 10_000
MOST_ASKED: Final = 5
_HEAVY: Final = frozenset({"image", "font", "media"})
_INERT: Final = """() => document.readyState === 'complete'
  && !document.querySelector('script, meta[http-equiv], [onload], iframe, object, embed')"""
_ASSETS: Final = frozenset({"image", "stylesheet", "font"})


class Watched:
    """One tab. Requests leave for the hosts of the run only; every page is in `steps`.

    `pictures` lets pictures and fonts through, which only the ticket page needs. `refused` is the
    host a page wanted to go to.
    """

    def __init__(self, policy: Policy, secret: SecretStr) -> None:
        self.policy = policy
        self.steps: list[Step] = []
        self.refused = ""
        self.pictures = False
        self._secret = secret
        self._began: dict[Any, float] = {}
        self._last: Response | None = None
        self._going: set[Request] = set()
        self._moves = 0
        self._assets: list[Response] = []

    async def tab(self, context: "BrowserContext") -> "Tab":
        """A fresh tab that is watched."""
        await context.route("**/*", self._let_through)
        tab = await context.new_page()
        tab.on("request", self._leaves)
        tab.on("requestfinished", self._arrived)
        tab.on("requestfailed", self._arrived)
        tab.on("response", self._heard)
        return tab

    def forget_assets(self) -> None:
        """Begin to collect pictures and styles anew."""
        self._assets.clear()

    async def open(self, tab: "Tab", url: str) -> None:
        """Go to an address; Fault where it leads to a host that is not of the run."""
        try:
            await tab.goto(url, wait_until="load")
        except Exception:
            if self.refused:
                raise Fault(Outcome.FORBIDDEN_HOST, host=self.refused) from None
            raise

    async def look(self, tab: "Tab") -> Page:
        """The page once it is loaded, quiet, and not about to become another by its own script."""
        try:
            async with asyncio.timeout(self.policy.request_s):
                await self._settled(tab)
        except TimeoutError:
            raise Fault(Outcome.TIMEOUT) from None
        if self.refused:
            raise Fault(Outcome.FORBIDDEN_HOST, host=self.refused)
        raw = (await _source(tab)).encode("utf-8", "replace")
        if len(raw) > self.policy.max_body_bytes:
            raise Fault(Outcome.TOO_LARGE)
        response = self._last
        headers = await response.all_headers() if response else {}
        kind = headers.get("content-type", "text/html").partition(";")[0].strip()
        status = response.status if response else 200
        if self.policy.proxy_url and status in PROXY_ASKS:
            raise Fault(Outcome.PROXY_ERROR, "the proxy refused its login")
        kept = {**headers, "content-type": f"{kind}; charset=utf-8"}
        return Page(tab.url, raw, status=status, headers=kept)

    async def _settled(self, tab: "Tab") -> None:
        moves = -1
        while moves != self._moves or self._going:
            moves = self._moves
            await tab.wait_for_load_state("load")
            if self._going or not await _is_inert(tab):
                await tab.wait_for_timeout(QUIET_MS)

    async def read_assets(self, page: Page) -> dict[str, Asset]:
        """The pictures and styles the page loaded, within the bounds of the run."""
        found: dict[str, Asset] = {}
        left = self.policy.max_asset_bytes
        for response in self._assets[: self.policy.max_assets]:
            url = resolve(page.base_url, response.url).partition("#")[0]
            if response.status != 200 or not self.policy.allowed(urlsplit(url)):
                continue
            data = await response.body()
            left -= len(data)
            if left < 0:
                break
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            found[url] = Asset(kind, data)
        return found

    async def export(self, tab: "Tab") -> bytes | None:
        """The portal's own offline copy, where its page offers one."""
        if not await tab.evaluate("typeof exportOffline === 'function'"):
            return None
        try:
            async with tab.expect_download(timeout=EXPORT_MS) as waiting:
                await tab.evaluate("exportOffline()")
            download = await waiting.value
            path = await download.path()
            limit = self.policy.max_body_bytes
            return await asyncio.to_thread(chromium.read_download, path, limit) or None
        except Exception:  # the copy is a gift, not the ticket
            return None

    def name_last(self, kind: str) -> None:
        """Say in the trace what kind of page the last answer was."""
        if self.steps:
            last = self.steps[-1]
            self.steps[-1] = Step(kind, last.method, last.host, last.path, last.status, last.ms)

    async def _let_through(self, route: "Route", request: "Request") -> None:
        """Only the hosts of the run; the password only to a pinned one; pictures at the end."""
        url = urlsplit(request.url)
        inside = request.url.startswith(("data:", "blob:", "about:"))
        if not inside and not self.policy.allowed(url):
            if request.is_navigation_request():
                self.refused = host_port(url) or url.scheme
            await route.abort("blockedbyclient")
        elif self._carries_password(request) and not self.policy.pinned(url):
            self.refused = host_port(url)
            await route.abort("blockedbyclient")
        elif request.resource_type in _HEAVY and not self.pictures and not inside:
            await route.abort("blockedbyclient")
        else:
            self._began[request] = time.perf_counter()
            await route.continue_()

    def _carries_password(self, request: "Request") -> bool:
        secret = self._secret.reveal()
        sent = request.post_data_buffer or b""
        fields = parse_qsl(sent.decode("utf-8", "replace"), keep_blank_values=True)
        return secret.encode() in sent or any(value == secret for _name, value in fields)

    def _leaves(self, request: "Request") -> None:
        """A document is on its way: what is on the screen now is not what will be judged."""
        if request.is_navigation_request() and request.frame.parent_frame is None:
            self._going.add(request)
            self._moves += 1

    def _arrived(self, request: "Request") -> None:
        self._going.discard(request)

    def _heard(self, response: "Response") -> None:
        request = response.request
        if request.resource_type in _ASSETS:
            self._assets.append(response)
        if not request.is_navigation_request():
            return
        self._last = response
        url = urlsplit(response.url)
        path = "/".join(part.partition(";")[0] for part in url.path.split("/"))
        began = self._began.pop(request, time.perf_counter())
        took = round((time.perf_counter() - began) * 1000)
        kind = "redirect" if 300 <= response.status < 400 else "page"
        host = host_port(url)
        self.steps.append(Step(kind, request.method, host, path[:200], response.status, took))


async def _is_inert(tab: "Tab") -> bool:
    """Whether nothing on the page can change it, so that there is nothing to wait for."""
    try:
        return bool(await tab.evaluate(_INERT))
    except Exception:  # it is just being left
        return False


async def _source(tab: "Tab") -> str:
    """The page's source; one that is just being left for the next is asked again."""
    for _ in range(MOST_ASKED):
        try:
            return await tab.content()
        except Exception as error:
            if "navigating" not in str(error):
                raise
            await tab.wait_for_timeout(QUIET_MS)
            await tab.wait_for_load_state("load")
    raise Fault(Outcome.TIMEOUT)
