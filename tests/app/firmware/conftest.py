"""The stand-in FUS over real HTTP, with small files that are baked once for a whole run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core import guard
from app.demo.fus.serve import Fus, running_fus
from app.firmware.client import Profile


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in keeps its files over all tests."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
async def fus(shelf: Path) -> AsyncIterator[Fus]:
    async with running_fus(folder=shelf) as running:
        yield running
    guard.local_only(False)


@pytest.fixture
def profile(fus: Fus) -> Profile:
    found = fus.profile
    return Profile(
        fota_url=found["fota_url"], fus_url=found["fus_url"], cloud_url=found["cloud_url"]
    )
