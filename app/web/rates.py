"""How many requests a person or an address may make: a moving window in memory, one per kind.

Guessing passwords and codes has its own limits, in the database. Reading is not limited for who is
signed in: live pages fetch themselves.
"""

from ipaddress import ip_address, ip_network
from math import ceil
from typing import Final

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from litestar.exceptions import TooManyRequestsException
from litestar.handlers.base import BaseRouteHandler

from app.core.logs import log
from app.web.auth import Bearer, Connection, Principal, client_ip
from db import clock

SEARCHES: Final = RateLimitItemPerMinute(60)
TOKEN_READS: Final = RateLimitItemPerMinute(600)
REPORTS: Final = RateLimitItemPerMinute(10)
EXPORTS: Final = RateLimitItemPerHour(5)
# A page brings dozens of these along; probes come every few seconds.
FREE: Final = ("/static", "/healthz", "/readyz", "/live")
_BY_NAME: Final = {"reports": REPORTS, "exports": EXPORTS}


class Rates:
    """The guard that counts. `anonymous`, `writes`: so many a minute, 0 for no limit.

    A route with `opt["rate"]` (`reports`, `exports`) has its own limit instead.
    """

    def __init__(self, anonymous: int = 60, writes: int = 120) -> None:
        self._anonymous = RateLimitItemPerMinute(anonymous) if anonymous else None
        self._writes = RateLimitItemPerMinute(writes) if writes else None
        self._storage = MemoryStorage()
        self._window = MovingWindowRateLimiter(self._storage)

    async def guard(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Count one request. Raises TooManyRequestsException where it is one too many."""
        found = self._item(connection, handler)
        if found is None:
            return
        item, kind, whom = found
        if await self._window.hit(item, kind, whom):
            return
        reset, _left = await self._window.get_window_stats(item, kind, whom)
        wait_s = max(1, ceil(reset - clock.now().timestamp()))
        log.warning("rate.refused", kind=kind)
        raise TooManyRequestsException(headers={"Retry-After": str(min(wait_s, 3600))})

    def _item(
        self, connection: Connection, handler: BaseRouteHandler
    ) -> tuple[RateLimitItem, str, str] | None:
        scope = connection.scope
        if str(scope.get("path_template", "")).startswith(FREE):
            return None
        user: Principal | None = scope.get("user")
        here = network(client_ip(connection))
        named = _BY_NAME.get(str(handler.opt.get("rate", "")))
        if named is not None and (user or handler.opt.get("access") == "public"):
            return named, str(handler.opt["rate"]), user.id if user else here
        if user is None:
            return (self._anonymous, "anonymous", here) if self._anonymous else None
        if scope.get("method") not in ("GET", "HEAD"):
            return (self._writes, "writes", user.id) if self._writes else None
        if connection.query_params.get("q"):
            return SEARCHES, "searches", user.id
        if isinstance(scope.get("auth"), Bearer):
            return TOKEN_READS, "reads", user.id
        return None


class Notes:
    """How many lines strangers may cause in the audit log: what changed nothing costs no disk."""

    def __init__(self, from_one: int = 10, from_all: int = 120) -> None:
        self._one = RateLimitItemPerMinute(from_one)
        self._all = RateLimitItemPerMinute(from_all)
        self._window = MovingWindowRateLimiter(MemoryStorage())

    async def take(self, kind: str, ip: str) -> bool:
        """Whether this one is to be written."""
        return await self._window.hit(self._one, kind, network(ip)) and await self._window.hit(
            self._all, kind
        )


def network(ip: str) -> str:
    """What counts as one address: an IPv4 one, or the /64 an IPv6 one stands in."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    return ip if address.version == 4 else str(ip_network(f"{ip}/64", strict=False))
