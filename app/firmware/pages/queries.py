"""The query log: one's own, or everybody's for admins. No number is shown in full."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.core.errors import Invalid
from app.core.i18n import _
from app.firmware import imei as imeis
from app.firmware.pages import words
from app.firmware.pages.words import LOOKS
from app.firmware.service import queries
from app.firmware.service.queries import Pair, Wanted
from app.firmware.service.wording import status_word
from app.web import forms, lists
from app.web.auth import WebRequest
from app.web.lists import Listing
from app.web.pages import page, redirect


class FindForm(msgspec.Struct, kw_only=True):
    """A full IMEI to search for: by POST, so that it stands in no address and no log."""

    imei: str = ""


class FirmwareQueryPages(Controller):
    """Everything below /firmware/queries."""

    path = "/firmware/queries"
    opt = {"access": "user:firmware"}

    @get("/", name="firmware_queries")
    async def index(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return await _list(request, _wanted(request, user_id))

    @post("/", name="firmware_queries_find", status_code=200)
    async def find(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        form = await forms.read_form(request, FindForm)
        whose = _whose(request, user_id)
        try:
            number = imeis.tidy_imei(form.imei)
        except Invalid as error:
            return await _list(request, Wanted(user_id=whose), errors=error.fields, code=422)
        return await _list(request, Wanted(user_id=whose, imei=number), found=imeis.mask(number))

    @get("/csv", name="firmware_queries_csv", opt={"fresh": True, "rate": "exports"})
    async def export(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[bytes]:
        rows, _total = await queries.list_pairs(_wanted(request, user_id), limit=lists.MOST_ROWS)
        names = ("asked_at", "answered_at", "imei", "model", "csc", "version_code", "status")
        return lists.csv_file(
            "firmware-queries", names, [[getattr(row, name) for name in names] for row in rows]
        )

    @post("/{row_id:int}/delete", name="firmware_query_delete", status_code=303)
    async def delete(
        self, request: WebRequest, user_id: NamedDependency[str], row_id: FromPath[int]
    ) -> Response[str]:
        await queries.delete_own(user_id, row_id)
        url = request.app.route_reverse("firmware_queries")
        return redirect(request, url, toast=_("The query is forgotten."))


async def _list(
    request: WebRequest,
    wanted: Wanted,
    *,
    found: str = "",
    errors: dict[str, str] | None = None,
    code: int = 200,
) -> Response[str]:
    listing = _listing(request)
    rows, total = await queries.list_pairs(wanted, limit=listing.step, offset=listing.at)
    return page(
        request,
        "firmware/queries.html",
        block="firmware_query_rows",
        status=code,
        errors=errors or {},
        rows=[_row(row) for row in rows],
        # A number is in no address, so what it found has no second page.
        listing=listing.found(min(total, listing.step) if found else total),
        found=found,
        all_people=not wanted.user_id,
        statuses=[(name, status_word(name)[1]) for name in LOOKS],
        **words.per_day(await queries.per_day(wanted.user_id)),
    )


def _listing(request: WebRequest) -> Listing:
    here = request.app.route_reverse("firmware_queries")
    names = ("model", "csc", "status", "day")
    return lists.read_listing(
        request, here, sorts=queries.ORDERS, usual=queries.USUAL, filters=names
    )


def _wanted(request: WebRequest, user_id: str) -> Wanted:
    listing = _listing(request)
    said = listing.filters
    return Wanted(
        user_id=_whose(request, user_id),
        model=said["model"].upper()[:20],
        csc=said["csc"].upper()[:3],
        status=said["status"] if said["status"] in LOOKS or said["status"] == "unknown" else "",
        day=said["day"] if len(said["day"]) == 10 else "",
        sort=listing.sort,
    )


def _row(pair: Pair) -> dict[str, Any]:
    look, word = status_word(pair.status)
    return {**msgspec.structs.asdict(pair), "look": look, "word": word}


def _whose(request: WebRequest, user_id: str) -> str:
    return "" if request.user is not None and request.user.role == "admin" else user_id
