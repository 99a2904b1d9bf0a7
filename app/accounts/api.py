"""People and invites for programs of admins. The rules are those of the pages."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, Parameter

from app.accounts.service import invites, people
from app.web.auth import WebRequest, client_ip
from app.web.links import absolute

Limit = Annotated[int, Parameter(ge=1, le=200)]
Offset = Annotated[int, Parameter(ge=0, le=1_000_000)]
Words = Annotated[str, Parameter(max_length=200)]


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """A page of people, by name."""

    users: list[people.Person]
    total: int


class Invites(msgspec.Struct, frozen=True, kw_only=True):
    """A page of invites, newest first."""

    invites: list[invites.InviteRow]
    total: int


class InviteOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One invite to be. `hours` null: the usual life."""

    label: Annotated[str, msgspec.Meta(max_length=80)] = ""
    email: Annotated[str, msgspec.Meta(max_length=254)] = ""
    hours: Annotated[int, msgspec.Meta(ge=1, le=720)] | None = None
    role: Literal["user", "admin"] = "user"


class MadeInvite(msgspec.Struct, frozen=True, kw_only=True):
    """The link, shown this once."""

    link: str
    short: str
    expires_at: datetime


class PeopleApi(Controller):
    """For tokens of admins."""

    path = "/api/v1"
    tags = ["people"]

    @get("/users", name="api_users", opt={"access": "token:admin:read"})
    async def users(
        self,
        q: FromQuery[Words] = "",
        limit: FromQuery[Limit] = 50,
        offset: FromQuery[Offset] = 0,
    ) -> Users:
        """List people, by name."""
        found = await people.list_people(q=q, limit=limit, offset=offset)
        return Users(users=found.rows, total=found.total)

    @get("/invites", name="api_invites", opt={"access": "token:admin:read"})
    async def invites(
        self,
        q: FromQuery[Words] = "",
        limit: FromQuery[Limit] = 50,
        offset: FromQuery[Offset] = 0,
    ) -> Invites:
        """List invites, newest first."""
        found = await invites.list_invites(q=q, limit=limit, offset=offset)
        return Invites(invites=found.rows, total=found.total)

    @post("/invites", name="api_invite", opt={"access": "token:admin:write"}, status_code=201)
    async def invite(
        self, request: WebRequest, user_id: NamedDependency[str], data: JSONBody[InviteOrder]
    ) -> MadeInvite:
        """Make an invite."""
        made = await invites.create_invite(
            user_id,
            hours=data.hours or "",
            label=data.label,
            email=data.email,
            role=data.role,
            ip=client_ip(request),
        )
        return MadeInvite(
            link=absolute(request, "join_link", secret=made.secret),
            short=made.short,
            expires_at=made.expires_at,
        )
