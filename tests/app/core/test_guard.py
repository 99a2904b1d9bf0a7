"""The address guard: real servers on loopback that must, or must not, be reached."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from app.core import guard, outbound
from app.core.errors import Upstream
from tests.app.core.conftest import Server, answer

pytestmark = pytest.mark.anyio

Serve = Callable[..., Awaitable[Server]]


def _answers(*addresses: str) -> guard.Resolve:
    """A resolver that gives these answers to every question."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


# One address of every special-purpose range (IANA registries of IPv4 and IPv6).
PRIVATE = [
    "0.0.0.0",  # noqa: S104 - nobody listens there
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.171",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "nonsense",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.32.0.1",
    "::ffff:8.8.8.8",
    "2606:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.feature("X-15")
@pytest.mark.parametrize("address", PRIVATE)
async def test_no_special_address_is_public(address: str) -> None:
    assert not guard.is_public(address)
    async with outbound.client("test", resolve=_answers(address)) as client:
        with pytest.raises(Upstream) as caught:
            await client.get("http://innocent.example/")
    assert (caught.value.code, caught.value.retry) == ("forbidden_host", False)


@pytest.mark.parametrize("address", PUBLIC)
async def test_ordinary_addresses_are_public(address: str) -> None:
    assert guard.is_public(address)


@pytest.mark.feature("X-15")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "127.0.0.1.",
        "①②⑦.⓪.⓪.①",
        "user:pw@127.0.0.1",
    ],
)
async def test_no_spelling_of_loopback_reaches_a_server_there(serve: Serve, host: str) -> None:
    trap = await serve()
    async with outbound.client("test") as client:
        with pytest.raises((Upstream, httpx.ConnectError, httpx.InvalidURL)) as caught:
            await client.get(f"http://{host}:{trap.port}/")
    assert trap.connections == 0
    if host in {"127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"}:
        assert isinstance(caught.value, Upstream)  # refused, not merely unknown to this resolver


@pytest.mark.feature("X-15")
async def test_a_name_with_a_public_and_a_private_answer_is_refused(serve: Serve) -> None:
    trap = await serve()
    for answers in (("8.8.8.8", "127.0.0.1"), ("127.0.0.1", "8.8.8.8")):
        async with outbound.client("test", resolve=_answers(*answers)) as client:
            with pytest.raises(Upstream, match="not public"):
                await client.get(f"http://two.example:{trap.port}/")
    assert trap.connections == 0


@pytest.mark.feature("X-15")
async def test_a_name_that_changes_its_answer_after_the_check_gains_nothing(serve: Serve) -> None:
    trap = await serve()
    asked = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        # TEST-NET is made public by the allow list below; a second look-up would lead home.
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    async with outbound.client(
        "test", resolve=rebinding, allow=["192.0.2.0/24"], timeout_s=0.2
    ) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://moving.example:{trap.port}/")
        with pytest.raises(Upstream):
            await client.get(f"http://moving.example:{trap.port}/")
    assert len(asked) == 2  # once for each request: what was checked is what was connected to
    assert trap.connections == 0


@pytest.mark.feature("X-15")
async def test_a_redirect_is_not_followed_unless_asked_and_then_checked(serve: Serve) -> None:
    trap = await serve()
    door = await serve(lambda _: answer(b"", "302 Found", f"Location: {trap.url}/"))
    async with outbound.client("test", allow=[door.place]) as client:
        assert (await client.get(door.url)).status_code == 302
    async with outbound.client("test", allow=[door.place], follow=3) as client:
        with pytest.raises(Upstream, match="not public"):
            await client.get(door.url)
    assert trap.connections == 0
    async with outbound.client("test", allow=[door.place, trap.place], follow=3) as client:
        assert (await client.get(door.url)).text == "ok"


async def test_redirects_end_after_as_many_as_were_allowed(serve: Serve) -> None:
    door: Server = await serve(lambda _: answer(b"", "302 Found", "Location: /"))
    async with outbound.client("test", allow=[door.place], follow=2) as client:
        with pytest.raises(Upstream) as caught, outbound.faults("door"):
            await client.get(door.url)
    assert (caught.value.code, len(door.heads)) == ("redirects", 3)


async def test_an_allowed_place_is_that_host_and_port_and_no_other(serve: Serve) -> None:
    server, neighbour = await serve(), await serve()
    async with outbound.client("test", allow=[f"LocalHost:{server.port}"]) as client:
        assert (await client.get(f"http://localhost:{server.port}/")).text == "ok"
        for url in (f"http://localhost:{neighbour.port}/", server.url):
            with pytest.raises(Upstream):
                await client.get(url)
    assert neighbour.connections == 0


async def test_an_allowed_network_covers_its_addresses_under_any_name(serve: Serve) -> None:
    server = await serve()
    async with outbound.client("test", allow=["127.0.0.0/8"], resolve=_answers("127.0.0.1")) as c:
        assert (await c.get(f"http://nas.home:{server.port}/")).text == "ok"
    async with outbound.client("test", allow=["127.0.0.0/8"], resolve=_answers("::1")) as c:
        with pytest.raises(Upstream):
            await c.get(f"http://nas.home:{server.port}/")


@pytest.mark.parametrize(
    "entry", ["localhost", "::1", "http://x:1", "x:1/a", "u@x:1", "", "x:", "1.2.3.4/99"]
)
async def test_an_allowed_place_without_a_port_is_a_mistake(entry: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - ipaddress words its own
        outbound.client("test", allow=[entry])


async def test_every_range_is_denied_from_its_first_to_its_last_address() -> None:
    for net in guard._DENIED:
        assert not guard.is_public(str(net[0]))
        assert not guard.is_public(str(net[-1]))
