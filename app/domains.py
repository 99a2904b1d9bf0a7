"""The one list of domains: adding a sixth starts here; `tests/test_house.py` says what lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from litestar import Controller
from piccolo.table import Table

from app.accounts import jobs as accounts_jobs
from app.accounts.api import PeopleApi
from app.accounts.pages.rooms import PAGES as ACCOUNT_PAGES
from app.accounts.service.closing import ExportAccount
from app.accounts.service.users import OnAccountClosed
from app.core.area import DescribeArea
from app.core.live import Noun
from app.ops.api import JobApi
from app.ops.pages import PAGES as OPS_PAGES
from app.tickets import jobs as tickets_jobs
from app.tickets.api import TicketApi
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
    api: tuple[type[Controller], ...] = ()
    on_account_closed: OnAccountClosed | None = None
    export_account: ExportAccount | None = None


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
            NavItem("invites", _("Invites"), "/admin/invites", "invite", "admin"),
            NavItem("audit", _("Audit log"), "/admin/audit", "audit", "admin"),
            NavItem("vault", _("Vault"), "/admin/vault", "key", "admin"),
        ),
        live={
            "users": Noun("user", to="admin"),
            "invite_tokens": Noun("invite", plural="invites", to="admin"),
            "sessions": Noun("session", plural="sessions", owner="userId", to="owner"),
            "notifications": Noun("notification", owner="user_id", to="owner"),
        },
    ),
    Domain(
        name="ops",
        title=_("Operations"),
        pages=OPS_PAGES,
        api=(JobApi,),
        tables=queue_tables.TABLES,
        nav=(NavItem("queue", _("Queue"), "/admin/queue", "queue", "admin"),),
        live={
            "queueJobs": Noun("job", plural="jobs", owner="ownerUserId", to="owner"),
            "queueSettings": Noun("queue", plural="queue", to="admin"),
        },
    ),
)

DOMAINS = (
    Domain(
        name="tickets",
        title=_("Semester tickets"),
        pages=(TicketPages,),
        api=(TicketApi,),
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
