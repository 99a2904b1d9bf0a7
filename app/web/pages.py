"""Rendering: one template is the page and its fragments.

Also what every page is given: who looks, the menu, the language.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from litestar import MediaType, Response
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template.config import TemplateConfig
from markupsafe import Markup

from app.core import i18n
from app.core.area import Shell
from app.core.paths import TEMPLATES, version
from app.web.assets import asset
from app.web.flash import FLASH, FLASH_S, Flash, Undo, seal, unseal
from app.web.links import root_of

if TYPE_CHECKING:
    # auth.py redirects through this module, so only its types are known here.
    from app.web.auth import Principal, WebRequest

LOOK = "holdfast-look"
THEMES = ("auto", "light", "dark")
_VARY = "HX-Request, HX-Request-Type"


class NavItem(NamedTuple):
    """One place of the menu, hidden from those whom `access` of its route keeps out."""

    name: str
    title: str
    url: str
    icon: str
    access: str
    key: str = ""  # `g` and this key lead there


class Look(NamedTuple):
    """Language and theme before sign-in, from the cookie `holdfast-look`."""

    locale: str = ""
    theme: str = ""


def page(
    request: WebRequest,
    template: str,
    *,
    block: str | tuple[str, ...] | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **data: Any,
) -> Response[str]:
    """The whole template, or where htmx asked for a fragment the named block of it.

    Of several blocks the one is taken whose name is the id of the element to be swapped
    (`ticket-run` asks for `ticket_run`), else the first. `form`, `errors`, `q` may be left out.
    """
    set_language(request)
    view = environment().get_template(template)
    context = view.new_context({"form": None, "errors": {}, "q": "", **_given(request), **data})
    name = _asked(request, block) if is_fragment(request) else None
    chunks = view.blocks[name](context) if name else view.root_render_func(context)
    sent = {"Vary": _VARY, "Cache-Control": "no-store", **(headers or {})}
    response = Response(
        "".join(chunks), media_type=MediaType.HTML, status_code=status, headers=sent
    )
    if name is None and _cookie(request, FLASH) in request.cookies:
        _put(response, request, FLASH, "", 0)
    if (wish := request.query_params.get("lang")) in i18n.LANGUAGES and request.scope.get(
        "user"
    ) is None:
        _remember(response, request, Look(wish or "", _look(request).theme))
    return response


def saved(
    request: WebRequest,
    url: str,
    event: str,
    template: str,
    *,
    block: str | tuple[str, ...] | None = None,
    toast: str = "",
    **data: Any,
) -> Response[str]:
    """The answer to a POST that worked: 303 to `url`, or for htmx the fresh block and `event`.

    `toast` is one sentence for the corner of the screen, here or where the redirect leads to.
    """
    if is_fragment(request) and block is not None:
        sent = {"HX-Trigger": _events(event, toast)}
        return page(request, template, block=block, headers=sent, **data)
    return redirect(request, url, toast=toast)


def done(request: WebRequest, url: str, event: str, *, toast: str = "") -> Response[str]:
    """The answer to an action on one row that worked: 303 to `url`.

    For htmx an empty body and `HX-Trigger: event`, on which the list fetches itself.
    """
    if not is_fragment(request):
        return redirect(request, url, toast=toast)
    sent = {"HX-Trigger": _events(event, toast), "Cache-Control": "no-store", "Vary": _VARY}
    return Response("", media_type=MediaType.HTML, status_code=200, headers=sent)


def redirect(
    request: WebRequest, url: str, *, toast: str = "", undo: Undo | None = None
) -> Response[str]:
    """303 to a page of ours (for htmx: `HX-Redirect`), with one sentence to be shown there.

    `undo`: a form beside the sentence that takes back what was done.
    """
    root = root_of(request.scope)
    target = url if url.startswith(f"{root}/") else root + url
    target = quote(target, safe="/?#[]@!$&'()*+,;:=%~")  # a header takes no other letters
    if request.headers.get("HX-Request") == "true":
        response = Response(
            "", media_type=MediaType.HTML, status_code=200, headers={"HX-Redirect": target}
        )
    else:
        response = Response(
            "", media_type=MediaType.HTML, status_code=303, headers={"Location": target}
        )
    response.headers["Cache-Control"] = "no-store"
    if toast:
        _put(response, request, FLASH, seal(Flash(toast, undo)), FLASH_S)
    return response


def is_fragment(request: WebRequest) -> bool:
    """True if htmx asked for a part of a page, not for a whole one in any of its ways."""
    sent = request.headers
    return (
        sent.get("HX-Request") == "true"
        and sent.get("HX-Request-Type") != "full"
        and "HX-Boosted" not in sent
        and "HX-History-Restore-Request" not in sent
    )


def may(user: Principal | None, access: str) -> bool:
    """Whether a person may use a route of that access; the same words the guard reads."""
    kind, _, domain = access.partition(":")
    match kind:
        case "public":
            return True
        case "anon_only":
            return user is None
        case "user":
            return user is not None and (not domain or domain in user.domains)
        case "admin":
            return user is not None and user.role == "admin"
    return False


async def speak(request: WebRequest) -> None:
    """Choose the language: `before_request` of the application, so that services speak it too.

    For whole pages also ask what their frame says of this moment.
    """
    set_language(request)
    user, ask = request.scope.get("user"), request.app.state.get("shell")
    if ask and user is not None and not is_fragment(request):
        request.state.shell = await ask(user)


class _Environment(Environment):
    """`row.name` of a dict asks for the key first: an attribute that is not there costs more."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The Jinja environment, with everything a template may call."""
    env = _Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        auto_reload=False,  # `make dev` starts anew; a look at every file's time costs each page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(
        _=i18n._, ngettext=i18n.ngettext, languages=i18n.LANGUAGES, version=version(), kept=kept
    )
    env.globals.update(
        url_for=_url_for, asset=_asset, icon_url=_icon_url, nav_here=_nav_here, query=_query
    )
    for name in ("time", "day", "range", "month", "span", "size", "number"):
        env.globals[f"fmt_{name}"] = getattr(i18n, f"fmt_{name}")
    env.globals["round_up"] = _round_up
    env.filters["capfirst"] = lambda text: text[:1].upper() + text[1:]
    env.globals["iso"] = lambda value: i18n.as_time(value).isoformat(timespec="seconds")
    return env


def template_config() -> TemplateConfig[JinjaTemplateEngine]:
    """What Litestar is given; `page()` renders with the same environment."""
    engine = JinjaTemplateEngine.from_environment(environment())
    # Litestar brings a `url_for` of its own, which forgets the path we are mounted under.
    engine.engine.globals["url_for"] = _url_for
    return TemplateConfig(instance=engine)


def kept(form: Any, name: str, default: Any = "") -> Any:
    """What the person typed into a field, from the form that came back, else `default`."""
    if form is None:
        return default
    if isinstance(form, Mapping):
        return form.get(name, default)
    return getattr(form, name, default)


def _given(request: WebRequest) -> dict[str, Any]:
    user, path = request.scope.get("user"), request.url.path
    look = _look(request)
    nav: Iterable[tuple[Any, ...]] = getattr(request.app.state, "nav", ())
    items = [NavItem(*item) for item in nav if may(user, item[4])]
    given = {
        "request": request,
        "root": root_of(request.scope),
        "path": path,
        "host": request.url.netloc,
        "user": user,
        "nav": [item for item in items if item.access != "admin"],
        "nav_admin": [item for item in items if item.access == "admin"],
        "locale": i18n.current(),
        "theme": look.theme or (user.theme if user else "auto"),
        "csp_nonce": request.scope.get("csp_nonce", ""),
        "demo": bool(getattr(request.app.state, "demo", False)),
        "insecure": request.url.scheme != "https"
        and request.url.hostname not in ("localhost", "127.0.0.1", "::1"),
        "flash": unseal(request.cookies.get(_cookie(request, FLASH), "")),
        "heard": _heard(request),
        "shell": request.state.get("shell") or Shell(),
        "look_cookie": _cookie(request, LOOK),
    }
    return {**given, "ui": _parts(given["root"])}


def _heard(request: WebRequest) -> str:
    """The last word of the hub before this page was drawn; its stream goes on from there."""
    hub = request.app.state.get("hub")
    return f"{hub.boot}-{hub.number}" if hub else ""


@lru_cache(maxsize=8)
def _parts(root: str) -> Any:
    """The macros. They see only their own template and need to know where we are mounted."""
    words = {"root": root, "drawn_icon": partial(_icon, root), "drawn_state": _state}
    return environment().get_template("_ui.html").make_module(words)


# The two smallest parts stand a hundred times on a page of fifty rows: Python draws them, once.
@lru_cache(maxsize=256)
def _icon(root: str, name: str, small: bool = False) -> Markup:
    size = " icon--small" if small else ""
    address = f"{asset('icons.svg', root)}#{name}"
    return Markup('<svg class="icon{}" aria-hidden="true"><use href="{}"></use></svg>').format(
        size, address
    )


@lru_cache(maxsize=2048)
def _state(look: str, word: str, big: bool = False) -> Markup:
    size = " state--big" if big else ""
    return Markup('<span class="state{}" data-state="{}">{}</span>').format(size, look, word)


def _events(event: str, toast: str) -> str:
    events: dict[str, Any] = {event: {}} if event else {}
    if toast:
        events["toast"] = {"text": toast}
    return json.dumps(events)


def _asked(request: WebRequest, block: str | tuple[str, ...] | None) -> str | None:
    if not isinstance(block, tuple):
        return block
    target = request.headers.get("HX-Target", "").rpartition("#")[2].replace("-", "_")
    return target if target in block else block[0]


def set_language(request: WebRequest) -> None:
    """Speak the language of who asks, for the rest of this request."""
    user: Principal | None = request.scope.get("user")
    asked = request.query_params.get("lang", "") if user is None else ""
    cookie = asked if asked in i18n.LANGUAGES else _look(request).locale
    accept = request.headers.get("Accept-Language", "")
    locale = i18n.choose(account=user.locale if user else "", cookie=cookie, accept=accept)
    i18n.speak(locale, user.time_zone if user else "")


def _look(request: WebRequest) -> Look:
    locale, _, theme = request.cookies.get(_cookie(request, LOOK), "").partition(".")
    return Look(locale if locale in i18n.LANGUAGES else "", theme if theme in THEMES else "")


def _remember(response: Response[str], request: WebRequest, look: Look) -> None:
    # app.js writes the theme into the same cookie, so it is not HttpOnly; it holds no secret.
    _put(response, request, LOOK, f"{look.locale}.{look.theme}", 365 * 86400, script=True)


def _cookie(request: WebRequest, name: str) -> str:
    return f"__Host-{name}" if request.url.scheme == "https" else name


def _put(
    response: Response[str],
    request: WebRequest,
    name: str,
    value: str,
    age_s: int,
    *,
    script: bool = False,
) -> None:
    response.set_cookie(
        key=_cookie(request, name),
        value=value,
        path="/",
        max_age=age_s,
        httponly=not script,
        secure=request.url.scheme == "https",
        samesite="lax",
    )


@pass_context
def _url_for(context: Context, name: str, /, **values: Any) -> str:
    request = context["request"]
    if values:
        return str(request.app.route_reverse(name, **values))
    known = request.app.state.setdefault("addresses", {})
    if name not in known:
        known[name] = str(request.app.route_reverse(name))
    return str(known[name])


@pass_context
def _asset(context: Context, path: str) -> str:
    return asset(path, str(context["root"]))


@pass_context
def _icon_url(context: Context, name: str) -> str:
    return f"{asset('icons.svg', str(context['root']))}#{name}"


@pass_context
def _nav_here(context: Context, url: str) -> bool:
    path, target = str(context["path"]), str(url).rstrip("/")
    return path == url or (bool(target) and (path == target or path.startswith(f"{target}/")))


def _query(**values: Any) -> str:
    """`?a=1&b=2` without what is empty: the state of a list in its address."""
    kept_values = {name: value for name, value in values.items() if value not in ("", None)}
    return f"?{urlencode(kept_values, doseq=True)}" if kept_values else ""


def _round_up(value: float) -> int:
    """The end of an axis whose half is round too: 2, 4, 6, 8, 10, 20, 40 and so on."""
    step = int(10 ** max(len(str(int(value))) - 1, 0))
    return next(n for n in (2 * step, 4 * step, 6 * step, 8 * step, 10 * step) if n >= value)
