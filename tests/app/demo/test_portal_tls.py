"""The stand-in portal behind TLS: what a client does when it is led back to plain http."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.demo.portal.serve import Portal, running_portal
from tests.app.demo import steps
from tests.certificate import certificate

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the two names of the portal."""
    return certificate(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


@pytest.fixture
async def secure(names: tuple[Path, Path]) -> AsyncIterator[Portal]:
    async with running_portal(certificate=names) as portal:
        yield portal


@pytest.fixture
async def trusting(names: tuple[Path, Path], secure: Portal) -> AsyncIterator[httpx.AsyncClient]:
    """Closed before the portal is, or the portal waits for its open connection."""
    assert secure.sp_url.startswith("https://")
    context = ssl.create_default_context(cafile=str(names[0]))
    async with httpx.AsyncClient(verify=context, follow_redirects=True) as client:
        yield client


async def test_the_whole_way_goes_over_tls(trusting: httpx.AsyncClient, secure: Portal) -> None:
    page = await steps.walk(trusting, secure)
    assert "NVV-Semesterticket" in steps.text(page)
    assert {step.url.scheme for step in (*page.history, page)} == {"https"}


async def test_a_downgrade_names_the_same_host(trusting: httpx.AsyncClient, secure: Portal) -> None:
    secure.scenario("http_downgrade")
    answer = await trusting.get(secure.sp_url, follow_redirects=False)
    assert answer.headers["location"].startswith(f"http://{secure.idp_host}/")
