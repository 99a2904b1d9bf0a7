"""Everything of one's own to take along, and leaving for good."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import File

from app.accounts.pages.replies import REFUSALS, again, caller
from app.accounts.service import closing
from app.core.i18n import _
from app.web import auth, cookies, forms
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page, redirect


class CloseForm(msgspec.Struct, kw_only=True):
    """The password, and the box that says one means it."""

    password: str
    sure: bool = False


class MyDataPages(Controller):
    """Asks for the password if that is a while ago: all of a person is a lot."""

    path = "/account/data"
    opt = {"access": "user", "fresh": True}

    @get("/", name="my_data")
    async def show(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        data = await _data(user_id)
        return page(request, "accounts/data.html", block=("my_export", "my_close"), **data)

    @post("/export", name="my_export", status_code=303)
    async def export(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        await closing.order_export(user_id, ip=auth.client_ip(request))
        toast = _("The archive is being made. It waits here for a day.")
        return redirect(request, url(request, "my_data"), toast=toast)

    @post("/archive", name="my_archive", status_code=200)
    async def archive(self, request: WebRequest, user_id: NamedDependency[str]) -> File:
        path = await closing.fetch_export(user_id, ip=auth.client_ip(request))
        headers = {
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "no-store",
        }
        name = "holdfast-my-data.zip"
        return File(path, filename=name, media_type="application/zip", headers=headers)

    @post("/close", name="my_close", status_code=303)
    async def close(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, CloseForm)
            if not form.sure:
                return again(
                    request,
                    "accounts/data.html",
                    "my_close",
                    closing.not_sure(),
                    **await _data(user_id),
                )
            await closing.close_own(user_id, form.password, caller(request))
        except REFUSALS as error:
            return again(request, "accounts/data.html", "my_close", error, **await _data(user_id))
        toast = _("The account was deleted.")
        response = redirect(request, url(request, "login"), toast=toast)
        cookies.clear_cookie(response, request, cookies.SESSION)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


async def _data(user_id: str) -> dict[str, Any]:
    return {"archive": await closing.find_export(user_id)}
