"""The control plane of the stand-in FUS, over HTTP, and the stand-in as its own process."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from app.demo.fus.serve import Fus, running_fus, running_fus_process
from tests.app.demo.fus_steps import CSC, MODEL, Customer
from tests.certificate import certificate

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
async def control(fus: Fus) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {fus.control_token}"}
    async with httpx.AsyncClient(base_url=fus.url, headers=headers) as client:
        yield client


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong"])
@pytest.mark.parametrize("path", ["/__log", "/__stats", "/__scenario", "/__reset", "/__file"])
async def test_without_the_token_there_is_no_control(fus: Fus, path: str, token: str) -> None:
    async with httpx.AsyncClient(base_url=fus.url) as client:
        answer = await client.post(path, headers={"authorization": token}, json={})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/__scenario", "/__faults"])
async def test_an_order_holds_so_often_as_said(control: httpx.AsyncClient, path: str) -> None:
    order = {"name": "error_500", "times": 2, "params": {"at": "fota", "status": 502}}
    assert (await control.post(path, json=order)).status_code == 200
    url = f"/firmware/{CSC}/{MODEL}/version.xml"
    assert [(await control.get(url)).status_code for _ in range(3)] == [502, 502, 200]


async def test_orders_add_up_and_ok_ends_them(control: httpx.AsyncClient) -> None:
    await control.post("/__scenario", json={"name": "empty_latest"})
    await control.post("/__scenario", json={"name": "empty_history"})
    url = f"/firmware/{CSC}/{MODEL}/version.xml"
    assert "<latest/>" in (await control.get(url)).text
    await control.post("/__scenario", json={"name": "ok"})
    assert "<latest/>" not in (await control.get(url)).text


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"name": "no_such_thing"},
        {"name": "drop", "times": 0},
        {"name": "drop", "time": 1},
        {"name": "drop", "params": {"at": "roof"}},
        {"name": "drop", "params": {"aftr": 1}},
        {"name": "archive", "params": {"kind": "odd"}},
        {"name": "archive", "params": {"part": "PIT"}},
        {"name": "slow", "params": {"rate": 0}},
    ],
)
async def test_an_order_with_a_mistake_is_refused(
    control: httpx.AsyncClient, order: dict[str, Any]
) -> None:
    assert (await control.post("/__scenario", json=order)).status_code == 422


async def test_every_scenario_says_what_it_does(control: httpx.AsyncClient) -> None:
    listed = (await control.get("/__scenarios")).json()
    assert {"drop", "expire", "archive", "rotate_keys", "block_page"} <= listed.keys()
    assert all(entry["does"] and entry["at"] for entry in listed.values())
    assert (await control.get("/__nothing")).status_code == 404


async def test_a_file_is_baked_on_request(control: httpx.AsyncClient, fus: Fus) -> None:
    facts = (await control.post("/__file", json={"model": MODEL})).json()
    assert facts["size"] == fus.path(await fus.file(MODEL)).stat().st_size
    assert [member["part"] for member in facts["members"]] == ["BL", "AP", "CP", "CSC", "HOME_CSC"]
    for wrong in ({"model": "SM-Z999X"}, {"model": MODEL, "version": "A/B/C/D"}):
        assert (await control.post("/__file", json=wrong)).status_code == 422


async def test_reset_forgets_all_but_the_files(control: httpx.AsyncClient, fus: Fus) -> None:
    customer = Customer(control)
    async with httpx.AsyncClient(base_url=fus.url) as client:
        customer = Customer(client)
        await customer.ready()
        await customer.get(0, 16)
        await control.post("/__scenario", json={"name": "error_500"})
        assert (await control.get("/__log")).json()
        assert (await control.post("/__reset")).status_code == 200
        assert (await control.get("/__log")).json() == []
        assert (await control.get("/__stats")).json()["bytes"] == 0
        assert (await customer.get(0, 16)).status_code == 401
        await customer.ready()
        assert (await customer.get(0, 16)).status_code == 206


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1 more\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
    ],
)
async def test_what_is_no_request_is_refused(fus: Fus, head: bytes, status: int) -> None:
    url = httpx.URL(fus.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head)
    line = await reader.readline()
    writer.close()
    assert line.split()[1] == str(status).encode()


async def test_who_tries_https_is_hung_up_on_at_once(fus: Fus) -> None:
    url = fus.url.replace("http:", "https:")
    async with httpx.AsyncClient(verify=False) as client, asyncio.timeout(5):  # noqa: S501
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_it_speaks_tls_with_a_certificate(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1")
    trust = ssl.create_default_context(cafile=cert)
    async with (
        running_fus(size=64 * 1024, certificate=(cert, key)) as fus,
        httpx.AsyncClient(base_url=fus.url, verify=trust) as client,
    ):
        customer = Customer(client)
        await customer.ready()
        answer = await customer.get()
        assert answer.content == fus.path(await fus.file(MODEL)).read_bytes()
        assert fus.stats()["bytes"] == customer.size


async def test_it_runs_as_its_own_process_until_told_to_stop(tmp_path: Path) -> None:
    options = ("--token", "secret", "--folder", str(tmp_path), "--size", "65536", "--bake", MODEL)
    async with running_fus_process(*options) as fus:
        assert fus.control_token == "secret"
        assert len(list(tmp_path.glob("*.bin"))) == 1
        url = fus.profile["fota_url"].format(csc=CSC, model=MODEL)
        async with httpx.AsyncClient(base_url=fus.url) as client:
            assert (await client.get(url)).status_code == 200
            customer = Customer(client)
            await customer.ready()
            assert len((await customer.get()).content) == customer.size
            stats = await client.get("/__stats", headers={"authorization": "Bearer secret"})
            assert stats.json()["bytes"] == customer.size
    assert fus.process.returncode == 0


def test_it_runs_on_the_loop_of_the_program() -> None:
    """That loop is uvloop, which has no sendfile."""

    async def fetch() -> tuple[bytes, bytes, int]:
        async with (
            running_fus(size=3 * 1024 * 1024) as fus,
            httpx.AsyncClient(base_url=fus.url, timeout=30) as client,
        ):
            customer = Customer(client)
            await customer.ready()
            fus.scenario("drop", after=1_500_000, times=1)
            got = await customer.take(0, customer.size)
            got += await customer.take(len(got), customer.size)
            (counts,) = fus.stats()["files"].values()
            return got, fus.path(await fus.file(MODEL)).read_bytes(), counts["again"]

    got, right, again = uvloop.run(fetch())
    assert got == right
    assert again == 0


async def test_it_stops_while_someone_is_waiting() -> None:
    async with running_fus(size=64 * 1024) as fus, httpx.AsyncClient(base_url=fus.url) as client:
        customer = Customer(client)
        await customer.ready()
        fus.scenario("pause", after=10, s=600)
        waiting = asyncio.ensure_future(customer.take(0, 100))
        while not fus.stats()["streams"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert len(await waiting) <= 10
