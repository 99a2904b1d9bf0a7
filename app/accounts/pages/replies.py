"""What the account pages share.

Who calls, where links lead, and the answer to a form that was refused.
"""

from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Response

from app.accounts.service import signin
from app.accounts.service.passkeys import Place
from app.accounts.service.passwords import Busy
from app.accounts.service.redeem import Gone
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignInFailed
from app.accounts.service.throttle import Throttled
from app.core.errors import AppError, Conflict, Invalid, NotFound
from app.web import auth, cookies
from app.web.auth import WebRequest
from app.web.links import url
from app.web.pages import page, redirect

KNOWN_S = 180 * 86400
KNOWN_MOST = 5

# What a form is shown again for; anything else is not the person's doing.
REFUSALS = (Invalid, Conflict, SignInFailed, Throttled, Busy)
# And what no form can mend.
TURNED_AWAY = (Gone, NotFound, Throttled)


def caller(request: WebRequest) -> Caller:
    """Who signs in, from where, and with which cookie."""
    return Caller(
        ip=auth.client_ip(request),
        user_agent=request.headers.get("User-Agent", ""),
        token=cookies.session_token(request),
    )


def place(request: WebRequest) -> Place:
    """Whom a passkey signs for: the public address if there is one, else where the browser is."""
    public = urlsplit(str(request.app.state.settings.public_url))
    if public.netloc:
        return Place(f"{public.scheme}://{public.netloc}")
    return Place(f"{request.url.scheme}://{request.url.netloc}")


def again(
    request: WebRequest, template: str, block: str, error: AppError, **data: Any
) -> Response[str]:
    """The form once more, with what is wrong with it; what was typed is kept."""
    errors = error.fields if isinstance(error, Invalid) else {"form": error.message}
    return page(
        request,
        template,
        block=block,
        status=error.status,
        headers=retry_after(error),
        errors=errors,
        **data,
    )


def retry_after(error: AppError) -> dict[str, str]:
    """The header that says when to come back, where the refusal knows."""
    seconds = getattr(error, "retry_after_s", None)
    return {"Retry-After": str(seconds)} if seconds else {}


def half_way(request: WebRequest, entered: signin.SignedIn, wanted: str) -> Response[str]:
    """To the second factor. This device counts as known only after that."""
    there = url(request, "second")
    response = redirect(
        request, there if wanted == "/" else f"{there}?next={quote(wanted, safe='/')}"
    )
    cookies.set_session_cookie(response, request, entered.token, False)
    return response


def welcome(request: WebRequest, entered: signin.SignedIn) -> Response[str]:
    """To the dashboard, signed in for the first time."""
    if entered.pending:
        return half_way(request, entered, "/")
    response = redirect(request, "/")
    cookies.set_session_cookie(response, request, entered.token, False)
    remember_here(response, request, entered.user_id, known_here(request))
    return response


def known_here(request: WebRequest) -> tuple[str, ...]:
    """Ids of the accounts that signed in on this device before."""
    kept = cookies.read_signed_cookie(request, cookies.KNOWN, KNOWN_S) or ""
    return tuple(filter(None, kept.split(",")))


def remember_here(
    response: Response[str], request: WebRequest, user_id: str, known: tuple[str, ...]
) -> None:
    """Next time strangers guessing this account's password do not hold up this device."""
    ids = [user_id, *(one for one in known if one != user_id)][:KNOWN_MOST]
    cookies.set_signed_cookie(response, request, cookies.KNOWN, ",".join(ids), KNOWN_S)
