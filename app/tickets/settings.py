"""The ticket domain's keys of `configuration`."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from app.core import settings
from app.core.settings import key
from app.tickets.paper.canonical import Ignore

MARKERS: Final = ("NVV-Semesterticket", "Deutschlandsemesterticket", "Deutschlandticket")
DRIVERS: Final = ("http", "browser", "auto")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|\[[0-9a-fA-F:]+\](?::\d{1,5})?")


def _portal(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError("must be https://host/path")
    return text


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("must be a list of host or host:port")
    return hosts


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    Ignore(patterns)
    return patterns


def _markers(markers: tuple[str, ...]) -> tuple[str, ...]:
    if not any(marker.strip() for marker in markers):
        raise ValueError("needs at least one text")
    return markers


KEYS = (
    key(
        "tickets.portal_url",
        "https://ticket.astakassel.de/",
        "Address of the ticket portal",
        check=_portal,
    ),
    key(
        "tickets.idp_hosts",
        (),
        "Hosts that may be sent a portal password, from the probe page",
        check=_hosts,
    ),
    key("tickets.markers", MARKERS, "Texts of which a ticket page shows one", check=_markers),
    key("tickets.accept_words", (), "Further labels of a button that agrees to the portal's page"),
    key("tickets.maintenance_words", (), "Further words of a heading that means maintenance"),
    key(
        "tickets.ignore_patterns",
        (),
        "Words or /regex/ whose lines do not count as a change",
        check=_patterns,
    ),
    key("tickets.driver", "http", "How pages are fetched", choices=DRIVERS),
    key("tickets.browser_path", "/usr/bin/chromium", "The browser of the browser driver"),
    key("tickets.base_number", "", "UK number of the base login; empty: calendar only"),
    key("tickets.base_password", "", "Password of the base login", secret=True),
    key("tickets.base_interval_h", 6, "Hours between base checks", low=1, high=24),
    key("tickets.spread_h", 4, "Hours over which calendar runs are spread", low=0, high=12),
    key("tickets.admin_can_view", False, "Admins may open people's tickets; each look is audited"),
    key("tickets.allow_user_proxy", False, "People may set a proxy in their own devices"),
    key("tickets.mirror_root", "", "Folder below which mirror folders lie; empty: none"),
    key("tickets.history_days", 400, "Days that attempts are kept", low=30, high=3650),
    key(
        "tickets.purge_after_days", 30, "Days until a closed account's tickets go", low=0, high=365
    ),
)
settings.declare(*KEYS)


async def get(name: str) -> Any:
    """The value in force of `tickets.<name>`."""
    return await settings.get(f"tickets.{name}")
