"""What the stand-in FUS publishes without a file: version.xml and the history."""

from collections.abc import AsyncIterator

import httpx
import pytest
from lxml import etree

from app.demo.fus.serve import Fus, running_fus
from tests.app.demo.fus_steps import CSC, MODEL, VERSION, Customer, body

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Fus]:
    async with running_fus(size=64 * 1024) as fus:
        yield fus


@pytest.fixture
def fus(running: Fus) -> Fus:
    running.reset()
    return running


@pytest.fixture
async def http(fus: Fus) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=fus.url) as client:
        yield client


@pytest.fixture
def smart(http: httpx.AsyncClient) -> Customer:
    return Customer(http)


async def test_version_xml_names_the_newest_and_those_before(http: httpx.AsyncClient) -> None:
    root = etree.fromstring((await http.get(f"/firmware/{CSC}/{MODEL}/version.xml")).content)
    latest = root.find("firmware/version/latest")
    assert latest is not None
    assert latest.text == " S921BXXSBCZD4/S921BOXMBCZD4/S921BXXSBCZD1"
    assert latest.get("o") == "16"
    values = root.findall("firmware/version/upgrade/value")
    order = sorted(values, key=lambda v: (int(v.get("rcount") or 0), int(v.get("fwsize") or 0)))
    assert order != values
    assert (order[0].text or "").strip().startswith("S921BXXUACYJ8/")
    assert (order[-1].text or "").startswith("S921BXXU1AXBA/")


async def test_a_tablet_has_no_modem_part(http: httpx.AsyncClient, smart: Customer) -> None:
    root = etree.fromstring((await http.get("/firmware/DBT/SM-X210/version.xml")).content)
    latest = root.findtext("firmware/version/latest") or ""
    assert latest.strip() == "X210XXS4CYF2/X210OXM4CYF2/"
    await smart.greet()
    version = "X210XXS4CYF2/X210OXM4CYF2/X210XXS4CYF2/X210XXS4CYF2"
    assert (await smart.inform("SM-X210", "DBT", version))[0] == "200"
    assert smart.info["DEVICE_PHONE_FONT_FILE"] == ""


@pytest.mark.parametrize("target", ["DBT/SM-Z999X", "ZZZ/SM-S921B", "VZW/SM-S928U", "DBT/sm-s921b"])
async def test_version_xml_of_an_unknown_target_is_403(
    http: httpx.AsyncClient, target: str
) -> None:
    answer = await http.get(f"/firmware/{target}/version.xml")
    assert answer.status_code == 403
    assert etree.fromstring(answer.content).findtext("Code") == "AccessDenied"


async def test_version_xml_without_an_agent_is_403(http: httpx.AsyncClient) -> None:
    url = f"/firmware/{CSC}/{MODEL}/version.xml"
    assert (await http.get(url, headers={"user-agent": ""})).status_code == 403


async def test_a_known_model_may_have_no_build(http: httpx.AsyncClient) -> None:
    answer = await http.get("/firmware/TPA/SM-S921B/version.xml")
    assert answer.status_code == 200
    latest = etree.fromstring(answer.content).find("firmware/version/latest")
    assert latest is not None
    assert latest.text is None


async def history(http: httpx.AsyncClient, **headers: str) -> httpx.Response:
    fields = {
        "ACCESS_MODE": "1",
        "BINARY_LOCAL_CODE": CSC,
        "BINARY_MODEL_NAME": MODEL,
    }
    sent = {"user-agent": "SMART 2.0", **headers}
    return await http.post("/SmartHistory.do", content=body(fields), headers=sent)


async def test_history_lists_both_natures_of_every_build(http: httpx.AsyncClient) -> None:
    root = etree.fromstring((await history(http)).content)
    assert root.findtext("FUSBody/Results/Status") == ""
    rows = [
        {str(child.tag): child.findtext("Data") for child in row}
        for row in root.iterfind("FUSBody/Put/BINARY_INFO")
    ]
    assert len(rows) == 14
    open_now = [row for row in rows if row["BINARY_STATUS"] == "2" and row["BINARY_OPEN_DATE"]]
    newest = max(open_now, key=lambda row: int(row["BINARY_SEQUENCE"] or 0))
    assert newest["BINARY_SW_VERSION"] == VERSION
    assert {row["BINARY_OPEN_DATE"] for row in rows if row["BINARY_STATUS"] == "4"} == {""}
    assert {row["BINARY_OS_NAME"] for row in rows if row["BINARY_INDEX"] == "90"} == {
        "Z(Android 99)"
    }


async def test_history_checks_the_digest_when_strict(http: httpx.AsyncClient, fus: Fus) -> None:
    fus.scenario("strict_history")
    assert (await history(http)).status_code == 401
    # digest of "auth:", nonce and count, then ":FUS:", then digest of "interface:" and model
    header = (
        'FUS nonce="abcdefghijklmnop", signature="%s", nc="00000001", type="auth", '
        'realm="interface"'
    )
    good = header % "14287a264244b72a703cda1ad14fef67"
    assert (await history(http, authorization=good)).status_code == 200
    bad = header % ("0" * 32)
    assert (await history(http, authorization=bad)).status_code == 401
