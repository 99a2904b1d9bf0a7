"""Every misbehaviour that the stand-in FUS can be ordered to, as a client sees it."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from lxml import etree

from app.demo.fus.serve import Fus, running_fus
from tests.app.demo.fus_steps import CSC, MODEL, VERSION, Customer, body, read

pytestmark = pytest.mark.anyio
KIB = 1024


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Fus]:
    async with running_fus(size=256 * KIB) as fus:
        yield fus


@pytest.fixture
def fus(running: Fus) -> Fus:
    running.reset()
    return running


@pytest.fixture
async def http(fus: Fus) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=fus.url, timeout=10) as client:
        yield client


@pytest.fixture
def smart(http: httpx.AsyncClient) -> Customer:
    return Customer(http)


@pytest.fixture
async def ready(smart: Customer) -> Customer:
    await smart.ready()
    return smart


async def whole(fus: Fus) -> bytes:
    return fus.path(await fus.file(MODEL)).read_bytes()


def files(fus: Fus) -> dict[str, int]:
    """The counts of the one file that was served."""
    (counts,) = fus.stats()["files"].values()
    return {name: counts[name] for name in ("gets", "bytes", "once", "again")}


async def test_no_byte_is_counted_twice_but_those_sent_twice(ready: Customer, fus: Fus) -> None:
    await ready.get(0, 1000)
    await ready.get(1000, 3000)
    await ready.get(5000, 6000)
    assert files(fus) == {"gets": 3, "bytes": 4000, "once": 4000, "again": 0}
    (counts,) = fus.stats()["files"].values()
    assert counts["ranges"] == [[0, 3000], [5000, 6000]]
    await ready.get(2990, 3010)
    assert files(fus) == {"gets": 4, "bytes": 4020, "once": 4010, "again": 10}
    lines = [line for line in fus.log() if line["kind"] == "bytes"]
    assert [(line["start"], line["stop"], line["sent"], line["done"]) for line in lines] == [
        (0, 1000, 1000, True),
        (1000, 3000, 2000, True),
        (5000, 6000, 1000, True),
        (2990, 3010, 20, True),
    ]


@pytest.mark.feature("F-63")
async def test_a_line_is_cut_at_the_byte_and_goes_on_from_there(ready: Customer, fus: Fus) -> None:
    fus.scenario("drop", after=70_001, times=1)
    first = await ready.take(0, ready.size)
    assert len(first) == 70_001
    rest = await ready.take(len(first), ready.size)
    assert first + rest == await whole(fus)
    assert files(fus) == {"gets": 2, "bytes": ready.size, "once": ready.size, "again": 0}


async def test_a_line_is_reset(ready: Customer, fus: Fus) -> None:
    fus.scenario("drop", after=10, reset=True)
    assert len(await ready.take(0, ready.size)) <= 10


async def test_a_short_answer_uses_up_no_drop(ready: Customer, fus: Fus) -> None:
    fus.scenario("drop", after=100, times=1)
    assert len(await ready.take(0, 100)) == 100
    assert len(await ready.take(0, 101)) == 100
    assert len(await ready.take(0, 101)) == 101


async def test_a_pause_in_the_middle(ready: Customer, fus: Fus) -> None:
    fus.scenario("pause", after=1000, s=600)
    ready.http.timeout = httpx.Timeout(0.2)
    async with asyncio.timeout(5):
        assert len(await ready.take(0, ready.size)) == 1000
        # who hung up is no open stream any more
        while fus.stats()["streams"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert files(fus) == {"gets": 1, "bytes": 1000, "once": 1000, "again": 0}


async def test_the_token_expires_in_mid_download(ready: Customer, fus: Fus) -> None:
    fus.scenario("expire", after=150_000, times=1)
    first = await ready.take(0, 100_000)
    second = await ready.take(100_000, ready.size)
    assert (len(first), len(second)) == (100_000, 50_000)
    assert (await ready.get(150_000)).status_code == 401
    assert read(await ready.ask("BinaryInform", {}))[0] == "401"
    await ready.greet()
    assert await ready.init() == "S00"
    rest = await ready.take(150_000, ready.size)
    assert first + second + rest == await whole(fus)
    assert files(fus)["again"] == 0


async def test_one_byte_comes_out_changed_once(ready: Customer, fus: Fus) -> None:
    right = await whole(fus)
    fus.scenario("corrupt", offset=100_000, times=1)
    assert await ready.take(0, 100_000) == right[:100_000]
    wrong = await ready.take(50_000, ready.size)
    assert [n for n, (a, b) in enumerate(zip(wrong, right[50_000:], strict=True)) if a != b] == [
        50_000
    ]
    assert await ready.take(0, ready.size) == right


async def test_a_slow_line_trickles_until_it_is_told_otherwise(ready: Customer, fus: Fus) -> None:
    fus.scenario("slow", rate=20)
    got = bytearray()
    headers = ready.headers(ready.shown)
    async with ready.http.stream("GET", ready.url, headers=headers) as answer:
        async for chunk in answer.aiter_raw():
            if not got:
                # a thousand bytes would have taken it most of a minute
                assert files(fus)["bytes"] < 1000
                fus.scenario("ok")
            got += chunk
    assert bytes(got) == await whole(fus)


async def test_a_range_is_ignored(ready: Customer, fus: Fus) -> None:
    fus.scenario("ignore_range")
    answer = await ready.get(100, 200)
    assert (answer.status_code, answer.content) == (200, await whole(fus))
    assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    ("name", "params", "start", "stop"),
    [
        ("wrong_range", {"after": 50}, 150, 200),
        ("short_range", {"after": 10}, 100, 110),
        ("overrun", {"after": 30}, 100, 230),
    ],
)
async def test_ranges_that_were_not_asked_for(
    ready: Customer, fus: Fus, name: str, params: dict[str, int], start: int, stop: int
) -> None:
    fus.scenario(name, **params)
    answer = await ready.get(100, 200)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{ready.size}"
    assert answer.content == (await whole(fus))[start:stop]


async def test_an_answer_without_its_range(ready: Customer, fus: Fus) -> None:
    fus.scenario("no_content_range")
    answer = await ready.get(100, 200)
    assert answer.status_code == 206
    assert "content-range" not in answer.headers


async def test_headers_of_bytes_that_lie(ready: Customer, fus: Fus) -> None:
    right = (await ready.get(0, 16)).headers["content-md5"]
    fus.scenario("wrong_content_md5", times=1)
    assert (await ready.get(0, 16)).headers["content-md5"] != right
    fus.scenario("no_content_md5", times=1)
    assert "content-md5" not in (await ready.get(0, 16)).headers
    fus.scenario("text_type", times=1)
    assert (await ready.get(0, 16)).headers["content-type"] == "text/html"
    fus.scenario("not_found", times=1)
    assert (await ready.get(0, 16)).status_code == 404
    assert (await ready.get(0, 16)).status_code == 206


@pytest.mark.parametrize("status", [403, 200, 206])
async def test_a_block_page_in_place_of_bytes(ready: Customer, fus: Fus, status: int) -> None:
    fus.scenario("block_page", at="bytes", status=status, times=1)
    answer = await ready.get(0, 16)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html"
    assert "Incapsula" in answer.text
    assert fus.stats()["bytes"] == 0
    assert (await ready.get(0, 16)).status_code == 206


@pytest.mark.parametrize("place", ["nonce", "inform", "init", "fota", "history", "bytes"])
async def test_outages_hit_the_place_they_are_meant_for(
    ready: Customer, fus: Fus, place: str
) -> None:
    asks: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
        "nonce": ready.greet,
        "inform": lambda: ready.ask("BinaryInform", {}),
        "init": lambda: ready.ask("BinaryInitForMass", {}),
        "fota": lambda: ready.http.get(f"/firmware/{CSC}/{MODEL}/version.xml"),
        "history": lambda: ready.http.post(
            "/SmartHistory.do", headers=ready.headers(), content=body({})
        ),
        "bytes": lambda: ready.get(0, 16),
    }
    fus.scenario("rate_limit", at=place, status=503, retry_after=7)
    for name, ask in asks.items():
        answer = await ask()
        assert (answer.status_code == 503) is (name == place)
        assert answer.headers.get("retry-after") == ("7" if name == place else None)
    fus.reset()
    await ready.ready()
    fus.scenario("unauthorized", at=place, times=1)
    assert (await asks[place]()).status_code == 401
    fus.scenario("error_500", at=place, times=1)
    assert (await asks[place]()).status_code == 500
    fus.scenario("cut", at=place, times=1)
    with pytest.raises(httpx.TransportError):
        await asks[place]()


async def test_a_fault_may_be_meant_for_one_model(ready: Customer, fus: Fus) -> None:
    fus.scenario("status", code="405", model="SM-A146P")
    assert (await ready.inform())[0] == "200"
    fus.scenario("status", code="S01", model=MODEL)
    assert (await ready.inform())[0] == "S01"


async def test_an_answer_that_waits(ready: Customer, fus: Fus) -> None:
    fus.scenario("stall", at="inform", s=600, times=1)
    with pytest.raises(httpx.ReadTimeout):
        await ready.http.post(
            ready.path("BinaryInform"), headers=ready.headers(), content=b"<FUSMsg/>", timeout=0.1
        )
    assert (await ready.inform())[0] == "200"


async def test_answers_that_are_no_xml(ready: Customer, fus: Fus) -> None:
    fus.scenario("bad_xml", times=1)
    with pytest.raises(etree.XMLSyntaxError):
        await ready.inform()
    fus.scenario("gzip_garbage", at="inform", times=1)
    with pytest.raises(httpx.DecodingError):
        await ready.inform()
    fus.scenario("huge", size=300_000, times=1)
    answer = await ready.ask("BinaryInform", {})
    assert len(answer.content) == 300_000


async def test_a_bomb_of_entities(http: httpx.AsyncClient, fus: Fus) -> None:
    fus.scenario("xml_bomb")
    text = (await http.get(f"/firmware/{CSC}/{MODEL}/version.xml")).text
    assert text.count("<!ENTITY") == 14
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(text.encode())
    assert len(gzip.compress(text.encode())) < 1000


async def test_what_inform_may_lie_about(ready: Customer, fus: Fus) -> None:
    _, honest = await ready.inform()
    lies = {
        "wrong_crc": ({}, "BINARY_CRC", str(int(honest["BINARY_CRC"]) ^ 1)),
        "no_crc": ({}, "BINARY_CRC", ""),
        "empty_binary": ({}, "BINARY_NAME", ""),
        "binary_name": ({}, "BINARY_NAME", "../../../tmp/evil.zip.enc4"),
        "binary_size": ({"size": 17}, "BINARY_BYTE_SIZE", "17"),
        "short_logic": ({}, "LOGIC_VALUE_FACTORY", "short"),
    }
    for name, (params, field, value) in lies.items():
        fus.scenario(name, times=1, **params)
        _, info = await ready.inform()
        assert info[field] == value
    fus.scenario("binary_size", times=1)
    _, info = await ready.inform()
    assert int(info["BINARY_BYTE_SIZE"]) > 64 * 1024**3
    assert (await ready.inform())[1] == honest


async def test_another_build_than_asked_is_served(ready: Customer, fus: Fus) -> None:
    fus.scenario("served_version", times=2)
    before = "S921BXXUACYJ8/S921BOXMACYJ8/S921BXXUACYJ8/S921BXXUACYJ8"
    _, info = await ready.inform()
    assert info["BINARY_SW_VERSION"] == info["LATEST_FW_VERSION"] == before
    old = (
        VERSION.replace("SBCZD4", "S3AXG5").replace("MBCZD4", "M3AXG5").replace("SBCZD1", "S3AXG2")
    )
    fus.scenario("served_version", version=old, times=1)
    assert (await ready.inform())[1]["BINARY_SW_VERSION"] == old
    assert (await ready.inform())[1]["BINARY_SW_VERSION"] == VERSION


async def test_nonces_that_are_none(smart: Customer, fus: Fus) -> None:
    fus.scenario("no_nonce", times=1)
    assert "nonce" not in (await smart.greet()).headers
    fus.scenario("bad_nonce", times=1)
    assert (await smart.greet()).headers["nonce"] == "no nonce"


async def test_kies_goes_over_to_keys_nobody_knows(http: httpx.AsyncClient, fus: Fus) -> None:
    kies = Customer(http, kies=True)
    await kies.ready()
    fus.scenario("rotate_keys")
    with pytest.raises(ValueError, match="padding"):
        await kies.greet()
    kies.keys = (b"nextgeneration0fkeys1nthestand1n", b"n0b0dyknowsthis1")
    await kies.ready()
    assert (await kies.get(0, 16)).status_code == 206


async def test_kies_goes_back_to_old_keys(http: httpx.AsyncClient, fus: Fus) -> None:
    fus.scenario("rotate_keys", generation=0)
    old = (b"hqzdurufm2c8mf6bsjezu1qgveouv7c7", b"w13r4cvf4hctaujv")
    await Customer(http, kies=True, keys=old).ready()


async def test_smart_signs_with_another_key(smart: Customer, fus: Fus) -> None:
    fus.scenario("smart_key", key="00" * 16)
    await smart.greet()
    assert (await smart.inform())[0] == "401"


async def test_versions_that_are_missing(http: httpx.AsyncClient, fus: Fus) -> None:
    url = f"/firmware/{CSC}/{MODEL}/version.xml"
    fus.scenario("fota_denied", times=1)
    assert (await http.get(url)).status_code == 403
    fus.scenario("empty_latest", times=1)
    assert "<latest/>" in (await http.get(url)).text
    assert "SBCZD4" in (await http.get(url)).text


async def test_connections_at_once_are_counted(ready: Customer, fus: Fus) -> None:
    fus.scenario("pause", after=0, s=0.05)
    await asyncio.gather(*(ready.get(n * 100, n * 100 + 100) for n in range(4)))
    stats = fus.stats()
    assert stats["peak_streams"] == 4
    assert stats["streams"] == 0
    assert files(fus)["again"] == 0
