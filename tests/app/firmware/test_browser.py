"""Firmware in Chromium: a download that moves by itself, and everything again without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from app.demo.fus.serve import Fus
from db.engine import DB
from tests.app.firmware import site
from tests.app.firmware.test_lines import large
from tests.app.web.town import Town, town

pytestmark = pytest.mark.anyio

__all__ = ["large"]
IMEI = "352976245060855"
RING = "() => document.querySelector('.ring .fill')?.getAttribute('stroke-dasharray') ?? ''"
MOVED = f"before => {{ const now = ({RING})(); return now && now !== before; }}"


@pytest.fixture
async def place(database: Path, browser: Browser) -> AsyncIterator[Town]:
    async with town(database, browser) as made:
        yield made


@asynccontextmanager
async def plain(place: Town) -> AsyncIterator[Page]:
    """A tab that runs no scripts."""
    async with place.tab(java_script_enabled=False) as page:
        yield page


@pytest.mark.feature("F-56")
async def test_ring_rate_and_rest_move_without_a_reload(place: Town, large: Fus) -> None:
    await site.point_at(large)
    large.scenario("slow", rate=400_000)
    version = await site.newest(place.user_id)
    await site.order(place.user_id, version)
    row = await site.fetched(version, "downloading")
    async with place.tab() as page:
        await page.goto(f"{place.url}/firmware/{row['id']}")
        await page.evaluate("window.sameDocument = true")
        await page.wait_for_function(f"({RING})() !== ''")
        before = await page.evaluate(RING)
        await expect(page.locator(".fetch__figures")).to_contain_text("/s")
        await expect(page.locator(".fetch__figures")).to_contain_text("connection")
        await expect(page.locator(".fetch__figures")).to_contain_text("left")
        step = page.locator('.stages [aria-current="step"]')
        await expect(step).to_contain_text("Download")
        await page.wait_for_function(MOVED, arg=before)
        large.reset()
        await expect(page.get_by_role("link", name="Save everything")).to_be_visible(timeout=20_000)
        assert await page.locator('.stages [aria-current="step"]').count() == 0
        assert await page.evaluate("window.sameDocument") is True


@pytest.mark.feature("F-67")
async def test_everything_can_be_done_without_scripts(
    place: Town, large: Fus, tmp_path: Path
) -> None:
    await site.point_at(large)
    large.scenario("slow", rate=300_000)
    async with plain(place) as page:
        await page.goto(f"{place.url}/firmware/lookup")
        await page.fill("[name=model]", "SM-S921B")
        await page.fill("[name=csc]", "EUX")
        await page.get_by_role("button", name="Look up").click()
        version = await site.newest(place.user_id)
        await page.reload()
        pda = version.partition("/")[0]
        await page.get_by_role("button", name=f"Get {pda}").first.click()
        await site.fetched(version, "downloading")
        await page.goto(f"{place.url}/firmware")
        await page.get_by_role("link", name=pda).first.click()
        await expect(page.locator(".fetch__figures")).to_contain_text("%")
        await page.get_by_role("button", name="Pause", exact=True).click()
        await site.fetched(version, "paused")
        await page.reload()
        large.reset()
        await page.get_by_role("button", name="Go on").first.click()
        await site.fetched(version)
        await page.reload()
        async with page.expect_download() as saving:
            await page.get_by_role("link", name="Save", exact=True).last.click()
        saved = tmp_path / "part"
        await (await saving.value).save_as(saved)
        smallest = await DB.value("SELECT min(size_bytes) FROM firmware_components")
        assert saved.stat().st_size == smallest
        await page.get_by_role("button", name="Verify again").click()
        await page.get_by_role("button", name="Keep for good").click()
        assert await DB.value("SELECT pinned FROM firmware") == 1
        await devices(page, place)
        await page.goto(f"{place.url}/firmware/queries")
        await page.fill("[name=imei]", IMEI)
        await page.get_by_role("button", name="Find").click()
        await expect(page.locator("main")).to_contain_text("35297624 •••••• •")
        await page.goto(f"{place.url}/admin/firmware")
        await page.fill("[name=connections]", "3")
        await page.get_by_role("button", name="Save").click()
        assert await DB.value("SELECT value FROM configuration WHERE key = 'firmware.connections'")


async def devices(page: Page, place: Town) -> None:
    """Add a device, change it, forget it."""
    await page.goto(f"{place.url}/firmware/devices")
    await page.fill("[name=nickname]", "Old phone")
    await page.fill("[name=model]", "SM-A146P")
    await page.fill("[name=csc]", "EUX")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("link", name="Change").first.click()
    await page.fill("[name=nickname]", "My phone")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#firmware-devices")).to_contain_text("My phone")
    await page.get_by_role("button", name="Forget").first.click()
    assert await DB.value("SELECT count(*) FROM firmware_devices") == 0
