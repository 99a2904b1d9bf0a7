"""One running program for all tests of a module, and the one browser of the whole run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.app.web.town import Town, town


@pytest.fixture(scope="module")
async def empty(
    browser: Browser, migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    """The program as it is on the first day, with one admin in it."""
    database = tmp_path_factory.mktemp("town") / "holdfast.db"
    database.write_bytes(migrated.read_bytes())
    async with town(database, browser) as made:
        yield made


@pytest.fixture(scope="module")
async def place(empty: Town) -> Town:
    """The same after a year: rows in every list."""
    await empty.fill()
    return empty
