"""The channels by which notices leave: ntfy, gotify, a signed POST; mail, and the messengers."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any, Final

import httpx
import msgspec

from app.core import guard, outbound
from app.core.errors import Upstream
from app.ops.client import mail, messengers
from app.ops.client.address import Address
from app.ops.client.message import Message
from db import clock

PURPOSE: Final = "notify"
SILENCE_S: Final = 10.0
TOTAL_S: Final = 20.0
ANSWER_BYTES: Final = 64 * 1024
# Both count from the least to the most: info and good, warn, error.
_NTFY: Final = {"info": 3, "good": 3, "warn": 4, "error": 5}
_GOTIFY: Final = {"info": 4, "good": 4, "warn": 6, "error": 8}


async def send(
    address: Address,
    message: Message,
    *,
    allow: Iterable[str] = (),
    free: bool = False,
) -> None:
    """Send one message. Raises Upstream, whose text holds nothing of the address.

    `allow`: private places that may be reached; `free`: an admin entered the address, so its own
    place is among them and any port is good.
    """
    if address.is_messenger:
        if guard.is_local_only():
            raise Upstream("nothing leaves this machine", retry=False, code="demo")
        if not free and address.scheme not in messengers.HOSTED:
            raise Upstream("only an admin may name its server", retry=False, code="forbidden_host")
        await messengers.send(address.text, message)
        return
    places = (*allow, address.place) if free else tuple(allow)
    if address.is_mail:
        await mail.send(address, message, allow=places, free=free)
        return
    word = address.scheme.removesuffix("s")
    url, body, headers = _request(address, message)
    client = outbound.client(
        PURPOSE,
        allow=places,
        timeout_s=SILENCE_S,
        total_s=TOTAL_S,
        limit_bytes=ANSWER_BYTES,
        ports=None if free else outbound.USER_PORTS,
    )
    with outbound.faults(word):
        async with client:
            answer = await client.post(url, content=body, headers=headers, auth=_auth(address))
            outbound.check_status(word, answer)


def _request(address: Address, message: Message) -> tuple[str, bytes, dict[str, str]]:
    headers = {"Content-Type": "application/json"}
    if address.scheme.startswith("webhook"):
        body = _json(msgspec.to_builtins(message))
        stamp = str(clock.ms() // 1000)
        headers["X-Holdfast-Id"] = message.id
        headers["X-Holdfast-Timestamp"] = stamp
        headers["X-Holdfast-Signature"] = sign(address.login, stamp, body)
        return address.url(*address.parts), body, headers
    if address.scheme.startswith("ntfy"):
        if address.login and not address.password:
            headers["Authorization"] = f"Bearer {address.login}"
        # As JSON to the root: a title in a header could hold no letters but ASCII.
        told: dict[str, Any] = {
            "topic": address.parts[-1],
            "title": message.title,
            "message": message.text,
            "priority": _NTFY[message.level],
        }
        if message.url:
            told["click"] = message.url
        return address.url(*address.parts[:-1]), _json(told), headers
    headers["X-Gotify-Key"] = address.parts[-1]  # not in the query, which servers log
    told = {
        "title": message.title,
        "message": message.text,
        "priority": _GOTIFY[message.level],
    }
    if message.url:
        told["extras"] = {"client::notification": {"click": {"url": message.url}}}
    return address.url(*address.parts[:-1], "message"), _json(told), headers


def sign(secret: str, stamp: str, body: bytes) -> str:
    """What `X-Holdfast-Signature` says: HMAC-SHA256 over `<timestamp>.<body>`."""
    made = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    return f"sha256={made.hexdigest()}"


def _auth(address: Address) -> httpx.Auth:
    if address.scheme.startswith("ntfy") and address.login and address.password:
        return httpx.BasicAuth(address.login, address.password)
    return httpx.Auth()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
