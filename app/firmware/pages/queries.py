"""The query log: one's own, or everybody's for admins. No number is shown in full."""

import csv
import io
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.core.errors import Invalid
from app.core.i18n import _
from app.firmware import imei as imeis
from app.firmware.pages import words
from app.firmware.pages.words import LOOKS
from app.firmware.service import queries
from app.firmware.service.queries import Pair, Wanted
from app.firmware.service.wording import status_word
from app.web import forms
from app.web.auth import WebRequest
from app.web.pages import page, redirect

MOST = 10_000


class FindForm(msgspec.Struct, kw_only=True):
    """A full IMEI to search for: by POST, so that it stands in no address and no log."""

    imei: str = ""


class FirmwareQueryPages(Controller):
    """Everything below /firmware/queries."""

    path = "/firmware/queries"
    opt = {"access": "user:firmware"}

    @get("/", name="firmware_queries")
    async def index(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        model: FromQuery[str] = "",
        csc: FromQuery[str] = "",
        status: FromQuery[str] = "",
        day: FromQuery[str] = "",
        before: FromQuery[int | None] = None,
    ) -> Response[str]:
        wanted = Wanted(
            user_id=_whose(request, user_id),
            model=model.strip().upper()[:20],
            csc=csc.strip().upper()[:3],
            status=status if status in LOOKS or status == "unknown" else "",
            day=day if len(day) == 10 else "",
            before=before,
        )
        return await _list(request, wanted)

    @post("/", name="firmware_queries_find", status_code=200)
    async def find(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        form = await forms.read_form(request, FindForm)
        whose = _whose(request, user_id)
        try:
            number = imeis.tidy_imei(form.imei)
        except Invalid as error:
            return await _list(request, Wanted(user_id=whose), errors=error.fields, code=422)
        return await _list(request, Wanted(user_id=whose, imei=number), found=imeis.mask(number))

    @get("/csv", name="firmware_queries_csv")
    async def export(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        rows = await queries.list_pairs(Wanted(user_id=_whose(request, user_id)), limit=MOST)
        out = io.StringIO()
        writer = csv.writer(out)
        names = ("asked_at", "answered_at", "imei", "model", "csc", "version_code", "status")
        writer.writerow(names)
        writer.writerows([_safe(getattr(row, name)) for name in names] for row in rows)
        headers = {"Content-Disposition": 'attachment; filename="firmware-queries.csv"'}
        return Response(out.getvalue(), media_type="text/csv", headers=headers)

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
    rows = await queries.list_pairs(wanted, limit=queries.PAGE + 1)
    shown = rows[: queries.PAGE]
    return page(
        request,
        "firmware/queries.html",
        block="firmware_query_rows",
        status=code,
        errors=errors or {},
        rows=[_row(row) for row in shown],
        wanted=wanted,
        found=found,
        older=shown[-1].id if len(rows) > len(shown) else None,
        all_people=not wanted.user_id,
        statuses=[(name, status_word(name)[1]) for name in LOOKS],
        **words.per_day(await queries.per_day(wanted.user_id)),
    )


def _row(pair: Pair) -> dict[str, Any]:
    look, word = status_word(pair.status)
    return {**msgspec.structs.asdict(pair), "look": look, "word": word}


def _safe(value: str | None) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = value or ""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _whose(request: WebRequest, user_id: str) -> str:
    return "" if request.user is not None and request.user.role == "admin" else user_id
