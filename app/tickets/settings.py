"""The ticket domain's keys of `configuration`."""

from typing import Any

from app.core import settings
from app.core.settings import key

MARKERS = ("NVV-Semesterticket", "Deutschlandsemesterticket", "Deutschlandticket")
DRIVERS = ("http", "browser", "auto")

KEYS = (
    key("tickets.portal_url", "https://ticket.astakassel.de/", "Address of the ticket portal"),
    key("tickets.idp_hosts", (), "Hosts that may be sent a portal password, from the probe page"),
    key("tickets.markers", MARKERS, "Texts of which a ticket page shows one"),
    key("tickets.ignore_patterns", (), "Words or /regex/ whose lines do not count as a change"),
    key("tickets.driver", "http", "How pages are fetched", choices=DRIVERS),
    key("tickets.history_days", 400, "Days that attempts are kept", low=30, high=3650),
)
settings.declare(*KEYS)


async def get(name: str) -> Any:
    """The value in force of `tickets.<name>`."""
    return await settings.get(f"tickets.{name}")
