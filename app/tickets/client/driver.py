"""What every driver takes and gives: a login, the rules of a run, and the document it fetched."""

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, urlsplit

import msgspec

from app.core.secret import SecretStr
from app.tickets import words
from app.tickets.outcomes import Outcome, Step
from app.tickets.paper.page import Asset, Page, host_port

Progress = Callable[[str], Awaitable[None]]
BeforePost = Callable[[], Awaitable[None]]


class Credential(msgspec.Struct, frozen=True):
    """One student's portal login."""

    uk_number: str
    password: SecretStr


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The portal, what this user has agreed to, and the bounds of a run.

    Hosts are `host` or `host:port`; one without a port means the default port of its scheme.
    `known_versions` and `volatile` decide whether the ticket page is read a second time.
    """

    portal_url: str
    idp_hosts: tuple[str, ...]
    markers: tuple[str, ...]
    auto_consent: bool = False
    remember_consent: bool = False
    accept_terms: bool = False
    login_only: bool = False
    known_versions: frozenset[str] = frozenset()
    ignore_patterns: tuple[str, ...] = ()
    accept_words: frozenset[str] = words.ACCEPT
    maintenance_words: tuple[str, ...] = words.MAINTENANCE
    volatile: frozenset[str] = frozenset()
    proxy_url: str | None = None
    proxy_login: tuple[str, SecretStr] | None = None
    allow_private_proxy: bool = False
    request_s: float = 20
    run_s: float = 90
    max_requests: int = 25
    max_redirects: int = 10
    max_forms: int = 15
    max_body_bytes: int = 5 * 1024 * 1024
    max_assets: int = 30
    max_asset_bytes: int = 5 * 1024 * 1024
    assets_s: float = 10

    @property
    def portal_host(self) -> str:
        """`host:port` of the portal."""
        return host_port(urlsplit(self.portal_url))

    def pinned(self, url: SplitResult) -> bool:
        """Whether a password may be sent here: https (or a local portal) and a pinned host."""
        return self._scheme_fits(url) and host_port(url) in self._idp_hosts(url.scheme)

    def allowed(self, url: SplitResult) -> bool:
        """Whether a run may talk to this address: the portal or a pinned identity provider."""
        return self._scheme_fits(url) and host_port(url) in {
            self.portal_host,
            *self._idp_hosts(url.scheme),
        }

    def hosts(self) -> tuple[str, ...]:
        """Every `host:port` a run may talk to."""
        scheme = urlsplit(self.portal_url).scheme
        return (self.portal_host, *self._idp_hosts(scheme))

    def _scheme_fits(self, url: SplitResult) -> bool:
        """https; plain http only between hosts that are this machine or its own network."""
        if url.scheme == "https":
            return True
        portal = urlsplit(self.portal_url)
        return url.scheme == portal.scheme == "http" and is_local(portal) and is_local(url)

    def _idp_hosts(self, scheme: str) -> tuple[str, ...]:
        return tuple(host_port(urlsplit(f"{scheme}://{host}")) for host in self.idp_hosts)


class FetchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver brought home.

    `version` and `lines` are the canonical text, `volatile` the shapes learned now, `slow_patterns`
    the ignore patterns that ran out of time, `attributes` what a consent page listed, `skeleton`
    the shapes of the pages passed, `ignored` what of the device the driver could not honour.
    """

    kind: str
    final_url: str
    status: int
    raw_bytes: bytes
    charset: str
    driver: str
    outcome: Outcome = Outcome.OK
    assets: dict[str, Asset] = {}
    offline_export: bytes | None = None
    steps: tuple[Step, ...] = ()
    version: str = ""
    lines: tuple[str, ...] = ()
    volatile: frozenset[str] = frozenset()
    slow_patterns: tuple[str, ...] = ()
    skeleton: str = ""
    attributes: tuple[str, ...] = ()
    pdf: bytes = b""
    ignored: tuple[str, ...] = ()

    def page(self) -> Page:
        """The document as a page, read with the same charset."""
        headers = {"content-type": f"text/html; charset={self.charset}"}
        return Page(self.final_url, self.raw_bytes, status=self.status, headers=headers)


def is_local(url: SplitResult) -> bool:
    """Whether the host is written as `localhost` or as a loopback or private address."""
    host = url.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_private  # loopback included
