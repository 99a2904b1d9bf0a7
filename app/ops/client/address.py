"""Where notices go, written as one address in the manner of Apprise: the address is the secret."""

from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from app.ops.client import messengers

PORTS: Final = {
    "mailto": 587,
    "mailtos": 465,
    "ntfy": 80,
    "ntfys": 443,
    "gotify": 80,
    "gotifys": 443,
    "webhook": 80,
    "webhooks": 443,
}
LONGEST: Final = 1000


class BadAddress(ValueError):
    """Not an address a notice could go to. The code says why; the text is never repeated."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One address, taken apart. `parts`: its path; `to` and `sender` only for mail.

    That of a messenger stays whole, in `text`: what its parts mean is Apprise's to know.
    """

    scheme: str
    host: str = ""
    port: int = 0
    login: str = ""
    password: str = ""
    parts: tuple[str, ...] = ()
    to: str = ""
    sender: str = ""
    text: str = ""

    @property
    def is_mail(self) -> bool:
        """Whether it goes by SMTP."""
        return self.scheme in ("mailto", "mailtos")

    @property
    def is_messenger(self) -> bool:
        """Whether Apprise sends it."""
        return self.scheme in messengers.SCHEMES

    @property
    def shown(self) -> str:
        """Where it goes, for a page."""
        if self.is_messenger:
            return messengers.place(self.text)
        return self.to if self.is_mail else self.host

    @property
    def place(self) -> str:
        """`host:port`, as allow lists name it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, *path: str) -> str:
        """The HTTP address below this host."""
        secure = self.scheme.endswith("s")
        return f"{'https' if secure else 'http'}://{self.place}/{'/'.join(path)}"


def parse(text: str) -> Address:
    """Take an address apart. Raises BadAddress with `scheme`, `form`, `to`, `topic` or `secret`."""
    scheme = text.partition(":")[0].lower()
    if scheme not in PORTS and scheme not in messengers.SCHEMES:
        raise BadAddress("scheme")
    if len(text) > LONGEST or not text.isprintable() or " " in text:
        raise BadAddress("form")
    if scheme in messengers.SCHEMES:
        return Address(scheme=scheme, text=text)
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port or PORTS[scheme]
    except ValueError:
        raise BadAddress("form") from None
    if not host or url.fragment:
        raise BadAddress("form")
    query = parse_qs(url.query)
    found = Address(
        scheme=scheme,
        host=host,
        port=port,
        login=unquote(url.username or ""),
        password=unquote(url.password or ""),
        parts=tuple(part for part in url.path.split("/") if part),
        to=query.get("to", [""])[-1],
        sender=query.get("from", [""])[-1],
    )
    if wrong := _lacks(found):
        raise BadAddress(wrong)
    if not found.is_mail:
        return found
    sender = found.sender or (found.login if "@" in found.login else found.to)
    return msgspec.structs.replace(found, sender=sender)


def _lacks(found: Address) -> str:
    if found.is_mail:
        good = _is_mailbox(found.to) and (not found.sender or _is_mailbox(found.sender))
        return "" if good else "to"
    if found.scheme in ("webhook", "webhooks"):
        return "" if len(found.login) >= 16 else "secret"
    return "" if found.parts else "topic"


def _is_mailbox(text: str) -> bool:
    name, at, host = text.rpartition("@")
    plain = text.isascii() and text.isprintable() and not set(text) & set(' ,;:<>()[]"\\')
    return bool(name and at and host) and plain and len(text) <= 254
