"""The lists of firmware keep their state in the address, and their sheet is what is shown."""

import re

import pytest

from app.firmware.service import queries, records
from db.engine import DB
from tests.app.firmware import site
from tests.app.house import House

pytestmark = pytest.mark.anyio

IMEI = "352976245060855"


async def versions(*states: str) -> list[int]:
    """Made-up versions with their folders, each a little larger than the one before."""
    await site.until(repaired)  # what is ready without files would not be ready any more
    for number, state in enumerate(states):
        await DB.execute(
            "INSERT INTO firmware (version_code, latest_fw_version, path, filename, size_bytes,"
            " state, logic_value_factory, model, csc)"
            " VALUES (?1, ?1, ?1, 'f.zip.enc4', ?2, ?3, '', 'SM-S921B', 'EUX')",
            (f"S921BXXU{number}AAA1/S921BOXM{number}AAA1/X/X", 1000 * (number + 1), state),
        )
    found = [row["id"] for row in await DB.all("SELECT id FROM firmware ORDER BY id")]
    for firmware_id in found:
        records.parts_folder(firmware_id).mkdir(parents=True)
    return found


async def repaired() -> bool:
    """Whether the repair of the start is over."""
    ended = "SELECT min(finishedAt IS NOT NULL) FROM queueJobs WHERE type = 'firmware.cleanup'"
    return bool(await DB.value(ended))


def shown(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'id="firmware-row-(\d+)"', page)]


def link(page: str, word: str) -> str:
    found = re.search(rf'href="([^"]+)"[^>]*>(?:<svg.*?</svg>)?{word}<', page)
    assert found, word
    return found[1].replace("&amp;", "&")


@pytest.mark.feature("X-57")
async def test_versions_are_narrowed_sorted_and_saved_by_the_address(house_of: House) -> None:
    small, partial, large = await versions("ready", "partial", "ready")
    async with await house_of.browser(await house_of.person("jana")) as browser:
        page = (await browser.get("/firmware")).text
        assert shown(page) == [large, partial, small], "the newest first"
        assert shown((await browser.get("/firmware?look=ready")).text) == [large, small]
        by_size = link((await browser.get("/firmware?look=ready")).text, "Size")
        assert by_size == "/firmware?look=ready&sort=-size"
        turned = (await browser.get(link((await browser.get(by_size)).text, "Size"))).text
        assert shown(turned) == [small, large]
        sheet = (await browser.get(link(turned, "CSV"))).text
    assert [line.partition(",")[0] for line in sheet.splitlines()[1:]] == [str(small), str(large)]


async def test_many_devices_come_in_pages(house_of: House) -> None:
    user = await house_of.person("jana")
    for number in range(51):
        await DB.execute(
            "INSERT INTO firmware_devices (user_id, nickname, model, csc) VALUES (?, ?, ?, 'EUX')",
            (user, f"phone {number:02}", f"SM-S{number:03}B"),
        )
    async with await house_of.browser(user) as browser:
        first = (await browser.get("/firmware/devices")).text
        assert "phone 49" in first
        assert "phone 50" not in first
        last = (await browser.get(link(first, "Next"))).text
        assert "phone 50" in last
        assert "phone 49" not in last
        assert 'hx-get="/firmware/devices?at=50"' in last, "it stays on its page when it is live"
        beyond = (await browser.get("/firmware/devices?at=200")).text
    assert "Show all" in beyond


@pytest.mark.feature("X-57")
async def test_queries_are_narrowed_sorted_and_saved_by_the_address(house_of: House) -> None:
    user = await house_of.person("jana")
    for number, status in enumerate(("ok", "denied", "ok")):
        await DB.execute(
            "INSERT INTO firmware_devices (user_id, nickname, model, csc, serial)"
            " VALUES (?, '', ?, 'EUX', ?)",
            (user, f"SM-S92{number}B", f"R5CX10ABCD{number}"),
        )
        device = await DB.value("SELECT max(id) FROM firmware_devices")
        await queries.note_asked(f"q{number}", device, "A/B/C/D")
        await queries.note_answered(f"q{number}", status, None)
    async with await house_of.browser(user) as browser:
        page = (await browser.get("/firmware/queries?status=ok&sort=for")).text
        assert re.findall(r"(SM-\w+), EUX", page) == ["SM-S920B", "SM-S922B"]
        sheet = (await browser.get(link(page, "CSV"))).text
        nothing = (await browser.get("/firmware/queries?model=SM-X")).text
    assert re.findall(r"SM-\w+", sheet) == ["SM-S920B", "SM-S922B"]
    assert "Nothing fits" in nothing


async def test_a_slip_in_an_imei_is_said_at_once_and_kept_nowhere(house_of: House) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#imei-said"}
    async with await house_of.browser(await house_of.person("jana")) as browser:
        said = [
            await browser.post("/firmware/devices/check", data={"imei": typed}, headers=headers)
            for typed in (IMEI, IMEI[:-1] + "9", "")
        ]
    assert [answer.status_code for answer in said] == [200, 422, 200]
    assert "The check digit does not fit" in said[1].text
    assert IMEI[:14] not in "".join(answer.text for answer in said)
    assert await DB.value("SELECT count(*) FROM firmware_devices") == 0
    assert await DB.value("SELECT count(*) FROM imei_log") == 0
