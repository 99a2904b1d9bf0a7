"""Firmware for programs: what is here, what there is, and asking for it. Rules as on the pages."""

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, Parameter

from app.firmware import imei as imeis
from app.firmware.service import library, lookup, wishes
from app.firmware.service.library import Filter, Row

FirmwareId = Annotated[int, Parameter(ge=1, le=2**53)]
Page = Annotated[int, Parameter(ge=0, le=10_000)]


class Firmware(msgspec.Struct, frozen=True, kw_only=True):
    """One version that is here or was."""

    id: int
    version: str
    state: str
    model: str
    csc: str
    size_bytes: int
    bytes_done: int


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """One page of versions, newest first."""

    firmware: list[Firmware]
    more: bool


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One version that Samsung lists. `kind`: stable, beta or unreleased."""

    version: str
    kind: str
    os: str
    opened_at: str | None


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model and region; `job_id`: the question under way, if one is."""

    versions: list[Listed]
    newest: str | None
    job_id: str | None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A model and a region."""

    model: str
    csc: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A version to fetch. `parts`: BL, AP, CP, CSC, HOME_CSC, USERDATA; none means all."""

    model: str
    csc: str
    version: str
    parts: list[str] = []


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The job that asks Samsung. `deduped`: it was on its way already."""

    job_id: str
    deduped: bool


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """The request that was opened."""

    request_id: int


class FirmwareApi(Controller):
    """The shared repository, and requests of the token's owner."""

    path = "/api/v1/firmware"
    tags = ["firmware"]

    @get("/", name="api_firmware", opt={"access": "token:firmware:read"})
    async def index(self, q: FromQuery[str] = "", at: FromQuery[Page] = 0) -> Repository:
        """List the versions that are here, newest first."""
        rows, total = await library.list_versions(
            Filter(q=q.strip()[:60]), offset=at * library.PAGE
        )
        more = total > (at + 1) * library.PAGE
        return Repository(firmware=[_firmware(row) for row in rows], more=more)

    @get("/{firmware_id:int}", name="api_firmware_one", opt={"access": "token:firmware:read"})
    async def show(
        self, user_id: NamedDependency[str], firmware_id: FromPath[FirmwareId]
    ) -> Firmware:
        """Show one version."""
        card = await library.get_card(user_id, firmware_id)
        version = card.version
        return Firmware(
            id=version.id,
            version=version.version_code,
            state=version.state,
            model=version.model or "",
            csc=version.csc or "",
            size_bytes=version.size_bytes,
            bytes_done=card.done,
        )

    @get("/versions", name="api_firmware_versions", opt={"access": "token:firmware:read"})
    async def versions(self, model: FromQuery[str], csc: FromQuery[str]) -> Versions:
        """List what the last look-up found for a model and region."""
        model, csc = imeis.tidy_model(model), imeis.tidy_csc(csc)[0]
        asking = await lookup.last_asking(model, csc)
        return Versions(
            versions=[
                Listed(
                    version=known.version_code,
                    kind=known.kind,
                    os=known.os_name,
                    opened_at=known.opened_at,
                )
                for known in await lookup.list_known(model, csc)
            ],
            newest=await lookup.newest_version(model, csc),
            job_id=asking.job_id if asking and asking.live else None,
        )

    @post(
        "/lookup",
        name="api_firmware_lookup",
        opt={"access": "token:firmware:write"},
        status_code=202,
    )
    async def look(self, user_id: NamedDependency[str], data: JSONBody[Target]) -> Asked:
        """Ask Samsung which versions there are."""
        model, csc = imeis.tidy_model(data.model), imeis.tidy_csc(data.csc)[0]
        asked = await lookup.order_check(model, csc, owner=user_id)
        return Asked(job_id=asked.id, deduped=asked.deduped)

    @post(
        "/requests",
        name="api_firmware_request",
        opt={"access": "token:firmware:write"},
        status_code=202,
    )
    async def order(self, user_id: NamedDependency[str], data: JSONBody[Wanted]) -> Ordered:
        """Fetch a version, or chosen parts of it; what is here already is had at once."""
        model, csc = imeis.tidy_model(data.model), imeis.tidy_csc(data.csc)[0]
        wish = await wishes.order(user_id, model, csc, data.version, parts=tuple(data.parts))
        return Ordered(request_id=wish)


def _firmware(row: Row) -> Firmware:
    return Firmware(
        id=row.id,
        version=row.version_code,
        state=row.state,
        model=row.model,
        csc=row.csc,
        size_bytes=row.size_bytes,
        bytes_done=row.bytes_done,
    )
