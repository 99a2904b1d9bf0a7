"""A running stand-in portal per module, reset before each test, and one Chromium for the run."""

from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Browser, async_playwright

from app.demo.portal.serve import Portal, running_portal
from tests.system import program

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Portal]:
    async with running_portal() as portal:
        yield portal


@pytest.fixture
def portal(running: Portal) -> Portal:
    running.reset()
    return running


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A browser without scripts: keeps cookies, follows redirects."""
    async with httpx.AsyncClient(follow_redirects=True, timeout=10) as client:
        yield client


@pytest.fixture
async def control(portal: Portal) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {portal.control_token}"}
    async with httpx.AsyncClient(base_url=portal.sp_url, headers=headers) as client:
        yield client


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program("chromium"), args=CHROMIUM_ARGS
        )
        yield browser
        await browser.close()
