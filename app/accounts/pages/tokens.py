"""One's own API tokens, and what they open."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.accounts.pages.replies import REFUSALS, again
from app.accounts.service import tokens
from app.core.i18n import _
from app.web import auth, forms, openapi
from app.web.auth import WebRequest
from app.web.links import absolute, url
from app.web.pages import page, redirect


class TokenForm(msgspec.Struct, kw_only=True):
    """One token."""

    name: str
    scopes: list[str] = []
    days: str = str(tokens.USUAL_DAYS)
    addresses: str = ""


class TokenPages(Controller):
    """Making and revoking; the text of a token is shown once."""

    path = "/account/tokens"
    opt = {"access": "user", "fresh": True}

    @get("/", name="tokens")
    async def index(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        data = await _data(request, user_id)
        return page(request, "accounts/tokens.html", block=("token_new", "token_rows"), **data)

    @post("/", name="tokens_create", status_code=200)
    async def create(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, TokenForm)
            made = await tokens.create_token(
                user_id,
                name=form.name,
                scopes=form.scopes,
                possible=await _possible(request),
                days=form.days,
                addresses=form.addresses,
                ip=auth.client_ip(request),
            )
        except REFUSALS as error:
            data = await _data(request, user_id)
            return again(request, "accounts/tokens.html", "token_new", error, form=posted, **data)
        data = await _data(request, user_id, made=made)
        return page(request, "accounts/tokens.html", block="token_new", **data)

    @post("/{token:str}/revoke", name="token_revoke", status_code=303)
    async def revoke(
        self, request: WebRequest, user_id: NamedDependency[str], token: FromPath[str]
    ) -> Response[str]:
        await tokens.revoke_token(user_id, token, ip=auth.client_ip(request))
        return redirect(request, url(request, "tokens"), toast=_("The token was revoked."))

    @get("/api", name="api_page")
    async def api(self, request: WebRequest) -> Response[str]:
        return page(
            request,
            "accounts/api.html",
            operations=openapi.operations(request.app),
            base=absolute(request, "openapi").removesuffix("/schema/openapi.json"),
        )


async def _possible(request: WebRequest) -> list[str]:
    user = request.user
    if user is None:
        return []
    built = request.app.state.api_scopes
    return await tokens.possible_scopes(user.role, user.domains, built)


async def _data(request: WebRequest, user_id: str, *, made: Any = None) -> dict[str, Any]:
    return {
        "rows": await tokens.list_tokens(user_id),
        "scopes": await _possible(request),
        "days": tokens.USUAL_DAYS,
        "made": made,
    }
