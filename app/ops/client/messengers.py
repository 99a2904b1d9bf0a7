"""The messengers that Apprise speaks to: it blocks, so in threads of its own.

Apprise looks names up itself and so passes no address guard: where the server is one's own, only
an admin may name it.
"""

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from app.core.errors import Upstream
from app.ops.client.message import Message

if TYPE_CHECKING:
    from apprise import NotifyBase

NAMES: Final = {
    "tgram": "Telegram",
    "discord": "Discord",
    "slack": "Slack",
    "pover": "Pushover",
    "matrix": "Matrix",
    "mmost": "Mattermost",
    "signal": "Signal",
}
SCHEMES: Final = (*NAMES, "matrixs", "mmosts", "signals")
# Services at a place that the scheme itself says. Apprise is kinder to what is written than is good
# for a page open to everybody: so a pattern of ours for each, of one receiver, and what is shown.
HOSTED: Final = {
    "tgram": re.compile(r"tgram://\d+:[\w-]+/(?P<shown>-?\d+|@\w+)/?", re.ASCII),
    "discord": re.compile(r"discord://\d+/[\w-]+/?(?P<shown>)", re.ASCII),
    "slack": re.compile(
        r"slack://(?:T\w+/\w+/\w+|xox[bp]-[\w-]+)(?:/(?P<shown>#[\w-]+))?/?", re.ASCII
    ),
    "pover": re.compile(r"pover://\w+@\w+/?(?P<shown>)", re.ASCII),
}
# Apprise takes many more: a file of the server as template, no check of the certificate.
_OPTIONS: Final = {
    "tgram": {"topic"},
    "discord": {"thread"},
    "pover": {"priority", "sound"},
    "matrix": {"mode"},
    "matrixs": {"mode"},
    "mmost": {"channel"},
    "mmosts": {"channel"},
}
MOST: Final = 3  # receivers of one address: each is a request that may wait for its silence
_TYPES: Final = {"info": "info", "good": "success", "warn": "warning", "error": "failure"}
_STATUS: Final = re.compile(r"error=(\d{3})\b")
TOTAL_S: Final = 30.0

_THREADS: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="apprise")

for _name in ("apprise", "urllib3"):  # both write whole URLs, and with them tokens
    logging.getLogger(_name).propagate = False


async def is_valid(text: str) -> bool:
    """Whether Apprise understands the address, and it asks for nothing but what is allowed."""
    query = unquote(text).partition("?")[2]
    # Apprise parts options at a semicolon as well.
    names = {part.partition("=")[0].strip().lower() for part in re.split("[&;?]", query)}
    if not names <= _OPTIONS.get(_scheme(text), set()) | {""}:
        return False
    pattern = HOSTED.get(_scheme(text))
    if pattern and not pattern.fullmatch(text.partition("?")[0]):
        return False
    return await asyncio.to_thread(_service, text) is not None


def place(text: str) -> str:
    """What a page may show of the address: the chat, the channel, or the host of one's server."""
    if pattern := HOSTED.get(_scheme(text)):
        found = pattern.fullmatch(text.partition("?")[0])
        return (found["shown"] or "") if found else ""
    try:
        return urlsplit(text).hostname or ""
    except ValueError:  # Apprise reads some that are none
        return ""


async def send(text: str, message: Message) -> None:
    """Send one message. Raises Upstream, whose text holds nothing of the address."""
    word = NAMES[_scheme(text).removesuffix("s")]
    loop = asyncio.get_running_loop()
    failed = await loop.run_in_executor(_THREADS, _hand_over, text, message)
    if failed:
        retry = not re.fullmatch(r"http_4(?!08|29)\d\d|bad_url", failed)
        raise Upstream(f"{word}: {failed}", retry=retry, code=failed)


def _scheme(text: str) -> str:
    return text.partition(":")[0].lower()


def _hand_over(text: str, message: Message) -> str:
    """The code of what went wrong; "" if nothing did."""
    from apprise import Apprise, AppriseResultStatus  # noqa: PLC0415 - 45 MB, only where it is used

    service = _service(text)
    if service is None:
        return "bad_url"
    sender = Apprise(asset=service.asset)
    sender.add(service)
    result = sender.notify(
        title=message.title,
        body=f"{message.text}\n\n{message.url}".strip(),
        notify_type=_TYPES[message.level],
        body_format="text",
    )
    if result.status == AppriseResultStatus.SUCCESS:
        return ""
    if result.status == AppriseResultStatus.TIMEOUT:
        return "timeout"
    said = " ".join(entry.message for entry in result.logs())
    if answered := _STATUS.search(said):
        return f"http_{answered[1]}"
    return "unreachable" if "onnection error" in said else "protocol"


def _service(text: str) -> "NotifyBase | None":
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415

    asset = AppriseAsset(
        app_id="Holdfast",
        app_desc="Holdfast",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        async_mode=False,
        allow_templates=False,
        service_timeout=TOTAL_S,
        storage_mode="memory",
    )
    try:
        service = Apprise.instantiate(text, asset=asset)
    except Exception:  # its parsers stumble over what nobody would write
        return None
    # However an option came in: neither of these may be switched.
    if service is None or not service.verify_certificate or service.redirects:
        return None
    return service if len(service) <= MOST else None
