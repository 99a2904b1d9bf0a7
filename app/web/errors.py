"""What a person, a fragment or a program is told when something went wrong."""

from __future__ import annotations

from typing import Any

import apsw
import structlog
from litestar import MediaType, Response
from litestar.exceptions import HTTPException, ValidationException

from app.core.errors import AppError, Invalid
from app.core.i18n import _, mark
from app.core.logs import log
from app.web.auth import EXCEPTION_HANDLERS as AUTH_HANDLERS
from app.web.auth import WebRequest
from app.web.links import inner_path, root_of
from app.web.pages import is_fragment, page, set_language

_HUNG_UP = "client disconnected prematurely"  # in Litestar's words, and a 500
_PROBLEM = "application/problem+json"


def on_app_error(request: WebRequest, error: AppError) -> Response[Any]:
    """One of the five errors of `app.core.errors`, with the sentence its raiser gave."""
    fields = error.fields if isinstance(error, Invalid) else None
    text = next(iter(fields.values()), "") if fields else error.message
    wait_s = getattr(error, "retry_after_s", None)
    headers = {"Retry-After": str(wait_s)} if wait_s else None
    return answer(request, error.status, text, fields=fields, headers=headers)


def foreign(request: WebRequest) -> Response[Any]:
    """A change that no page of ours asked for; whoever meant it finds the way to one."""
    set_language(request)
    toast = {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"} if is_fragment(request) else {}
    return page(
        request,
        "error.html",
        block="fault_toast",
        status=403,
        headers=toast,
        title=_("This request was refused"),
        text=_("It did not come from Holdfast’s own page, so nothing was changed. Try it there."),
        reference="",
        way_url=f"{str(request.scope.get('root_path', '')).rstrip('/')}/",
        way_word=_("To Holdfast"),
    )


def damaged(request: WebRequest) -> Response[Any]:
    """Every page while the database file is damaged. Reads nothing from it."""
    set_language(request)
    title = _("Closed for repair")
    text = _("The database file is damaged. Whoever runs this server has to restore a copy.")
    headers = {"Retry-After": "600"}
    if inner_path(request.scope).startswith("/api/"):
        problem = {"type": "about:blank", "title": title, "status": 503, "detail": text}
        return Response(problem, status_code=503, media_type=_PROBLEM, headers=headers)
    if is_fragment(request):
        headers |= {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"}
    return page(
        request,
        "error.html",
        block="fault_toast",
        status=503,
        headers=headers,
        title=title,
        text=text,
        reference="",
        way_url=f"{root_of(request.scope)}/",
        way_word=_("Look again"),
    )


def on_busy(request: WebRequest, error: apsw.BusyError) -> Response[Any]:
    """Somebody else holds the file for longer than anybody should have to wait."""
    log.warning("request.busy", path=request.url.path, error=type(error).__name__)
    return answer(request, 503, "", headers={"Retry-After": "2"})


def on_http_error(request: WebRequest, error: HTTPException) -> Response[Any]:
    """What Litestar itself refuses: unknown address, wrong method, broken or too large body."""
    status = 400 if isinstance(error, ValidationException) else error.status_code
    if error.detail == _HUNG_UP:
        return answer(request, 400, "")  # nobody hears it, and no fault of ours is to be looked for
    if status >= 500:
        return on_crash(request, error)
    passed_on = ("retry-after", "allow", "www-authenticate")
    headers = {
        name: value for name, value in (error.headers or {}).items() if name.lower() in passed_on
    }
    return answer(request, status, "", headers=headers)


def on_overflow(request: WebRequest, error: OverflowError) -> Response[Any]:
    """A number that no row can have: asked for by hand, since no page of ours leads there."""
    log.warning("request.number", exc_info=error)
    return answer(request, 404, "")


def on_depth(request: WebRequest, error: RecursionError) -> Response[Any]:
    """A body nested deeper than any parser follows."""
    log.warning("request.depth", error=str(error))
    return answer(request, 400, "")


def on_crash(request: WebRequest, error: Exception) -> Response[Any]:
    """A fault of ours: logged in full, shown as a number to quote."""
    log.error("request.failed", path=request.url.path, exc_info=error)
    reference = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    return answer(request, 500, "", reference=reference)


def answer(
    request: WebRequest,
    status: int,
    text: str,
    *,
    reference: str = "",
    fields: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """The same error as problem JSON below /api/, as a toast for htmx, else as a page."""
    set_language(request)  # where no route was found nobody has chosen it yet
    title, usual = _words(status)
    if inner_path(request.scope).startswith("/api/"):
        problem = {"type": "about:blank", "title": title, "status": status, "detail": text or usual}
        more = {"errors": fields} if fields else {"request_id": reference} if reference else {}
        return Response(problem | more, status_code=status, media_type=_PROBLEM, headers=headers)
    sent = dict(headers or {})
    if is_fragment(request):
        if status == 404 and request.method == "GET":
            # The thing a live fragment shows is gone; so is the fragment.
            return Response(
                "",
                status_code=404,
                media_type=MediaType.HTML,
                headers={**sent, "HX-Reswap": "delete"},
            )
        sent |= {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"}
    home = (
        f"{root_of(request.scope)}/"
        if request.scope.get("user")
        else request.app.route_reverse("login")
    )
    return page(
        request,
        "error.html",
        block="fault_toast",
        status=status,
        headers=sent,
        title=title,
        text=text or usual,
        reference=reference,
        way_url=home,
        way_word=_("Back to dashboard") if request.scope.get("user") else _("To the sign-in page"),
    )


def _words(status: int) -> tuple[str, str]:
    title, text = _WORDS.get(status, _REFUSED if status < 500 else _BROKEN)
    return _(title), _(text)


_REFUSED = (mark("This request was refused"), mark("Go back and try it once more."))
_BROKEN = (mark("Something broke on our side"), mark("You can simply do it again."))
_WORDS = {
    400: (mark("This request was not understood"), mark("Go back and try it once more.")),
    401: (mark("Please sign in"), mark("This place is only for people with an account.")),
    403: (mark("This is not yours to open"), mark("An admin can give you access.")),
    404: (
        mark("Nothing here"),
        mark("The address is wrong, or the thing is gone or not yours."),
    ),
    405: (
        mark("This address does not take that"),
        mark("Go back and use the page's own buttons."),
    ),
    409: (
        mark("That is not possible now"),
        mark("Something changed meanwhile. Look again, then decide."),
    ),
    410: (mark("This is over"), mark("The link or thing has served its time.")),
    413: (mark("That is too large"), mark("Send less at once.")),
    422: (mark("Something does not fit"), mark("Go back and correct the form.")),
    429: (mark("Too many tries"), mark("Wait a little, then try again.")),
    502: (
        mark("A service outside did not answer as it should"),
        mark("Nothing is lost. Try again later."),
    ),
    503: (mark("Holdfast is busy"), mark("Wait a little, then try again.")),
}

EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    AppError: on_app_error,
    apsw.BusyError: on_busy,
    HTTPException: on_http_error,
    OverflowError: on_overflow,
    RecursionError: on_depth,
    Exception: on_crash,
    **AUTH_HANDLERS,
}
