"""Which addresses a client may reach, checked at the moment a connection is opened.

The check is on the addresses a name resolved to, and the connection goes to the very address that
was checked: odd spellings, redirects and names that change their answer all end here.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import httpcore
import httpx

from app.core.errors import Upstream
from app.core.logs import log

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

# Special-purpose ranges (IANA registries) that `is_global` of Python 3.11 takes for public, or
# later versions may.
_DENIED: Final = tuple(
    ipaddress.ip_network(text)
    for text in [
        "0.0.0.0/8",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "240.0.0.0/4",
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    ]
)

_local_only = False


def local_only(on: bool) -> None:
    """Demo mode: from now on clients reach loopback places on their allow list and nothing else."""
    global _local_only  # noqa: PLW0603 - the mode of the whole process
    _local_only = on


def is_local_only() -> bool:
    """Whether nothing may leave the machine; for what opens connections of its own."""
    return _local_only


async def lookup(host: str, port: int) -> list[str]:
    """Every address the system's resolver knows for `host`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(text: str) -> bool:
    """Whether an address may be called without being on an allow list."""
    try:
        address = _unwrapped(ipaddress.ip_address(text))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in ipaddress.ip_network(
        "2000::/3"
    ):
        return False
    special = any(address.version == net.version and address in net for net in _DENIED)
    return address.is_global and not address.is_multicast and not special


class Rules:
    """Which host, port and address one client may reach."""

    def __init__(self, purpose: str, allow: Iterable[str], ports: frozenset[int] | None) -> None:
        self.purpose = purpose
        self._ports = ports
        self._networks: list[IPNetwork] = []
        self._places: set[tuple[str, int]] = set()
        for entry in allow:
            if "/" in entry:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            else:
                self._places.add(_place(entry))

    def check_url(self, url: httpx.URL) -> None:
        """Refuse what needs no look-up: other schemes, ports that are not for this purpose."""
        if url.scheme not in {"http", "https"} or not url.host:
            raise self.refusal(url.host, "only http and https addresses can be called")
        port = port_of(url)
        if (
            self._ports is not None
            and port not in self._ports
            and not self._named(url.raw_host.decode(), port)
        ):
            raise self.refusal(url.host, f"port {port} may not be called")

    def check(self, host: str, port: int, addresses: list[str]) -> None:
        """Refuse unless every address is public or allowed: any of two answers may be used."""
        for text in addresses:
            if not self._reaches(host, port, text):
                raise self.refusal(host, "this address is not public and not allowed")

    def refusal(self, host: str, why: str) -> Upstream:
        """The error for a call that is not made."""
        log.warning("outbound.refused", purpose=self.purpose, host=host, reason=why)
        return Upstream(why, retry=False, code="forbidden_host")

    def _reaches(self, host: str, port: int, text: str) -> bool:
        try:
            address = _unwrapped(ipaddress.ip_address(text))
        except ValueError:
            return False
        inside = any(address.version == net.version and address in net for net in self._networks)
        listed = inside or self._named(host, port)
        return listed and address.is_loopback if _local_only else listed or is_public(text)

    def _named(self, host: str, port: int) -> bool:
        return (_bare(host), port) in self._places


class Backend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore: looks the name up, checks all answers, connects to one.

    `keeps`: remember them until `close`. httpcore leaves one open whose proxy refused it.
    """

    def __init__(self, rules: Rules, resolve: Resolve, *, keeps: bool = False) -> None:
        self._rules = rules
        self._kept: list[httpcore.AsyncNetworkStream] | None = [] if keeps else None
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to a checked address of `host`; TLS above it still uses the name."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
                self._rules.check(host, port, addresses)
                found = await self._first(addresses, port, timeout, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error
        except (OSError, UnicodeError) as error:  # a name that is none, or a resolver that fails
            raise httpcore.ConnectError("the name has no address") from error
        if self._kept is not None:
            self._kept.append(found)
        return found

    async def close(self) -> None:
        """Close what was kept; closing twice does no harm."""
        for stream in self._kept or ():
            with suppress(Exception):  # it is over, whatever it says
                await stream.aclose()

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Never: nothing outside is reached that way."""
        raise self._rules.refusal(path, "unix sockets cannot be called")

    async def sleep(self, seconds: float) -> None:
        """As httpcore's own."""
        await asyncio.sleep(seconds)

    async def _first(
        self,
        addresses: list[str],
        port: int,
        timeout: float | None,  # noqa: ASYNC109 - handed on to httpcore
        local: str | None,
        options: Iterable[Any] | None,
    ) -> httpcore.AsyncNetworkStream:
        last: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last


def _place(entry: str) -> tuple[str, int]:
    """Host and port of an allow entry; the port must be said."""
    try:
        url = httpx.URL(f"http://{entry}")
    except httpx.InvalidURL:
        url = httpx.URL()
    port = entry.rpartition(":")[2]
    if not url.raw_host or not port.isdecimal() or url.path != "/" or url.userinfo or url.query:
        raise ValueError("an allowed place is host:port or a network")
    return _bare(url.raw_host.decode()), int(port)


def port_of(url: httpx.URL) -> int:
    """The port a request to `url` goes to."""
    return url.port or (443 if url.scheme == "https" else 80)


def _bare(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")


def literal(host: str) -> list[str]:
    """The address that `host` spells, in any form the C library takes; none for a name."""
    try:
        return [str(ipaddress.ip_address(_bare(host)))]
    except ValueError:
        pass
    try:
        return [socket.inet_ntoa(socket.inet_aton(_bare(host)))]
    except (OSError, UnicodeEncodeError):
        return []


def _unwrapped(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv4-mapped one."""
    return getattr(address, "ipv4_mapped", None) or address
