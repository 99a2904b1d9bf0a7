"""Limits on guessing: how often a name, an address or a code may be tried.

Counted before the try, in one transaction.
"""

from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network

import msgspec

from app.core.errors import AppError
from app.core.i18n import ngettext
from db import clock
from db.engine import DB


class Throttled(AppError):
    """Too many tries. `retry_after_s` says when the next one counts again."""

    status = 429

    def __init__(self, retry_after_s: int) -> None:
        minutes = -(-retry_after_s // 60)
        super().__init__(
            ngettext(
                "Too many tries. Please wait a minute and try again.",
                "Too many tries. Please wait %(n)s minutes and try again.",
                minutes,
            )
        )
        self.retry_after_s = retry_after_s


class Limit(msgspec.Struct, frozen=True):
    """`tries` within `window_s`.

    Then a block of `first_s` that doubles up to `longest_s` with each further try.
    """

    tries: int
    window_s: int
    first_s: int
    longest_s: int


LIMITS = {
    "login_ip": Limit(5, 900, 30, 900),
    "ip": Limit(30, 900, 900, 900),
    "login": Limit(30, 3600, 3600, 3600),
    "code": Limit(10, 3600, 3600, 3600),
    "second": Limit(5, 3600, 3600, 3600),
    "second_user": Limit(30, 3600, 3600, 3600),
    "second_ended": Limit(20, 3600, 3600, 3600),
}

# A block or window that ends later than any could is the work of a clock that was wrong: it does
# not count.
_TAKE = """
INSERT INTO auth_throttle (key, kind, failures, window_start, blocked_until)
VALUES (:key, :kind, 1, :now, NULL)
ON CONFLICT (key) DO UPDATE SET (failures, window_start, blocked_until) = (
    SELECT CASE WHEN fresh THEN 1 ELSE failures + 1 END,
           CASE WHEN fresh THEN :now ELSE window_start END,
           CASE WHEN NOT fresh AND failures + 1 >= :tries
                THEN strftime('%Y-%m-%dT%H:%M:%fZ', :now, printf('+%d seconds',
                     min(:first_s * (1 << min(failures + 1 - :tries, 20)), :longest_s))) END
    FROM (SELECT coalesce(blocked_until, window_start) NOT BETWEEN :over AND :latest AS fresh))
WHERE blocked_until IS NULL OR blocked_until <= :now OR blocked_until > :latest
RETURNING failures
"""


async def take(*tries: tuple[str, str]) -> None:
    """Count one try for each (kind, whom), or raise Throttled and count none of them."""
    async with DB.tx():
        for kind, whom in tries:
            if await DB.one(_TAKE, _args(kind, whom)) is None:
                raise Throttled(await _wait(kind, whom))


async def count(kind: str, whom: str) -> int:
    """Count one try, and say how many there were. Raises Throttled."""
    row = await DB.one(_TAKE, _args(kind, whom))
    if row is None:
        raise Throttled(await _wait(kind, whom))
    return int(row["failures"])


async def give_back(*tries: tuple[str, str]) -> None:
    """The try was no wrong guess: it does not count."""
    for kind, whom in tries:
        await DB.execute(
            "UPDATE auth_throttle SET failures = failures - 1,"
            " blocked_until = CASE WHEN failures - 1 >= :tries THEN blocked_until END"
            " WHERE key = :key AND failures > 0",
            {"key": _key(kind, whom), "tries": LIMITS[kind].tries},
        )


async def clear(kind: str, whom: str) -> int:
    """Forget the count; returns what it was."""
    row = await DB.one(
        "DELETE FROM auth_throttle WHERE key = ? RETURNING failures", (_key(kind, whom),)
    )
    return int(row["failures"]) if row else 0


async def refuse_if_blocked(kind: str, whom: str) -> None:
    """Raise Throttled where `whom` is blocked; counts nothing."""
    wait_s = await _wait(kind, whom)
    if wait_s > 0:
        raise Throttled(wait_s)


async def sweep() -> int:
    """Delete counts that say nothing any more; returns how many."""
    longest = max(max(limit.window_s, limit.longest_s) for limit in LIMITS.values())
    old = clock.text(clock.now() - timedelta(seconds=2 * longest))
    return await DB.execute(
        "DELETE FROM auth_throttle"
        " WHERE window_start < :old AND coalesce(blocked_until, '') < :old",
        {"old": old},
    )


def of_known(whom: str) -> str:
    """Under what the devices count on which somebody signed in before."""
    return f"{whom} known"


def network(ip: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 an IPv6 address stands in."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    return ip if address.version == 4 else str(ip_network(f"{ip}/64", strict=False))


def _args(kind: str, whom: str) -> dict[str, str | int]:
    limit, now = LIMITS[kind], clock.now()
    return {
        "key": _key(kind, whom),
        "kind": kind,
        "now": clock.text(now),
        "over": clock.text(now - timedelta(seconds=limit.window_s) + timedelta(milliseconds=1)),
        "latest": clock.text(now + timedelta(seconds=limit.longest_s)),
        "tries": limit.tries,
        "first_s": limit.first_s,
        "longest_s": limit.longest_s,
    }


def _key(kind: str, whom: str) -> str:
    """Hashed: what people type into the name field is now and then their password."""
    return f"{kind}:{sha256(whom.encode(errors='surrogatepass')).hexdigest()[:40]}"


async def _wait(kind: str, whom: str) -> int:
    until = await DB.value(
        "SELECT blocked_until FROM auth_throttle WHERE key = ?", (_key(kind, whom),)
    )
    if until is None:
        return 0
    left = (clock.parse(until) - clock.now()).total_seconds()
    return int(left) + 1 if 0 < left <= LIMITS[kind].longest_s else 0
