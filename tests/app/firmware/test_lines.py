"""Connections: six at once, shared by all downloads, shed when they stall, and https first."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core import guard, outbound
from app.demo.fus.serve import Fus, running_fus
from app.firmware.client import Profile
from app.firmware.outcomes import Fault
from app.firmware.service import library, wishes
from db.engine import DB
from tests.app.firmware import pipe, site
from tests.app.house import House
from tests.certificate import certificate

pytestmark = pytest.mark.anyio

LARGE = 12 * 1024 * 1024
OTHER, OTHER_CSC = "SM-A146P", "EUX"


@pytest.fixture
async def large(shelf: Path) -> AsyncIterator[Fus]:
    """Files of a dozen pieces."""
    async with running_fus(folder=shelf, size=LARGE) as running:
        yield running
    guard.local_only(False)


def addresses(fus: Fus) -> Profile:
    found = fus.profile
    return Profile(
        fota_url=found["fota_url"], fus_url=found["fus_url"], cloud_url=found["cloud_url"]
    )


async def connections(version: str) -> int:
    firmware_id = await DB.value("SELECT id FROM firmware WHERE version_code = ?", (version,))
    figures = (await library.get_card("", firmware_id)).figures if firmware_id else None
    return figures.connections if figures else 0


@pytest.mark.feature("F-20")
async def test_two_downloads_share_six_connections(house_of: House, large: Fus) -> None:
    await site.point_at(large)
    user = await house_of.person("jana")
    one, other = await site.newest(user), await site.newest(user, OTHER, OTHER_CSC)
    await DB.execute("UPDATE queue_rates SET limitCount = 1000, burst = 100 WHERE key = 'fus'")
    large.scenario("slow", rate=200_000)
    await site.order(user, one)

    async def held(of_one: int, of_other: int) -> bool:
        found = await connections(one), await connections(other), large.state.streams
        return found == (of_one, of_other, of_one + of_other)

    await site.until(lambda: held(6, 0))
    await site.order(user, other, model=OTHER, csc=OTHER_CSC)
    await site.until(lambda: held(3, 3))
    second = await DB.value("SELECT id FROM firmware WHERE version_code = ?", (other,))
    await wishes.pause(user, second, admin=False)
    await site.until(lambda: held(6, 0))


@pytest.mark.feature("F-21")
@pytest.mark.usefixtures("db")
async def test_connections_that_stall_are_shed_and_the_rest_brings_it_home(
    large: Fus, tmp_path: Path
) -> None:
    large.scenario("slow", rate=2_000_000)
    run = pipe.Run()
    part = await pipe.fetch(
        addresses(large),
        tmp_path,
        run,
        # six times one silence, then four of them once more
        peeked=lambda: large.scenario("pause", times=10, after=0, s=30),
        silence_s=0.3,
        stalls=2,
        backoff=(0.01,),
    )
    assert all(member.md5_ok for member in run.checked)
    assert len(run.checked) == 5
    assert part.stat().st_size
    assert run.most <= 6
    assert [f.connections for f in run.figures if f.connections][-1] <= 3
    assert run.figures[-1].reconnects > 0


@pytest.mark.feature("F-21")
@pytest.mark.usefixtures("db")
async def test_the_last_connection_is_never_shed_it_gives_up_with_a_reason(
    large: Fus, tmp_path: Path
) -> None:
    run = pipe.Run()
    with pytest.raises(Fault) as caught:
        await pipe.fetch(
            addresses(large),
            tmp_path,
            run,
            peeked=lambda: large.scenario("pause", after=0, s=30),
            silence_s=0.3,
            stalls=2,
            backoff=(0.01,),
        )
    assert caught.value.code == "stalled"
    tries = sum(line["kind"] == "bytes" for line in large.log()) - 2
    assert tries == 2 * 6  # five were shed after two silences each, the last had its two as well


@pytest.mark.feature("F-66")
async def test_https_is_tried_first_and_the_fall_back_is_said_on_the_page(
    house_of: House, fus: Fus
) -> None:
    secure = fus.url.replace("http:", "https:")
    await site.point_at(fus)
    await site.point_at(fus, **{"profile.cloud_url": f"{secure}/"})
    user = await house_of.person("jana")
    version = await site.newest(user)
    await site.order(user, version)
    row = await site.fetched(version)
    browser = await house_of.browser(user)
    page = (await browser.get(f"/firmware/{row['id']}")).text
    assert page.count("https is not answered, going on with http") == 1
    assert site.file_stats(fus)["bytes"] == row["size_bytes"]


@pytest.mark.feature("F-66")
@pytest.mark.usefixtures("db")
async def test_where_https_is_answered_nothing_goes_over_http(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1")
    assert ssl.create_default_context(cafile=cert)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    outbound.tls.cache_clear()
    try:
        async with running_fus(folder=shelf, certificate=(cert, key)) as secure:
            run = pipe.Run()
            assert secure.url.startswith("https://")
            await pipe.fetch(addresses(secure), tmp_path, run)
            assert len(run.checked) == 5
            assert run.notes == []
    finally:
        outbound.tls.cache_clear()
        guard.local_only(False)
