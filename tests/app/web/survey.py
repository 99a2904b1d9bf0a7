"""One walk through pages in Chromium, and everything that is noted on the way.

axe is by far the dearest, so every page is loaded once and looked at from all sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Request

from tests.app.web.places import Place
from tests.app.web.town import Town, each_look

AXE = Path(__file__).parents[2] / "vendor" / "axe.min.js"
# Rules whose answer depends on size and theme.
BY_LOOK = ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"]
ALL_LOOKS = ("/", "/tickets", "/admin/queue", "/admin/patterns", "/login")
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

# What sticks out of the window, or is cut off inside a box that does not scroll.
WIDE = """() => {
  const out = [];
  if (document.documentElement.scrollWidth > innerWidth) out.push('the page');
  for (const it of document.querySelectorAll('button, a, h1, h2, label, th, .state')) {
    const box = it.getBoundingClientRect();
    const scrolls = it.closest('.tabs, .log, .code, [popover], .table:not(.table--stack)');
    if (box.width && box.right > innerWidth + 1 && !scrolls)
      out.push(it.outerHTML.slice(0, 120));
  }
  return out;
}"""
LOADED = """() => [...document.querySelectorAll('link[rel=stylesheet], script[src]')]
  .map(it => it.href || it.src)"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


@dataclass
class Seen:
    """One page as it was seen."""

    place: Place
    status: int = 0
    titles: int = 0  # h1
    wide: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # of axe
    foreign: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)  # styles and scripts
    bytes: int = 0  # of these, before compression
    html: int = 0
    paint_ms: float = 0


async def walk(
    town: Town,
    places: Iterable[Place],
    *,
    token: str | None = "",
    tabs: int = 2,
) -> list[Seen]:
    """Look at every page, at both sizes in both themes. `token`: as whom, see `Town.tab`."""
    left, seen = list(places), list[Seen]()
    weights: dict[str, int] = {}

    async def one_tab() -> None:
        # The policy is lifted in this profile alone, so that axe may be put into the page.
        async with town.tab(token=token, bypass_csp=True) as page:
            while left:
                seen.append(await _look(page, town.url, left.pop(), weights))

    await asyncio.gather(*(one_tab() for _number in range(tabs)))
    return seen


async def _look(page: Page, url: str, place: Place, weights: dict[str, int]) -> Seen:
    found = Seen(place)

    def note(request: Request) -> None:
        if not request.url.startswith((f"{url}/", "data:")):
            found.foreign.append(request.url)

    page.on("request", note)
    answer = await page.goto(url + place.path, wait_until="load")
    found.status = answer.status if answer else 0
    found.titles = await page.locator("h1").count()
    found.html = len((await page.content()).encode())
    found.paint_ms = await page.evaluate(PAINT)
    found.loaded = await page.evaluate(LOADED)
    for address in found.loaded:
        if address not in weights:
            weights[address] = len(await (await page.request.get(address)).body())
    found.bytes = sum(weights[address] for address in found.loaded)
    await page.evaluate(AXE.read_text("utf-8"))

    async def look(where: str) -> None:
        found.wide += [f"{where}: {it}" for it in await page.evaluate(WIDE)]
        # All rules once; where size and theme differ those that can tell. The colours are the same
        # tokens on every page, so the other two looks are asked of the first pages only.
        whole, other = where == "1366 px, light", where == "390 px, dark"
        if whole or other or place.path in ALL_LOOKS:
            found.faults += [f"{where}: {it}" for it in await violations(page, whole=whole)]

    await each_look(page, look)
    page.remove_listener("request", note)
    return found


async def violations(page: Page, *, whole: bool = True) -> list[str]:
    """What axe finds in a page it was put into: rule and place."""
    only = {"type": "tag", "values": AXE_TAGS} if whole else BY_LOOK
    found: dict[str, Any] = await page.evaluate(
        "only => axe.run({runOnly: only, resultTypes: ['violations']})", only
    )
    return [
        f"{rule['id']}: {node['target']} {node['any'][0]['message'] if node['any'] else ''}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
