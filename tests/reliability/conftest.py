"""A house full of students, made once by a real server over HTTP, and copied for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.evidence import is_drained
from tests.serving import Person, PortalProcess, portal, serving, until

NO_SOCKETS = shutil.ignore_patterns("*.sock")  # a queue's socket is no file to copy

STUDENTS = 20


def student(number: int) -> str:
    """The login of the n-th student of the house."""
    return f"student-{number}"


@pytest.fixture(scope="session")
def inhabited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that was stopped well: `STUDENTS` people, each with a login."""
    folder = tmp_path_factory.mktemp("inhabited")
    with portal(folder) as outside, serving(folder / "data", outside.env) as server:
        server.quicken()
        with Person(server.url).sign_in() as admin:
            links = [admin.invite() for _ in range(STUDENTS)]
        for number, link in enumerate(links, start=1):
            with Person(server.url) as person:
                person.join(link, student(number)).store_login(number)
        until(lambda: is_drained(folder / "data"), "the logins to be checked")
        assert server.stop() == 0
    return folder / "data"


@pytest.fixture
def house(inhabited: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(inhabited, tmp_path / "house" / "data", ignore=NO_SOCKETS))


@pytest.fixture
def running_portal(tmp_path: Path) -> Iterator[PortalProcess]:
    with portal(tmp_path) as running:
        yield running
