"""The desk for tests of runs and pages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.tickets.desk import Desk, opened


@pytest.fixture
async def desk(database: Path) -> AsyncIterator[Desk]:
    async with opened(database) as desk:
        yield desk
