"""The program for page tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.house import House, running


@pytest.fixture
async def house_of(database: Path) -> AsyncIterator[House]:
    async with running(database) as house:
        yield house
