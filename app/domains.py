"""The one list of domains: adding a sixth starts here; `tests/test_house.py` says what lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from litestar import Controller
from piccolo.table import Table

from app.accounts import jobs as accounts_jobs
from app.accounts.pages.account import AccountPages
from app.accounts.pages.doors import SetupPages, SignInPages
from app.accounts.pages.invites import InvitePages
from app.accounts.pages.join import JoinPages
from app.core.area import DescribeArea
from app.core.live import Noun
from app.ops import jobs as ops_jobs
from app.ops.pages import PAGES as OPS_PAGES
from app.tickets import jobs as tickets_jobs
from app.tickets.pages import TicketPages, describe
from app.web.pages import NavItem
from db.tables import accounts as accounts_tables
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


def _(text: str) -> str:
    """Mark a title for translation; the page translates it."""
    return text


CORE = (
    Domain(
        name="accounts",
        title=_("Accounts"),
        pages=(SignInPages, SetupPages, JoinPages, InvitePages, AccountPages),
        jobs=accounts_jobs,
        tables=accounts_tables.TABLES,
        nav=(NavItem("invites", _("Invites"), "/admin/invites", "invite", "admin"),),
        live={
            "users": Noun("user", to="admin"),
            "invite_tokens": Noun("invite", plural="invites", to="admin"),
            "notifications": Noun("notification", owner="user_id", to="owner"),
        },
    ),
    Domain(
        name="ops",
        title=_("Operations"),
        pages=OPS_PAGES,
        jobs=ops_jobs,
        tables=queue_tables.TABLES,
        nav=(NavItem("queue", _("Queue"), "/admin/queue", "queue", "admin"),),
        live={
            "queueJobs": Noun("job", plural="jobs", owner="ownerUserId", to="owner"),
            "queueSettings": Noun("queue", plural="queue", to="admin"),
            "job_schedules": Noun("schedule", plural="schedules", to="admin"),
            "queue_batches": Noun("batch", plural="batches", to="admin"),
            "queue_rates": Noun("rate", plural="rates", to="admin"),
            "queue_types": Noun("job-type", plural="job-types", to="admin"),
            "queue_workers": Noun("worker", plural="workers", to="admin"),
        },
    ),
)

DOMAINS = (
    Domain(
        name="tickets",
        title=_("Semester tickets"),
        pages=(TicketPages,),
        jobs=tickets_jobs,
        tables=tickets_tables.TABLES,
        area=describe,
        nav=(NavItem("tickets", _("Tickets"), "/tickets", "ticket", "user:tickets"),),
        live={
            "tickets": Noun("ticket", owner="user_id", to="owner"),
            "ticket_download_history": Noun("attempt", "tickets", owner="user_id", to="owner"),
            "user_credentials": Noun("login", "tickets", owner="user_id", to="owner"),
        },
    ),
)

ALL = (*CORE, *DOMAINS)
