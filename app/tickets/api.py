"""One's own tickets for programs. The rules are those of the pages: it is the same service."""

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, Parameter

from app.tickets.service import library, runs

Limit = Annotated[int, Parameter(ge=1, le=100)]
TicketId = Annotated[int, Parameter(ge=1, le=2**53)]


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a ticket. Days as YYYY-MM-DD, moments in UTC."""

    id: int
    product: str
    valid_from: str | None
    valid_to: str | None
    first_seen: str


class Tickets(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    tickets: list[Ticket]


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """The job that fetches it. `deduped`: it was on its way already."""

    job_id: str
    deduped: bool


class TicketApi(Controller):
    """Tickets of the token's owner."""

    path = "/api/v1/tickets"
    tags = ["tickets"]

    @get("/", name="api_tickets", opt={"access": "token:tickets:read"})
    async def index(self, user_id: NamedDependency[str], limit: FromQuery[Limit] = 50) -> Tickets:
        """List the versions of one's ticket, newest first."""
        rows = await library.list_versions(user_id, limit=limit)
        return Tickets(tickets=[_ticket(row) for row in rows])

    @get("/{ticket_id:int}", name="api_ticket", opt={"access": "token:tickets:read"})
    async def show(self, user_id: NamedDependency[str], ticket_id: FromPath[TicketId]) -> Ticket:
        """Show one version."""
        return _ticket(await library.get_ticket(user_id, ticket_id))

    @post(
        "/download",
        name="api_ticket_download",
        opt={"access": "token:tickets:write"},
        status_code=202,
    )
    async def download(self, user_id: NamedDependency[str]) -> Ordered:
        """Fetch the ticket now."""
        asked = await runs.order_download(user_id)
        return Ordered(job_id=asked.id, deduped=asked.deduped)


def _ticket(row: library.TicketRow | library.TicketCard) -> Ticket:
    return Ticket(
        id=row.id,
        product=row.product,
        valid_from=row.valid_from.isoformat() if row.valid_from else None,
        valid_to=row.valid_to.isoformat() if row.valid_to else None,
        first_seen=row.first_seen,
    )
