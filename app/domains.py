"""The one list of domains: adding a sixth starts here; `tests/test_house.py` says what lacks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from litestar import Controller
from piccolo.table import Table

from app.accounts import jobs as accounts_jobs
from app.accounts.api import PeopleApi
from app.accounts.pages.rooms import PAGES as ACCOUNT_PAGES
from app.accounts.service.closing import ExportAccount
from app.accounts.service.users import OnAccountClosed
from app.core.area import DescribeArea, Diagnose, FindRows, Place
from app.core.live import Noun
from app.firmware import jobs as firmware_jobs
from app.firmware.api import FirmwareApi
from app.firmware.pages.admin import FirmwareAdminPages
from app.firmware.pages.devices import FirmwareDevicePages
from app.firmware.pages.files import FirmwareFilePages
from app.firmware.pages.lookup import FirmwareLookupPages
from app.firmware.pages.queries import FirmwareQueryPages
from app.firmware.pages.repository import FirmwarePages
from app.firmware.pages.repository import describe as describe_firmware
from app.firmware.service import leaving
from app.firmware.service.wording import remedy as firmware_remedy
from app.ops import jobs as ops_jobs
from app.ops.api import JobApi
from app.ops.pages import PAGES as OPS_PAGES
from app.ops.service.shell import find_jobs
from app.tickets import jobs as tickets_jobs
from app.tickets.api import TicketApi
from app.tickets.client import chromium
from app.tickets.pages.choices import TicketSettingsPages
from app.tickets.pages.devices import DevicePages
from app.tickets.pages.history import TicketHistoryPages
from app.tickets.pages.mine import TicketPages, describe
from app.tickets.pages.overview import TicketAdminPages
from app.tickets.pages.people import TicketPeoplePages
from app.tickets.pages.portal import TicketPortalPages
from app.tickets.service import retention
from app.tickets.service.wording import remedy as tickets_remedy
from app.web.pages import NavItem
from db.tables import accounts as accounts_tables
from db.tables import firmware as firmware_tables
from db.tables import queue as queue_tables
from db.tables import tickets as tickets_tables


@dataclass(frozen=True)
class Domain:
    """A room of the house: its pages, jobs, tables, places in the menu, names on the stream."""

    name: str
    title: str
    pages: tuple[type[Controller], ...]
    tables: list[type[Table]]
    jobs: ModuleType | None = None
    nav: tuple[NavItem, ...] = ()
    live: Mapping[str, Noun] = field(default_factory=dict)
    area: DescribeArea | None = None
    api: tuple[type[Controller], ...] = ()
    on_account_closed: OnAccountClosed | None = None
    export_account: ExportAccount | None = None
    on_start: Callable[[], Awaitable[None]] | None = None
    on_stop: Callable[[], Awaitable[None]] | None = None
    find: FindRows | None = None
    remedy: Diagnose | None = None
    subjects: Mapping[str, Place] = field(default_factory=dict)


def _(text: str) -> str:
    """Mark a title for translation; the page translates it."""
    return text


CORE = (
    Domain(
        name="accounts",
        title=_("Accounts"),
        pages=ACCOUNT_PAGES,
        api=(PeopleApi,),
        jobs=accounts_jobs,
        tables=accounts_tables.TABLES,
        nav=(
            NavItem("users", _("People"), "/admin/users", "people", "admin"),
            NavItem("invites", _("Invites"), "/admin/invites", "invite", "admin", "i"),
            NavItem("audit", _("Audit log"), "/admin/audit", "audit", "admin"),
            NavItem("vault", _("Vault"), "/admin/vault", "key", "admin"),
            NavItem("system", _("System"), "/admin/system", "check", "admin"),
        ),
        live={
            "users": Noun("user", to="admin"),
            "invite_tokens": Noun("invite", plural="invites", to="admin"),
            "sessions": Noun("session", plural="sessions", owner="userId", to="owner"),
            "notifications": Noun("notification", owner="user_id", to="owner"),
            "notification_targets": Noun("target", owner="owner_id", to="owner"),
            "audit_log": Noun("audit", plural="audits", to="admin"),
        },
        subjects={
            "user": Place(title=_("The person"), route="user", key="person", access="admin"),
        },
    ),
    Domain(
        name="ops",
        title=_("Jobs"),
        pages=OPS_PAGES,
        api=(JobApi,),
        find=find_jobs,
        jobs=ops_jobs,
        tables=queue_tables.TABLES,
        nav=(
            NavItem("queue", _("Queue"), "/admin/queue", "queue", "admin", "q"),
            NavItem("targets_admin", _("Channels"), "/admin/notifications", "bell", "admin"),
        ),
        live={
            "queueJobs": Noun("job", plural="jobs", owner="ownerUserId", to="owner"),
            "queueSettings": Noun("queue", plural="queue", to="admin"),
            "job_schedules": Noun("schedule", plural="schedules", to="admin"),
            "queue_batches": Noun("batch", plural="batches", to="admin"),
            "queue_rates": Noun("rate", plural="rates", to="admin"),
            "queue_types": Noun("job-type", plural="job-types", to="admin"),
            "queue_workers": Noun("worker", plural="workers", to="admin"),
        },
        subjects={
            "batch": Place(
                title=_("The batch"), route="queue_batch", key="batch_id", access="admin"
            ),
        },
    ),
)

DOMAINS = (
    Domain(
        name="tickets",
        title=_("Semester tickets"),
        pages=(
            *(TicketPages, TicketSettingsPages, TicketHistoryPages, DevicePages),
            *(TicketAdminPages, TicketPeoplePages, TicketPortalPages),
        ),
        api=(TicketApi,),
        jobs=tickets_jobs,
        tables=tickets_tables.TABLES,
        area=describe,
        on_account_closed=retention.on_account_closed,
        on_start=retention.clear_left_over,
        on_stop=chromium.close,
        remedy=tickets_remedy,
        export_account=retention.export_account,
        nav=(
            NavItem("tickets", _("Tickets"), "/tickets", "ticket", "user:tickets", "t"),
            NavItem("tickets_admin", _("Tickets, all"), "/admin/tickets", "ticket", "admin"),
        ),
        live={
            "tickets": Noun("ticket", owner="user_id", to="owner"),
            "ticket_download_history": Noun("attempt", "tickets", owner="user_id", to="owner"),
            "user_credentials": Noun("login", "tickets", owner="user_id", to="owner"),
            "base_ticket_state": Noun("base", "tickets", to="admin"),
        },
    ),
    Domain(
        name="firmware",
        title=_("Firmware"),
        pages=(
            FirmwarePages,
            FirmwareFilePages,
            FirmwareLookupPages,
            FirmwareDevicePages,
            FirmwareQueryPages,
            FirmwareAdminPages,
        ),
        api=(FirmwareApi,),
        jobs=firmware_jobs,
        tables=firmware_tables.TABLES,
        area=describe_firmware,
        on_account_closed=leaving.on_account_closed,
        export_account=leaving.export_account,
        nav=(
            NavItem("firmware", _("Firmware"), "/firmware", "firmware", "user:firmware"),
            NavItem(
                "firmware_admin", _("Firmware settings"), "/admin/firmware", "firmware", "admin"
            ),
        ),
        live={
            "firmware": Noun("firmware", domain="firmware"),
            "firmware_devices": Noun("firmware_device", owner="user_id", to="owner"),
            "firmware_requests": Noun("firmware_request", owner="user_id", to="owner"),
            "imei_log": Noun("imei_log", owner="user_id", to="owner"),
        },
        remedy=firmware_remedy,
        subjects={
            "firmware": Place(
                title=_("The firmware"),
                route="firmware_show",
                key="firmware_id",
                access="user:firmware",
            ),
        },
    ),
)

ALL = (*CORE, *DOMAINS)
