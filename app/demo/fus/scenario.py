"""How the stand-in is told to misbehave: named orders, several in force at once."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from app.demo.fus.recipe import KINDS, Part

Place = Literal["nonce", "inform", "init", "fota", "history", "bytes", "any"]
# What the server answers in place of the real thing; `at` says to which requests.
ANSWERS: dict[str, tuple[Place, str]] = {
    "error_500": ("any", "an empty 500, or `status`"),
    "rate_limit": ("any", "429 (or `status`, as 503), Retry-After when `retry_after` is given"),
    "block_page": ("any", "an HTML page of a bot wall with 403, or `status` (200, 206)"),
    "unauthorized": ("any", "401 although everything is right: the random kicks"),
    "stall": ("any", "nothing for `s` seconds, then the right answer"),
    "cut": ("any", "the connection closes without an answer; `reset`"),
    "gzip_garbage": ("any", "Content-Encoding: gzip over bytes that are none"),
    "bad_xml": ("inform", "XML that ends in the middle"),
    "xml_bomb": ("fota", "entities that expand without end"),
    "huge": ("inform", "an answer of `size` bytes (64 MiB)"),
    "status": ("inform", "XML Status `code` and nothing else"),
}
CONTROL: dict[str, tuple[Place, str]] = {
    "rotate_keys": ("nonce", "kies goes over to key `generation`, or the next one"),
    "smart_key": ("nonce", "smart signs with `key` (hex) from now on"),
    "no_nonce": ("nonce", "no NONCE header"),
    "bad_nonce": ("nonce", "a NONCE header that is no nonce"),
    "served_version": ("inform", "another build than asked, `version` or the one before"),
    "empty_binary": ("inform", "200 with BINARY_NAME and size empty"),
    "binary_name": ("inform", "BINARY_NAME is `name`, a path to climb out by default"),
    "binary_size": ("inform", "BINARY_BYTE_SIZE is `size`, whatever it means"),
    "wrong_crc": ("inform", "BINARY_CRC is not that of the file"),
    "no_crc": ("inform", "BINARY_CRC is empty"),
    "no_factory": ("inform", "LOGIC_VALUE_FACTORY is empty, the file is locked with _HOME"),
    "short_logic": ("inform", "a logic value of 5 characters"),
    "archive": ("inform", "the file is baked as `kind`, in `part`"),
    "empty_latest": ("fota", "the model is known and has no build"),
    "fota_denied": ("fota", "403 with the storage's AccessDenied"),
    "empty_history": ("history", "a list without entries"),
    "strict_history": ("history", "the digest is checked"),
}
BYTES: dict[str, tuple[Place, str]] = {
    "drop": ("bytes", "the connection closes after `after` bytes of an answer; `reset`"),
    "pause": ("bytes", "no byte for `s` seconds after `after` bytes of an answer"),
    "expire": ("bytes", "after `after` bytes in all, every token is void and lines are cut"),
    "corrupt": ("bytes", "the byte at `offset` of the file is changed"),
    "slow": ("bytes", "`rate` bytes a second per connection"),
    "ignore_range": ("bytes", "200 and the whole file"),
    "wrong_range": ("bytes", "206 for another range, `after` bytes further on"),
    "short_range": ("bytes", "206 for `after` bytes at most, honestly said"),
    "overrun": ("bytes", "206 that goes on `after` bytes behind the range asked for"),
    "no_content_range": ("bytes", "206 without Content-Range"),
    "text_type": ("bytes", "the right bytes with Content-Type text/html"),
    "not_found": ("bytes", "404"),
    "no_content_md5": ("bytes", "Content-MD5 is left out"),
    "wrong_content_md5": ("bytes", "Content-MD5 is not that of the file"),
}
NAMES = ANSWERS | CONTROL | BYTES


class Params(msgspec.Struct, forbid_unknown_fields=True):
    """What bends an order; numbers in bytes and seconds."""

    at: Place | None = None
    after: int = 0
    s: float = 5
    rate: int = 1024 * 1024
    status: int | None = None
    retry_after: int | None = None
    offset: int = 0
    size: int | None = None
    reset: bool = False
    code: str = "400"
    name: str = ""
    version: str = ""
    generation: int | None = None
    key: str = ""
    kind: str = "normal"
    part: Part = "CSC"
    model: str = ""


class UnknownScenario(ValueError):
    """The control plane asked for a name or parameter that is not in the tables."""


@dataclass
class Order:
    """One order in force. `seen` counts bytes for `expire`."""

    name: str
    times: int | None = None
    params: Params = field(default_factory=Params)
    seen: int = 0

    @property
    def at(self) -> Place:
        """Which requests it is for."""
        return self.params.at or NAMES[self.name][0]


class Scenarios:
    """The orders in force, one of each name; `ok` ends them all."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}

    def put(self, order: Order) -> None:
        """Take an order; raises UnknownScenario."""
        if order.name == "ok":
            self._orders.clear()
            return
        if order.name not in NAMES:
            raise UnknownScenario(f"unknown scenario: {order.name}")
        if order.times is not None and order.times < 1:
            raise UnknownScenario("times must be at least 1")
        if order.params.kind not in KINDS:
            raise UnknownScenario(f"unknown kind: {order.params.kind}")
        if order.params.rate < 1:
            raise UnknownScenario("rate must be at least 1")
        self._orders[order.name] = order

    def drop(self, name: str) -> None:
        """End this order."""
        self._orders.pop(name, None)

    def look(self, name: str, place: Place, model: str = "") -> Order | None:
        """The order of this name for such a request, not yet used up by it."""
        order = self._orders.get(name)
        if order is None or order.at not in ("any", place):
            return None
        if order.params.model and order.params.model != model:
            return None
        return order

    def use(self, order: Order) -> None:
        """It has been obeyed once."""
        if order.times is not None:
            order.times -= 1
            if order.times <= 0 and self._orders.get(order.name) is order:
                del self._orders[order.name]

    def take(self, name: str, place: Place, model: str = "") -> Order | None:
        """Look and use in one."""
        order = self.look(name, place, model)
        if order is not None:
            self.use(order)
        return order
