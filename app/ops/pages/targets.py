"""Where notices go besides the inbox: one's own targets, and for admins those of the instance."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.core.errors import AppError, Conflict, Invalid
from app.core.i18n import _
from app.ops.service import targets
from app.web import auth, forms
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page, redirect

OWN, ADMIN = "targets", "targets_admin"


class NewForm(msgspec.Struct, kw_only=True):
    """A target to be."""

    address: str
    kinds: list[str] = []
    quiet_from: str = ""
    quiet_to: str = ""


class ChoiceForm(msgspec.Struct, kw_only=True):
    """What a target is sent, and when not."""

    kinds: list[str] = []
    quiet_from: str = ""
    quiet_to: str = ""


class TargetPages(Controller):
    """One's own."""

    path = "/account/notifications"
    opt = {"access": "user"}

    @get("/", name=OWN)
    async def index(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return await _show(request, user_id)

    @post("/", name="targets_add", status_code=303)
    async def add(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return await _add(request, user_id, user_id)

    @post("/{target_id:str}", name="targets_change", status_code=303)
    async def change(
        self, request: WebRequest, user_id: NamedDependency[str], target_id: FromPath[str]
    ) -> Response[str]:
        return await _change(request, user_id, target_id, user_id)

    @post("/{target_id:str}/test", name="targets_test", status_code=303)
    async def test(
        self, request: WebRequest, user_id: NamedDependency[str], target_id: FromPath[str]
    ) -> Response[str]:
        return await _test(request, user_id, target_id)

    @post("/{target_id:str}/remove", name="targets_remove", status_code=303)
    async def remove(
        self, request: WebRequest, user_id: NamedDependency[str], target_id: FromPath[str]
    ) -> Response[str]:
        return await _remove(request, user_id, target_id, user_id)


class AdminTargetPages(Controller):
    """The instance's: they take what leads into the admin area, and may be in one's own network."""

    path = "/admin/notifications"
    opt = {"access": "admin"}

    @get("/", name=ADMIN)
    async def index(self, request: WebRequest) -> Response[str]:
        return await _show(request, None)

    @post("/", name="targets_admin_add", status_code=303)
    async def add(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return await _add(request, None, user_id)

    @post("/{channel_id:str}", name="targets_admin_change", status_code=303)
    async def change(
        self, request: WebRequest, user_id: NamedDependency[str], channel_id: FromPath[str]
    ) -> Response[str]:
        return await _change(request, None, channel_id, user_id)

    @post("/{channel_id:str}/test", name="targets_admin_test", status_code=303)
    async def test(self, request: WebRequest, channel_id: FromPath[str]) -> Response[str]:
        return await _test(request, None, channel_id)

    @post("/{channel_id:str}/remove", name="targets_admin_remove", status_code=303)
    async def remove(
        self, request: WebRequest, user_id: NamedDependency[str], channel_id: FromPath[str]
    ) -> Response[str]:
        return await _remove(request, None, channel_id, user_id)


async def _show(
    request: WebRequest, owner: str | None, error: AppError | None = None, **more: Any
) -> Response[str]:
    errors = {}
    if error is not None:
        errors = error.fields if isinstance(error, Invalid) else {"form": error.message}
    here, key = (OWN, "target_id") if owner is not None else (ADMIN, "channel_id")
    rows = [
        msgspec.structs.asdict(target)
        | {
            f"{what}_url": url(request, f"{here}_{what}", **{key: target.id})
            for what in ("change", "test", "remove")
        }
        for target in await targets.list_targets(owner)
    ]
    return page(
        request,
        "ops/targets.html",
        block=("target_rows", "target_new"),
        status=error.status if error else 200,
        rows=rows,
        kinds=targets.kinds_of(owner),
        own=owner is not None,
        add_url=url(request, f"{here}_add"),
        errors=errors,
        **more,
    )


async def _add(request: WebRequest, owner: str | None, actor: str) -> Response[str]:
    posted = await forms.read(request)
    try:
        form = forms.check(posted, NewForm)
        await targets.add(
            owner,
            form.address,
            kinds=form.kinds,
            quiet_from=form.quiet_from,
            quiet_to=form.quiet_to,
            actor=actor,
            ip=auth.client_ip(request),
        )
    except (Invalid, Conflict) as error:
        kept = {name: text for name, text in posted.items() if name != "address"}
        return await _show(request, owner, error, form=kept)
    return _back(request, owner, _("Added. Send a test to see whether it arrives."))


async def _change(
    request: WebRequest, owner: str | None, target_id: str, actor: str
) -> Response[str]:
    posted = await forms.read(request)
    try:
        form = forms.check(posted, ChoiceForm)
        await targets.change(
            owner,
            target_id,
            kinds=form.kinds,
            quiet_from=form.quiet_from,
            quiet_to=form.quiet_to,
            actor=actor,
            ip=auth.client_ip(request),
        )
    except Invalid as error:
        return await _show(request, owner, Invalid(form=" ".join(error.fields.values())))
    return _back(request, owner, _("Saved."))


async def _test(request: WebRequest, owner: str | None, target_id: str) -> Response[str]:
    wrong = await targets.test(owner, target_id)
    return _back(request, owner, wrong or _("The test was sent."))


async def _remove(
    request: WebRequest, owner: str | None, target_id: str, actor: str
) -> Response[str]:
    await targets.remove(owner, target_id, actor=actor, ip=auth.client_ip(request))
    return _back(request, owner, _("Removed."))


def _back(request: WebRequest, owner: str | None, toast: str) -> Response[str]:
    return redirect(request, url(request, OWN if owner is not None else ADMIN), toast=toast)
