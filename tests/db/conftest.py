"""A writer's connection to a fresh file, for tests that ask SQLite itself."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from db.connection import open_writer


@pytest.fixture
def live(database: Path) -> Iterator[apsw.Connection]:
    connection = open_writer(database)
    yield connection
    connection.close()
