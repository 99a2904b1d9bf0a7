"""The guarded clients: limits, proxies, faults, and that there are no others."""

import asyncio
import gzip
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpcore
import httpx
import pytest

from app.core import guard, outbound, paths, settings
from app.core.errors import Upstream
from db.engine import ApswEngine
from tests.app.core.conftest import Lines, Server, answer

pytestmark = pytest.mark.anyio

Serve = Callable[..., Awaitable[Server]]


def _answers(*addresses: str) -> guard.Resolve:
    """A resolver that gives these answers to every question."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


async def test_the_setting_names_places_per_purpose(house: ApswEngine) -> None:
    await settings.put(
        "outbound.allow", "indexer 10.1.1.5:9696, indexer 10.0.0.0/8, plex a:1", "u1"
    )
    assert await outbound.allowed("indexer") == ("10.1.1.5:9696", "10.0.0.0/8")
    assert await outbound.allowed("llm") == ()


async def test_other_schemes_and_ports_are_refused_before_any_look_up(serve: Serve) -> None:
    async def never(host: str, port: int) -> list[str]:
        raise AssertionError("looked up")

    async with outbound.client("test", ports=outbound.USER_PORTS, resolve=never) as client:
        for url in (
            "ftp://x.example/",
            "file:///etc/passwd",
            "http://x.example:22/",
            "https://x.example:80443/x",
        ):
            with pytest.raises((Upstream, httpx.InvalidURL)):
                await client.get(url)


async def test_an_address_typed_by_a_user_may_use_the_two_web_ports(serve: Serve) -> None:
    rules = guard.Rules("test", ["nas:8080"], outbound.USER_PORTS)
    for url in ("http://x/", "https://x/", "http://x:443/", "http://nas:8080/"):
        rules.check_url(httpx.URL(url))
    with pytest.raises(Upstream, match="port 8080"):
        rules.check_url(httpx.URL("http://x:8080/"))


async def test_variables_of_the_environment_name_no_proxy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = await serve(), await serve()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    async with outbound.client("test", allow=[server.place, proxy.place]) as client:
        await client.get(server.url)
    assert (server.connections, proxy.connections) == (1, 0)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_the_address_of_a_proxy_is_checked_too(serve: Serve, scheme: str) -> None:
    proxy = await serve()
    async with outbound.client("test", proxy=f"{scheme}://127.0.0.1:{proxy.port}") as client:
        with pytest.raises(Upstream, match="not public"):
            await client.get("http://x.example/")
    assert proxy.connections == 0


async def test_an_allowed_proxy_is_used_but_not_to_reach_a_private_address(serve: Serve) -> None:
    proxy = await serve(lambda _: answer(b"by proxy"))
    async with outbound.client(
        "test", proxy=f"http://ada:pw@{proxy.place}", allow=[proxy.place]
    ) as client:
        assert (await client.get("http://x.example/")).text == "by proxy"
        for host in ("127.0.0.1", "[::1]", "2130706433", "169.254.169.254"):
            with pytest.raises(Upstream, match="not public"):
                await client.get(f"http://{host}/")
    assert proxy.heads[0].startswith("GET http://x.example/ HTTP/1.1")
    assert "proxy-authorization: basic" in proxy.heads[0].lower()
    assert len(proxy.heads) == 1


async def test_we_say_who_we_are(serve: Serve) -> None:
    server = await serve()
    async with outbound.client("test", allow=[server.place], headers={"X-Own": "1"}) as client:
        await client.get(server.url)
    assert f"User-Agent: Holdfast/{paths.version()}\r\n" in server.heads[0]
    assert "X-Own: 1" in server.heads[0]


async def test_a_body_too_long_is_cut_off_also_if_it_was_small_on_the_wire(serve: Serve) -> None:
    bomb = gzip.compress(bytes(5_000_000))
    server = await serve(lambda _: answer(bomb, "200 OK", "Content-Encoding: gzip"))
    assert len(bomb) < 10_000
    async with outbound.client("test", allow=[server.place], limit_bytes=4_999_999) as client:
        with pytest.raises(Upstream) as caught:
            await client.get(server.url)
        assert (caught.value.code, caught.value.retry) == ("too_large", False)
        async with client.stream("GET", server.url) as response:
            with pytest.raises(Upstream):
                await outbound.read_capped(response, 1000)
    async with outbound.client("test", allow=[server.place], limit_bytes=5_000_000) as client:
        assert len((await client.get(server.url)).content) == 5_000_000
        async with client.stream("GET", server.url) as response:
            assert len(await outbound.read_capped(response, 5_000_000)) == 5_000_000


async def test_no_more_than_a_few_calls_at_once_go_to_one_host(serve: Serve) -> None:
    open_now, most = 0, 0

    async def slowly(_: bytes) -> bytes:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.01)
        open_now -= 1
        return answer()

    server = await serve(slowly)
    async with outbound.client("test", allow=[server.place], per_host=2) as client:
        answers = await asyncio.gather(*(client.get(server.url) for _ in range(6)))
    assert [response.status_code for response in answers] == [200] * 6
    assert most == 2


async def test_a_call_given_up_gives_its_place_back(serve: Serve) -> None:
    async def never(_: bytes) -> bytes:
        await asyncio.sleep(3600)
        return b""

    silent, server = await serve(never), await serve()
    allow = [silent.place, server.place]
    async with outbound.client("test", allow=allow, per_host=1, timeout_s=0.02) as client:
        for _ in range(3):
            with pytest.raises(Upstream) as caught, outbound.faults("silent"):
                await client.get(silent.url)
            assert caught.value.code == "timeout"
        task = asyncio.ensure_future(client.get(silent.url))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get(server.url)).text == "ok"


async def test_an_exchange_that_drips_for_ever_ends_in_total(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with outbound.client("test", allow=[place], total_s=0.1) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://{place}/")
    server.close()


async def test_faults_say_what_is_worth_another_try(serve: Serve) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    closed.close()
    rude = await serve(lambda _: b"nonsense\r\n\r\n")
    cases = [
        (f"http://{nobody}/", "unreachable", True),
        (rude.url, "broken", True),
        ("http://x\x00/", "bad_url", False),
    ]
    async with outbound.client("test", allow=[nobody, rude.place]) as client:
        for url, code, retry in cases:
            with pytest.raises(Upstream, match=r"^Portal: ") as caught, outbound.faults("Portal"):
                await client.get(url)
            assert (caught.value.code, caught.value.retry) == (code, retry)


@pytest.mark.parametrize(
    ("status", "retry"),
    [
        (400, False),
        (401, False),
        (404, False),
        (302, False),
        (408, True),
        (429, True),
        (500, True),
        (503, True),
    ],
)
async def test_a_status_that_is_no_success_is_an_upstream_fault(status: int, retry: bool) -> None:
    with pytest.raises(Upstream) as caught:
        outbound.check_status("Portal", httpx.Response(status))
    assert (caught.value.code, caught.value.retry) == (f"http_{status}", retry)
    outbound.check_status("Portal", httpx.Response(204))


async def test_in_demo_mode_nothing_leaves_the_machine(serve: Serve) -> None:
    server = await serve()
    guard.local_only(on=True)
    try:
        async with outbound.client("test", allow=[server.place]) as client:
            assert (await client.get(server.url)).text == "ok"
        for allow, address in (([], "8.8.8.8"), (["8.8.8.0/24"], "8.8.8.8"), ([], "127.0.0.1")):
            async with outbound.client("test", allow=allow, resolve=_answers(address)) as client:
                with pytest.raises(Upstream):
                    await client.get("http://x.example/")
    finally:
        guard.local_only(on=False)


async def test_a_refusal_is_logged_without_path_or_query(lines: Lines) -> None:
    async with outbound.client("plex") as client:
        with pytest.raises(Upstream):
            await client.get("http://127.0.0.1:1/private/path?q=visible")
    (line,) = [line for line in lines.read() if line["event"] == "outbound.refused"]
    assert (line["purpose"], line["host"]) == ("plex", "127.0.0.1")
    assert "visible" not in lines.text
    assert "/private" not in lines.text


async def test_the_place_of_the_guard_inside_httpx_still_exists() -> None:
    """If this fails, httpx or httpcore changed inside and NO address is checked any more."""
    for proxy in (None, "http://192.0.2.1:1", "socks5://192.0.2.1:1"):
        async with outbound.client("test", proxy=proxy) as client:
            pool = client._transport._pool  # type: ignore[attr-defined]
            assert isinstance(pool, httpcore.AsyncConnectionPool)
            assert isinstance(pool._network_backend, guard.Backend)
            made = pool.create_connection(httpcore.Origin(b"http", b"x.example", 80))
            inner: Any = getattr(made, "_connection", None) or made
            assert isinstance(inner._network_backend, guard.Backend)


@pytest.mark.feature("X-15")
async def test_nobody_else_builds_a_client() -> None:
    building = re.compile(
        r"httpx\.(Async)?Client\(|httpx\.(get|post|request|stream)\(|urlopen\(|import requests"
    )
    found = [
        str(file.relative_to(paths.ROOT))
        for folder in ("app", "jobs", "db")
        for file in sorted((paths.ROOT / folder).rglob("*.py"))
        if building.search(file.read_text()) and file.name != "outbound.py"
    ]
    assert not found
