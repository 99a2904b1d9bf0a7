"""What stands behind the "try" buttons: one real call with a stored secret, ten seconds at most.

The answer says whether it works, how long it took and why not; never what was sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from app.core import outbound, vault
from app.core.errors import Conflict, NotFound, Upstream
from app.core.i18n import _, mark
from app.core.ring import VaultError
from app.tickets.client import http, webdav
from app.tickets.outcomes import Fault
from app.tickets.service import copies, visits
from db import clock
from db.engine import DB

LIMIT_S = 10.0

_REASONS = {
    "timeout": mark("No answer within ten seconds."),
    "unreachable": mark("It cannot be reached."),
    "forbidden_host": mark("This address is not allowed from here."),
    "tls": mark("Its certificate cannot be trusted."),
    "proxy": mark("The proxy refused. Check its name and password."),
    "login": mark("It refused the login."),
    "missing": mark("The login is right; the folder is made with the first copy."),
    "vault": mark("The stored password cannot be opened. Enter it again."),
}
_ELSE = mark("It did not answer as it should.")


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """How it went. `status` is 0 where no answer came; `reason` says more, in words."""

    good: bool
    status: int
    ms: int
    reason: str = ""


async def try_push(user_id: str) -> Tried:
    """Ask the person's cloud for the folder of the copies. Raises Conflict where there is none."""
    push = await copies.get_push(user_id)
    row = await DB.one(
        "SELECT id, login_password_encrypted AS sealed FROM credentials"
        " WHERE owner_id = ? AND service = ?",
        (user_id, copies.SERVICE),
    )
    if row is None or not push.url or not row["sealed"]:
        raise Conflict(_("Nothing is stored yet. Save it first."))
    try:
        password = vault.open("credentials", "login_password_encrypted", row["id"], row["sealed"])
    except VaultError:
        return Tried(good=False, status=0, ms=0, reason=_reason("vault"))
    allow = await outbound.allowed(webdav.PURPOSE)
    login = (push.login_name, password)
    return await _timed(
        lambda: webdav.look(push.url, login, LIMIT_S, allow=allow),
        {401: "login", 403: "login", 404: "missing", 409: "missing"},
    )


async def try_proxy(user_id: str, profile_id: str) -> Tried:
    """Ask for the portal's first page through the proxy of an own device.

    Raises NotFound, and Conflict for a device without a proxy.
    """
    device = await visits.find_device(user_id, profile_id)
    if device.unknown:
        raise NotFound
    if not device.proxy_url:
        raise Conflict(_("This device uses no proxy."))
    policy = msgspec.structs.replace(
        await visits.portal_policy(),
        proxy_url=device.proxy_url,
        proxy_login=device.proxy_login,
        allow_private_proxy=device.private_proxy,
    )
    return await _timed(
        lambda: http.reach(policy, device.profile, LIMIT_S),
        # The portal leads on with 3xx: that came through the proxy.
        {301: "", 302: "", 303: "", 307: "", 308: "", 401: "proxy", 403: "proxy", 407: "proxy"},
    )


async def _timed(call: Callable[[], Awaitable[int]], meant: Mapping[int, str]) -> Tried:
    """`meant`: codes of reasons for statuses that say something here; of the rest 2xx is good."""
    began, status, code = clock.monotonic(), 0, ""
    try:
        async with asyncio.timeout(LIMIT_S):
            status = await call()
    except TimeoutError:
        code = "timeout"
    except Fault:
        code = "proxy"
    except Upstream as error:
        code = error.code or "broken"
    if status:
        code = meant.get(status, "" if 200 <= status < 300 else "status")
    return Tried(
        good=code in ("", "missing"),
        status=status,
        ms=round((clock.monotonic() - began) * 1000),
        reason=_reason(code),
    )


def _reason(code: str) -> str:
    words = _REASONS.get(code, _ELSE)
    return _(words) if code else ""
