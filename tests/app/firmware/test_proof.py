"""What pages tell of a version: where its proofs came from, what charts show, typed versions."""

import re

import httpx
import pytest

from app.demo.fus.serve import Fus
from app.firmware.service import queries
from db.engine import DB
from tests.app.firmware import site
from tests.app.house import House

pytestmark = pytest.mark.anyio

IMEI = "352976245060855"
TYPED, TYPED_CSC = "SM-S928U", "VZW"


async def shown(house: House, fus: Fus) -> tuple[str, int, httpx.AsyncClient]:
    """The page of a version that is ready, its id, and the browser of an admin."""
    await site.point_at(fus)
    user = await house.person("jana", role="admin")
    version = await site.newest(user)
    await site.order(user, version)
    row = await site.fetched(version)
    browser = await house.browser(user)
    return (await browser.get(f"/firmware/{row['id']}")).text, row["id"], browser


def proofs(page: str) -> dict[str, str]:
    """Each check and what is said of it."""
    listed = re.findall(r"<li>(.*?)</li>", page.partition('id="checks"')[2].partition("</ul>")[0])
    plain = [re.sub(r"<p class=.mute.>", "|", each) for each in listed]
    pairs = [re.sub(r"<[^>]+>|\s+", " ", each).split("|") for each in plain]
    return {name.strip(): text.strip() for name, text in pairs}


@pytest.mark.feature("F-30")
async def test_each_check_value_says_where_it_came_from(house_of: House, fus: Fus) -> None:
    page, firmware_id, _browser = await shown(house_of, fus)
    facts = await fus.file(site.MODEL, csc=site.CSC)
    crc = await DB.value("SELECT crc32 FROM firmware WHERE id = ?", (firmware_id,))
    assert crc == facts.crc32
    assert proofs(page) == {
        "CRC of the encrypted file": f"{facts.crc32:08x}, announced by Samsung",
        "MD5 of the encrypted file": f"{facts.md5}, sent by Samsung&#39;s server,"
        " not computed here",
        "CRC of each part": "5 of 5, from the archive",
        "MD5 footers": "5 of 5, in the parts",
    }


@pytest.mark.feature("F-30")
async def test_what_was_not_provided_is_not_claimed(house_of: House, fus: Fus) -> None:
    fus.scenario("no_crc")
    fus.scenario("no_content_md5")
    fus.scenario("archive", kind="no_md5")
    found = proofs((await shown(house_of, fus))[0])
    assert found["CRC of the encrypted file"] == "not provided"
    assert found["MD5 of the encrypted file"] == "not provided"
    assert found["MD5 footers"] == "4 of 5, in the parts"


@pytest.mark.feature("F-57")
async def test_charts_are_drawn_from_what_happened(house_of: House, fus: Fus) -> None:
    page, firmware_id, browser = await shown(house_of, fus)
    sizes = await DB.all(
        "SELECT part, size_bytes FROM firmware_components WHERE firmware_id = ?", (firmware_id,)
    )
    widths = bars(page, "Parts by size")
    assert len(widths) == len(sizes) == 5
    largest = max(each["size_bytes"] for each in sizes) / sum(each["size_bytes"] for each in sizes)
    assert abs(widths[0] / 1000 - largest) < 0.02
    user = await DB.value("SELECT id FROM users")
    await DB.execute(
        "INSERT INTO firmware_devices (user_id, nickname, model, csc, imei)"
        " VALUES (?, '', 'SM-S921B', 'EUX', ?)",
        (user, IMEI),
    )
    device = await DB.value("SELECT id FROM firmware_devices")
    for number, status in enumerate(("ok", "ok", "denied")):
        await queries.note_asked(f"q{number}", device, "A/B/C/D")
        await queries.note_answered(f"q{number}", status, firmware_id)
    table = data((await browser.get("/firmware/queries")).text, "Queries per day")
    assert table[0][1:] == ["2", "0", "1", "0", "0"]
    admin = (await browser.get("/admin/firmware")).text
    assert re.search(r"SM-S921B</span>\s*<svg.*?<rect[^>]* width=\"1000\"", admin)
    done = await DB.value(
        "SELECT count(*) FROM queueJobs WHERE finishedAt IS NOT NULL"
        " AND type IN ('firmware.check', 'firmware.resolve', 'firmware.fetch')"
    )
    assert data(admin, "Server answers")[0][1:] == [str(done), "0", "0", "0", "0"]


def bars(page: str, label: str) -> list[float]:
    """Widths of the bars of a labelled picture."""
    picture = page.partition(f'aria-label="{label}"')[2].partition("</svg>")[0]
    return [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', picture)]


def data(page: str, title: str) -> list[list[str]]:
    """The rows of the table below a chart."""
    chart = page.partition(f">{title}</title>")[2].partition("</details>")[0]
    assert "<rect" in chart
    body = chart.partition("<tbody>")[2]
    return [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in body.split("</tr>")[:-1]]


@pytest.mark.feature("F-09")
async def test_a_region_without_a_list_takes_a_typed_version(house_of: House, fus: Fus) -> None:
    await site.point_at(fus)
    user = await house_of.person("jana")
    browser = await house_of.browser(user)
    fus.scenario("empty_history")
    target = {"model": TYPED, "csc": TYPED_CSC}
    await browser.post("/firmware/lookup", data=target)
    query = "SELECT state FROM queueJobs WHERE type = 'firmware.check'"

    async def told() -> bool:
        return bool(await DB.value(query) == "failed")

    await site.until(told)
    page = (await browser.get("/firmware/lookup", params=target)).text
    assert "Type a version by hand" in page
    short = await browser.post("/firmware/lookup/get", data={**target, "version": "S928USQS4BYD1"})
    assert short.status_code == 422
    assert "A version needs all its parts: AP/CSC/CP." in short.text
    assert 'value="S928USQS4BYD1"' in short.text
    typed = " s928usqs4byd1/S928UOYN4BYD1/S928USQS4BYD1 "
    answer = await browser.post("/firmware/lookup/get", data={**target, "version": typed})
    assert answer.status_code == 303
    row = await site.fetched("S928USQS4BYD1/S928UOYN4BYD1/S928USQS4BYD1/S928USQS4BYD1")
    assert (row["model"], row["csc"]) == (TYPED, TYPED_CSC)
