"""Every page whole and as a fragment, what people do there, and the bytes of a file."""

import httpx
import pytest

from app.accounts.service import tokens
from app.demo.fus.serve import Fus
from app.firmware.service import records
from db.engine import DB
from tests.app.firmware import site
from tests.app.house import House

pytestmark = pytest.mark.anyio

IMEI = "352976245060855"
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


async def someone(house: House, fus: Fus, role: str = "user") -> tuple[str, httpx.AsyncClient]:
    await site.point_at(fus)
    user = await house.person("jana", role=role)
    return user, await house.browser(user)


@pytest.mark.feature("F-55")
@pytest.mark.parametrize(
    ("path", "block"),
    [
        ("/firmware", "firmware-rows"),
        ("/firmware/lookup", "firmware-found"),
        ("/firmware/lookup?model=SM-S921B&csc=EUX", "firmware-found"),
        ("/firmware/devices", "firmware-devices"),
        ("/firmware/queries", "firmware-query-rows"),
        ("/admin/firmware", "firmware-admin"),
    ],
)
async def test_pages_come_whole_and_as_fragment(
    house_of: House, fus: Fus, path: str, block: str
) -> None:
    _user, browser = await someone(house_of, fus, "admin")
    whole = await browser.get(path)
    assert whole.status_code == 200
    assert f'id="{block}"' in whole.text
    assert "</html>" in whole.text
    part = await browser.get(path, headers={**PARTIAL, "HX-Target": f"div#{block}"})
    assert part.status_code == 200
    assert f'id="{block}"' in part.text
    assert "</html>" not in part.text


@pytest.mark.feature("F-05", "F-06", "F-07", "F-08", "F-10")
async def test_a_look_up_shows_newest_history_betas_and_what_is_announced(
    house_of: House, fus: Fus
) -> None:
    user, browser = await someone(house_of, fus)
    answer = await browser.post("/firmware/lookup", data={"model": " sm-s921b/ds", "csc": "eux"})
    assert answer.status_code == 303
    version = await site.newest(user)
    page = (await browser.get(answer.headers["Location"])).text
    newest, _, rest = page.partition('id="announced"')
    assert version.split("/")[0] in newest
    assert "Feature" in page or "Security" in page
    assert "Announced, not released" in rest
    assert "Betas" not in page
    assert "Betas" in (await browser.get(answer.headers["Location"] + "&beta=1")).text


@pytest.mark.feature("F-15", "F-48")
async def test_an_unknown_model_says_so_and_offers_other_regions(house_of: House, fus: Fus) -> None:
    _user, browser = await someone(house_of, fus)
    await browser.post("/firmware/lookup", data={"model": "SM-NONE", "csc": "DBT"})

    async def failed() -> bool:
        sql = "SELECT state FROM queueJobs WHERE type = 'firmware.check'"
        return bool(await DB.value(sql) == "failed")

    await site.until(failed)
    page = (await browser.get("/firmware/lookup?model=SM-NONE&csc=DBT")).text
    assert "Samsung does not know this model in this region." in page
    assert "csc=EUX" in page


@pytest.mark.feature("F-46", "F-49")
async def test_an_imei_gives_two_rows_and_is_masked_everywhere(house_of: House, fus: Fus) -> None:
    user, browser = await someone(house_of, fus)
    answer = await browser.post(
        "/firmware/lookup", data={"model": "SM-S921B", "csc": "EUX", "imei": IMEI}
    )
    where = answer.headers["Location"]
    assert IMEI not in where
    version = await site.newest(user)

    async def asked() -> bool:
        return bool(await DB.value("SELECT count(*) FROM imei_log"))

    await site.until(asked)
    rows = await DB.all("SELECT status_fus FROM imei_log")
    assert [row["status_fus"] for row in rows] == ["unknown"]
    query = where.partition("asked=")[2]
    device = await DB.value("SELECT id FROM firmware_devices")
    await site.order(user, version, device_id=device, query_id=query)
    await site.fetched(version)
    rows = await DB.all("SELECT status_fus, request_id FROM imei_log ORDER BY id")
    assert [row["status_fus"] for row in rows] == ["unknown", "ok"]
    assert rows[0]["request_id"] == rows[1]["request_id"] == query
    for path in ("/firmware/queries", "/firmware/queries/csv", "/firmware/devices", where):
        text = (await browser.get(path)).text
        assert IMEI not in text
        assert IMEI[8:] not in text
    assert "35297624 •••••• •" in (await browser.get("/firmware/queries")).text
    found = await browser.post("/firmware/queries", data={"imei": IMEI})
    assert "35297624 •••••• •" in found.text
    assert IMEI not in found.text
    kept = await DB.all("SELECT payloadJson, coalesce(lastError, '') AS e FROM queueJobs")
    kept += await DB.all("SELECT message, coalesce(metadata, '') AS m FROM job_events")
    assert IMEI not in str(kept)


@pytest.mark.feature("F-16")
async def test_the_phones_own_answer_fills_the_form(house_of: House, fus: Fus) -> None:
    _user, browser = await someone(house_of, fus)
    told = (
        "+DEVCONINFO: MN(SM-S921B);BASE(X);VER(S921BXXUACYJ8/S921BOXMACYJ8/S921BXXUACYJ8/"
        f"S921BXXUACYJ8);PRD(EUX);SN(R5CX10ABCDE);IMEI({IMEI});LOCK(NONE);"
    )
    answer = await browser.post("/firmware/lookup", data={"answer": told})
    assert answer.status_code == 303
    assert "model=SM-S921B&csc=EUX" in answer.headers["Location"]
    row = await DB.one("SELECT * FROM firmware_devices")
    assert row is not None
    assert row["imei"] == IMEI
    bad = await browser.post("/firmware/lookup", data={"answer": "hello"})
    assert bad.status_code == 422


@pytest.mark.feature("F-53", "F-54")
async def test_files_are_sent_with_ranges_and_validators(house_of: House, fus: Fus) -> None:
    user, browser = await someone(house_of, fus)
    version = await site.newest(user)
    await site.order(user, version)
    row = await site.fetched(version)
    part = (await records.list_parts(row["id"]))[0]
    path = f"/firmware/{row['id']}/files/{part.filename}"
    data = (records.parts_folder(row["id"]) / part.filename).read_bytes()
    whole = await browser.get(path)
    assert (whole.status_code, whole.content) == (200, data)
    etag = whole.headers["ETag"]
    head = await browser.head(path)
    assert head.headers["Content-Length"] == str(len(data))
    assert head.content == b""
    some = await browser.get(path, headers={"Range": "bytes=100-299"})
    assert (some.status_code, some.content) == (206, data[100:300])
    assert some.headers["Content-Range"] == f"bytes 100-299/{len(data)}"
    last = await browser.get(path, headers={"Range": "bytes=-5", "If-Range": etag})
    assert (last.status_code, last.content) == (206, data[-5:])
    stale = await browser.get(path, headers={"Range": "bytes=-5", "If-Range": '"other"'})
    assert (stale.status_code, len(stale.content)) == (200, len(data))
    beyond = await browser.get(path, headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    same = await browser.get(path, headers={"If-None-Match": etag})
    assert same.status_code == 304
    assert (await browser.get(f"/firmware/{row['id']}/files/passwd")).status_code == 404
    page = (await browser.get(f"/firmware/{row['id']}")).text
    assert part.filename in page
    assert "announced by Samsung" in page


@pytest.mark.feature("F-59")
async def test_an_admin_tests_the_profile(house_of: House, fus: Fus) -> None:
    _user, browser = await someone(house_of, fus, "admin")
    assert "Samsung answers" in (await browser.post("/admin/firmware/test")).text
    fus.scenario("no_nonce")
    assert "unreadable" in (await browser.post("/admin/firmware/test")).text


async def test_nobody_fetches_before_an_admin_confirmed(house_of: House, fus: Fus) -> None:
    user, browser = await someone(house_of, fus)
    version = await site.newest(user)
    await site.point_at(fus, confirmed=False)
    await browser.post(
        "/firmware/lookup/get", data={"model": "SM-S921B", "csc": "EUX", "version": version}
    )
    assert await DB.value("SELECT count(*) FROM firmware_requests") == 0


async def test_people_without_the_domain_see_nothing(house_of: House) -> None:
    assert (await house_of.client().get("/firmware")).status_code in (302, 303)


@pytest.mark.feature("F-51")
async def test_an_admin_pins_and_evicts(house_of: House, fus: Fus) -> None:
    user, browser = await someone(house_of, fus, "admin")
    version = await site.newest(user)
    await site.order(user, version)
    row = await site.fetched(version)
    await browser.post(f"/firmware/{row['id']}/pin")
    assert await DB.value("SELECT pinned FROM firmware") == 1
    await browser.post(f"/firmware/{row['id']}/evict")
    assert await site.state_of(version) == "evicted"
    assert not records.parts_folder(row["id"]).exists()


@pytest.mark.feature("F-60")
async def test_a_program_looks_up_and_fetches_with_a_token(house_of: House, fus: Fus) -> None:
    await site.point_at(fus)
    user = await house_of.person("jana")
    scopes = ["firmware:read", "firmware:write"]
    made = await tokens.create_token(user, name="a script", scopes=scopes, possible=scopes)
    program = house_of.client()
    program.headers["Authorization"] = f"Bearer {made.text}"
    target = {"model": "SM-S921B", "csc": "EUX"}
    assert (await program.post("/api/v1/firmware/lookup", json=target)).status_code == 202

    async def known() -> str | None:
        answer = await program.get("/api/v1/firmware/versions", params=target)
        found: str | None = answer.json()["newest"]
        return found

    version = await site.until(known)
    wanted = {**target, "version": version, "parts": ["BL"]}
    assert (await program.post("/api/v1/firmware/requests", json=wanted)).status_code == 202
    await site.fetched(version, "partial")
    listed = (await program.get("/api/v1/firmware")).json()["firmware"]
    assert [each["state"] for each in listed] == ["partial"]
