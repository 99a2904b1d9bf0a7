"""A running stand-in portal per module, reset before each test."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.demo.portal.serve import Portal, running_portal


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
