"""The stand-in FUS speaks both protocols, and refuses what the real one refuses."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from app.demo.fus.serve import Fus, running_fus
from tests.app.demo.fus_steps import (
    CSC,
    EUX,
    MODEL,
    VERSION,
    Customer,
    pick,
    read,
    why,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Fus]:
    async with running_fus(size=256 * 1024) as fus:
        yield fus


@pytest.fixture
def fus(running: Fus) -> Fus:
    running.reset()
    return running


@pytest.fixture
async def http(fus: Fus) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=fus.url) as client:
        yield client


@pytest.fixture(params=[False, True], ids=["smart", "kies"])
def customer(http: httpx.AsyncClient, request: pytest.FixtureRequest) -> Customer:
    return Customer(http, kies=request.param)


@pytest.fixture
def smart(http: httpx.AsyncClient) -> Customer:
    return Customer(http)


@pytest.fixture
def kies(http: httpx.AsyncClient) -> Customer:
    return Customer(http, kies=True)


@pytest.mark.feature("F-63")
async def test_both_protocols_lead_to_the_bytes(customer: Customer, fus: Fus) -> None:
    await customer.greet()
    status, info = await customer.inform()
    assert status == "200"
    assert info["LATEST_FW_VERSION"] == info["BINARY_SW_VERSION"] == VERSION
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,200}\.enc4", info["BINARY_NAME"])
    assert await customer.init() in ("200", "S00")
    answer = await customer.get()
    assert answer.status_code == 200
    assert len(answer.content) == customer.size
    assert fus.stats()["requests"] == {
        customer.path("GenerateNonce"): 1,
        customer.path("BinaryInform"): 1,
        customer.path("BinaryInitForMass"): 1,
        customer.path("BinaryForMass"): 1,
    }


async def test_every_control_answer_brings_another_nonce(customer: Customer) -> None:
    seen = set()
    await customer.greet()
    seen.add(customer.nonce)
    for _ in range(3):
        await customer.inform()
        seen.add(customer.nonce)
    assert len(seen) == 4
    assert all(re.fullmatch(r"[a-z0-9]{16}", nonce) for nonce in seen)


async def test_a_used_nonce_is_good_for_no_second_control_request(
    customer: Customer, fus: Fus
) -> None:
    await customer.greet()
    old = customer.headers()
    fields = customer.inform_fields(MODEL, CSC, VERSION)
    assert (await customer.ask("BinaryInform", fields)).status_code == 200
    again = await customer.ask("BinaryInform", fields, headers=old)
    assert again.status_code == 401
    assert read(again)[0] == "401"
    assert why(fus.log()) == "signature"
    assert "nonce" not in again.headers


async def test_an_old_nonce_still_fetches_bytes_until_its_time_is_over(http: object) -> None:
    async with (
        running_fus(size=64 * 1024, token_ttl_s=0) as fus,
        httpx.AsyncClient(base_url=fus.url) as client,
    ):
        customer = Customer(client)
        await customer.ready()
        assert (await customer.get(0, 16)).status_code == 401
        assert why(fus.log()) == "expired"
        fus.state.token_ttl_s = 60
        shown, nonce = customer.shown, customer.nonce
        await customer.inform()
        customer.shown, customer.nonce = shown, nonce
        assert (await customer.get(0, 16)).status_code == 206


@pytest.mark.parametrize("signature", ["", "0" * 32, "not hex", "AAAA"])
async def test_a_wrong_signature_is_refused(customer: Customer, fus: Fus, signature: str) -> None:
    await customer.greet()
    fields = customer.inform_fields(MODEL, CSC, VERSION)
    answer = await customer.ask("BinaryInform", fields, customer.headers(signature=signature))
    assert (answer.status_code, read(answer)[0]) == (401, "401")
    assert why(fus.log()) == "signature"


async def test_a_session_is_bound_to_its_cookie(
    customer: Customer, http: httpx.AsyncClient, fus: Fus
) -> None:
    await customer.greet()
    http.cookies.clear()
    answer = await customer.ask("BinaryInform", customer.inform_fields(MODEL, CSC, VERSION))
    assert answer.status_code == 401
    assert why(fus.log()) == "session"


async def test_the_nonce_of_one_protocol_is_none_in_the_other(
    smart: Customer, kies: Customer, fus: Fus
) -> None:
    await smart.greet()
    kies.nonce = smart.nonce
    answer = await kies.ask("BinaryInform", kies.inform_fields(MODEL, CSC, VERSION))
    assert answer.status_code == 401
    assert why(fus.log()) == "token"


async def test_a_wrong_logic_check_is_400(customer: Customer) -> None:
    await customer.greet()
    status, info = await customer.inform(LOGIC_CHECK="x" * 16)
    assert (status, info) == ("400", {})
    await customer.inform()
    assert await customer.init(LOGIC_CHECK="x" * 16) == "400"


async def test_a_wrong_agent_meets_the_wall(customer: Customer) -> None:
    await customer.greet()
    headers = customer.headers() | {"user-agent": "python"}
    answer = await customer.ask("BinaryInform", {}, headers)
    assert answer.status_code == 403
    assert "Incapsula" in answer.text


async def test_no_bytes_before_init(customer: Customer, fus: Fus) -> None:
    await customer.greet()
    await customer.inform()
    assert (await customer.get(0, 16)).status_code == 401
    assert why(fus.log()) == "init"
    await customer.init()
    assert (await customer.get(0, 16)).status_code == 206
    customer.info["BINARY_NAME"] = "SM-A146P_1_20241128071521_0000000000_fac.zip.enc4"
    assert (await customer.get(0, 16)).status_code == 401


async def test_an_encoded_slash_is_405(customer: Customer, http: httpx.AsyncClient) -> None:
    await customer.ready()
    url = customer.url.replace("/neofus/910/", "%2Fneofus%2F910%2F")
    headers = customer.headers(customer.shown)
    assert (await http.get(url, headers=headers)).status_code == 405


@pytest.mark.parametrize(
    ("asked", "smart_says", "kies_says"),
    [
        ({"model": "SM-Z999X"}, "400", "400"),
        ({"csc": "ZZZ"}, "400", "400"),
        ({"version": VERSION.replace("CZD4", "CZD9")}, "F01", "400"),
        # announced, not opened yet
        ({"version": VERSION.replace("ZD4", "ZE2").replace("ZD1", "ZE2")}, "400", "400"),
        ({"ACCESS_MODE": "5"}, "400", "400"),
        ({"csc": "EUX"}, "400", "400"),
        ({"csc": "EUX", **EUX, "MCC_NUM": "220"}, "400", "400"),
    ],
)
async def test_what_is_not_served_has_a_status(
    customer: Customer, asked: dict[str, str], smart_says: str, kies_says: str
) -> None:
    await customer.greet()
    status, info = await customer.inform(**asked)
    assert status == (kies_says if customer.kies else smart_says)
    assert info == {}


async def test_eux_is_served_with_its_extras(customer: Customer) -> None:
    await customer.greet()
    assert (await customer.inform(csc="EUX", DEVICE_AID_CODE="EUX", **EUX))[0] == "200"


@pytest.mark.parametrize("version", [VERSION.rsplit("/", 2)[0], VERSION.rsplit("/", 1)[0]])
async def test_short_version_codes_mean_the_same_build(smart: Customer, version: str) -> None:
    await smart.greet()
    status, info = await smart.inform(version=version)
    # two parts leave the modem open, which is then the build itself: another code
    assert status == ("200" if version.count("/") == 2 else "F01")
    assert info.get("BINARY_SW_VERSION") == (VERSION if status == "200" else None)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("001012340000011", "200"),
        ("RFDEMO000A1", "200"),
        ("", "408"),
        ("001012340000012", "408"),  # check digit
        ("001012350000018", "408"),  # of another model
        ("00101234", "408"),
    ],
)
async def test_kies_wants_the_number_of_such_a_phone(
    kies: Customer, fus: Fus, number: str, status: str
) -> None:
    await kies.greet()
    assert (await kies.inform(DEVICE_IMEI_PUSH=number))[0] == status
    assert not number or number not in str(fus.log())


@pytest.mark.parametrize("name", ["CLIENT_PRODUCT", "CLIENT_VERSION"])
async def test_kies_wants_to_know_the_client(kies: Customer, name: str) -> None:
    await kies.greet()
    assert (await kies.inform(**{name: ""}))[0] == "400"


async def test_a_watch_is_served_by_smart_alone(smart: Customer, kies: Customer) -> None:
    version = "R930XXU1BXG3/R930OXX1BXG3/R930XXU1BXG3/R930XXU1BXG3"
    for customer, status in ((smart, "200"), (kies, "400")):
        await customer.greet()
        assert (await customer.inform("SM-R930", "DBT", version))[0] == status


async def test_init_wants_what_inform_said(smart: Customer) -> None:
    await smart.greet()
    await smart.inform()
    assert await smart.init(DEVICE_MODEL_TYPE="") == "400"
    assert await smart.init(BINARY_SW_VERSION="A/B/C/D") == "400"
    assert await smart.init() == "S00"
    smart.info["BINARY_NAME"] = "SM-S921B_1_20200101000000_0000000000_fac.zip.enc4"
    assert await smart.init() == "F01"


async def test_init_alone_is_enough_after_a_new_nonce(customer: Customer) -> None:
    await customer.ready()
    await customer.greet()
    assert (await customer.get(0, 16)).status_code == 401
    await customer.init()
    assert (await customer.get(0, 16)).status_code == 206


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-15", 206, 0, 16),
        ("bytes=16-", 206, 16, None),
        ("bytes=-32", 206, -32, None),
        ("bytes=0-99999999", 206, 0, None),
        ("bytes=5-2", 200, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
        ("lines=0-1", 200, 0, None),
    ],
)
async def test_ranges(
    smart: Customer, fus: Fus, asked: str, status: int, start: int, stop: int | None
) -> None:
    await smart.ready()
    whole = fus.path(await fus.file(MODEL)).read_bytes()
    headers = smart.headers(smart.shown) | {"range": asked}
    answer = await smart.http.get(smart.url, headers=headers)
    assert answer.status_code == status
    assert answer.content == whole[start:stop]
    first = start % len(whole)
    said = f"bytes {first}-{first + len(answer.content) - 1}/{len(whole)}"
    assert answer.headers.get("content-range") == (said if status == 206 else None)


async def test_beyond_the_end_is_416(smart: Customer) -> None:
    await smart.ready()
    answer = await smart.get(smart.size)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{smart.size}"


async def test_head_says_the_size_and_sends_nothing(smart: Customer, fus: Fus) -> None:
    await smart.ready()
    answer = await smart.http.head(smart.url, headers=smart.headers(smart.shown))
    assert int(answer.headers["content-length"]) == smart.size
    assert fus.stats()["bytes"] == 0


async def test_an_unknown_path_is_404(http: httpx.AsyncClient) -> None:
    assert (await http.get("/")).status_code == 404
    assert (await http.get("/NF_SmartDownloadBinaryInform.do")).status_code == 405


def test_the_customer_picks_as_described() -> None:
    assert pick("0123456789abcdef", "p!") == "01"
