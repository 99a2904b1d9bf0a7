"""What every test may ask for: a fresh migrated database, a data folder, a clock it can move."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from db import clock as time
from db import failpoints
from db.connection import refuse_sqlite3
from db.engine import DB, ApswEngine
from db.migrate import migrate

pytest_plugins = ["tests.features", "tests.system", "tests.browser"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait for processes of their own come first: a long one must not be the last."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/reliability/"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: migrating once is enough for a whole run."""
    folder = tmp_path_factory.mktemp("template")
    refuse_sqlite3(folder.parent)
    path = folder / "holdfast.db"
    migrate(path, folder / "backups")
    return path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def database(migrated: Path, data_dir: Path) -> Path:
    """A fresh migrated file, not opened by anybody."""
    return Path(shutil.copy(migrated, data_dir / "holdfast.db"))


@pytest.fixture
async def db(database: Path) -> AsyncIterator[ApswEngine]:
    await DB.open(database)
    yield DB
    await DB.close()


@pytest.fixture
def clock() -> Iterator[time.FakeClock]:
    with time.use(time.FakeClock()) as fake:
        yield fake


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")
