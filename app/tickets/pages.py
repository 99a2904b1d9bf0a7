"""A person's tickets: the one that counts, a run to watch, versions, attempts, and the login."""

from typing import Any

import msgspec
from litestar import Controller, MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.core.area import Area, Step
from app.core.errors import Invalid
from app.core.i18n import _, fmt_month, fmt_range, ngettext
from app.core.live import Viewer
from app.tickets.outcomes import Outcome
from app.tickets.profiles import PRESETS
from app.tickets.service import choices, library, logins, runs
from app.tickets.service.choices import Choices
from app.tickets.service.library import AttemptRow, RunCard, TicketCard
from app.tickets.service.wording import wording
from app.web import forms
from app.web.auth import WebRequest
from app.web.pages import page, saved

# The stored page may never act: no script, no request, no form, no way out of its frame.
FRAME_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:;"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
FRAME_HEADERS = {
    "Content-Security-Policy": FRAME_POLICY,
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
BLOCKS = ("ticket_now", "ticket_rows")
STATUSES = ("success", "duplicate", "error", "skipped")


class SettingsForm(msgspec.Struct, kw_only=True):
    """The login and what may be done with it. Empty number or password: the stored one stays."""

    uk_number: str = ""
    uk_password: str = ""
    agree: bool = False
    auto_download: bool = False
    auto_consent: bool = False
    accept_terms: bool = False
    holder_name: str = ""
    device_profile: str = ""
    notify_new: bool = False
    notify_failed: bool = False
    notify_expiring: bool = False


class TicketPages(Controller):
    """Everything below /tickets. Each row is looked up by its owner."""

    path = "/tickets"
    opt = {"access": "user:tickets"}

    @get("/", name="tickets")
    async def index(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        return await _index(request, user_id)

    @post("/download", name="ticket_download", status_code=303)
    async def download(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        await runs.order_download(user_id)
        data = await _index_data(request, user_id)
        return saved(
            request,
            request.app.route_reverse("tickets"),
            "",
            "tickets/index.html",
            block="ticket_now",
            **data,
        )

    @get("/history", name="tickets_history")
    async def history(
        self,
        request: WebRequest,
        user_id: NamedDependency[str],
        status: FromQuery[str] = "",
        before: FromQuery[int | None] = None,
    ) -> Response[str]:
        status = status if status in STATUSES else ""
        rows = await library.list_attempts(
            user_id, status=status, before=before, limit=library.ATTEMPTS + 1
        )
        url = request.app.route_reverse("tickets_history")
        shown = rows[: library.ATTEMPTS]
        older = shown[-1].id if len(rows) > len(shown) else None
        return page(
            request,
            "tickets/history.html",
            block="history_rows",
            tabs=_history_tabs(url, status),
            rows=[_attempt(row) for row in shown],
            here_url=url + _query(status=status, before=before),
            newer_url=url + _query(status=status) if before else "",
            older_url=url + _query(status=status, before=older) if older else "",
        )

    @get("/settings", name="tickets_settings")
    async def settings(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        data = await _settings_data(user_id, await choices.get_choices(user_id))
        return page(request, "tickets/settings.html", block="ticket_settings", **data)

    @post("/settings", name="tickets_settings_post", status_code=303)
    async def save(self, request: WebRequest, user_id: NamedDependency[str]) -> Response[str]:
        posted = await forms.read(request)
        try:
            form = forms.check(posted, SettingsForm, keep_space=("uk_password",))
            await _save(user_id, form)
        except Invalid as error:
            shown = {name: value for name, value in posted.items() if name != "uk_password"}
            data = await _settings_data(user_id, await choices.get_choices(user_id))
            return page(
                request,
                "tickets/settings.html",
                block="ticket_settings",
                status=422,
                form=shown,
                errors=error.fields,
                **data,
            )
        data = await _settings_data(user_id, await choices.get_choices(user_id))
        return saved(
            request,
            request.app.route_reverse("tickets"),
            "tickets",
            "tickets/settings.html",
            toast=_("Saved."),
            **data,
        )

    @get("/{ticket_id:int}", name="ticket_show")
    async def show(
        self, request: WebRequest, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[str]:
        ticket = await library.get_ticket(user_id, ticket_id)
        request.scope["frame_src"] = "'self'"  # type: ignore[typeddict-unknown-key]
        return page(
            request,
            "tickets/show.html",
            ticket=_with_code(request, ticket),
            checks=[
                _check(check.rule, check.ok, check.hard, check.detail) for check in ticket.checks
            ],
        )

    @get("/{ticket_id:int}/frame", name="ticket_frame")
    async def frame(
        self, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[bytes]:
        view = await library.read_view(user_id, ticket_id)
        return Response(view, media_type=MediaType.HTML, headers=FRAME_HEADERS)

    @get("/{ticket_id:int}/file", name="ticket_file")
    async def file(
        self, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[bytes]:
        ticket = await library.get_ticket(user_id, ticket_id)
        view = await library.read_view(user_id, ticket_id)
        month = (ticket.valid_from.isoformat() if ticket.valid_from else ticket.first_seen)[:7]
        disposition = f'attachment; filename="semester-ticket-{month}.html"'
        headers = {**FRAME_HEADERS, "Content-Disposition": disposition}
        return Response(view, media_type=MediaType.HTML, headers=headers)

    @get("/{ticket_id:int}/code.png", name="ticket_code")
    async def code(
        self, user_id: NamedDependency[str], ticket_id: FromPath[int]
    ) -> Response[bytes]:
        picture = await library.read_code(user_id, ticket_id)
        headers = {"Cache-Control": "private, no-store"}
        return Response(picture, media_type="image/png", headers=headers)


async def describe(viewer: Viewer) -> Area | None:
    """The line of this domain on the dashboard."""
    if "tickets" not in viewer.domains:
        return None
    ticket = await library.current_ticket(viewer.id)
    login = await logins.find_login(viewer.id)
    if ticket is None:
        stands, sub = _("No ticket yet"), "" if login else _("Store your login first.")
    else:
        stands, sub = ticket.product, fmt_range(ticket.valid_from, ticket.valid_to)
    left = ticket.days_left if ticket else None
    return Area(
        title=_("Tickets"),
        icon="ticket",
        url="/tickets",
        stands=stands,
        sub=sub,
        next=ngettext("%(n)s day left", "%(n)s days left", left) if left is not None else "",
        size_bytes=ticket.size_bytes if ticket else None,
        step=Step(
            title=_("Store the login of the ticket portal"),
            text=_("Then Holdfast fetches your ticket each month and tells you if it cannot."),
            url="/tickets/settings",
            done=login is not None,
        ),
    )


async def _index(request: WebRequest, user_id: str) -> Response[str]:
    data = await _index_data(request, user_id)
    return page(request, "tickets/index.html", block=BLOCKS, **data)


async def _index_data(request: WebRequest, user_id: str) -> dict[str, Any]:
    ticket = await library.current_ticket(user_id)
    login = await logins.find_login(user_id)
    run = await library.find_run(user_id)
    chosen = await choices.get_choices(user_id)
    attempts = await library.list_attempts(user_id, limit=1)
    why_not = _("The portal refused the stored password.") if login and login.is_blocked else ""
    months = await library.months(user_id)
    return {
        "ticket": _with_code(request, ticket) if ticket else None,
        "run": _run(run) if run else None,
        "last": _last(request, attempts[0]) if attempts else None,
        "has_login": login is not None,
        "has_consent": chosen.decided,
        "can_download": login is not None and not login.is_blocked,
        "why_not": why_not,
        "months": [
            {
                "label": fmt_month(first),
                "look": "success" if had else "off",
                "word": _("ticket") if had else _("no ticket"),
                "here": first == months[-1][0],
            }
            for first, had in months
        ],
        "rows": await library.list_versions(user_id),
        "total": await library.count_versions(user_id),
    }


def _with_code(request: WebRequest, ticket: TicketCard) -> dict[str, Any]:
    url = request.app.route_reverse("ticket_code", ticket_id=ticket.id) if ticket.has_code else ""
    return {**msgspec.structs.asdict(ticket), "code_url": _root(request) + url if url else ""}


def _run(run: RunCard) -> dict[str, Any]:
    words = (_("Queued"), _("Login"), _("Consent"), _("Ticket"), _("Check"), _("Saved"))
    looks = [
        "success" if at < run.step else "running" if at == run.step else ""
        for at in range(len(words))
    ]
    title = _("Fetching the ticket") if run.running else _("Waiting for its turn")
    return {
        "job_id": run.job_id,
        "title": title,
        "started_at": run.started_at,
        "steps": [
            {"word": word, "look": look, "note": ""}
            for word, look in zip(words, looks, strict=True)
        ],
        "can_cancel": True,
    }


def _last(request: WebRequest, row: AttemptRow) -> dict[str, Any]:
    words = wording(_outcome(row.outcome))
    where = request.app.route_reverse("tickets_settings") if words.advice else ""
    advice = {"login": _("Enter the login again"), "consent": _("Decide about consent")}
    return {
        "at": row.at,
        "look": words.look,
        "word": words.word,
        "text": words.text,
        "advice_url": _root(request) + where if where else "",
        "advice_word": advice.get(words.advice, ""),
    }


def _attempt(row: AttemptRow) -> dict[str, Any]:
    words = wording(_outcome(row.outcome))
    asked = {
        "manual": _("you"),
        "auto": _("calendar"),
        "base": _("base check"),
        "admin": _("an admin"),
        "verify": _("login check"),
        "import": _("import"),
    }
    return {
        "id": row.id,
        "at": row.at,
        "look": words.look,
        "word": words.word,
        "text": words.text,
        "asked_by": asked.get(row.trigger, row.trigger),
        "ms": row.ms,
        "steps": [
            {
                "word": f"{step['method']} {step['host']}{step['path']}",
                "note": f"{step['status']}, {step['ms']} ms",
            }
            for step in row.steps
        ],
    }


def _history_tabs(url: str, status: str) -> list[dict[str, Any]]:
    words = {
        "": _("All"),
        "success": _("New"),
        "duplicate": _("Unchanged"),
        "error": _("Failed"),
        "skipped": _("Skipped"),
    }
    return [
        {"title": word, "url": url + _query(status=key), "here": key == status, "count": None}
        for key, word in words.items()
    ]


async def _settings_data(user_id: str, chosen: Choices) -> dict[str, Any]:
    login = await logins.find_login(user_id)
    status = None
    if login and login.status:
        good = login.status == "ok"
        words = wording(Outcome.OK if good else _outcome(login.status))
        status = {
            "look": words.look,
            "word": words.word,
            "text": words.text,
            "at": login.last_login_at,
        }
    return {
        "number_masked": login.uk_number if login else "",
        "password_at": login.saved_at if login else None,
        "keeper": await logins.keeper(),
        "login": status,
        "blocked": bool(login and login.is_blocked),
        "devices": [("", _("Holdfast (honest)")), *((name, name) for name in PRESETS)],
        **msgspec.structs.asdict(chosen),
    }


async def _save(user_id: str, form: SettingsForm) -> None:
    """The login first: choices without one are worth keeping, a login without agreement is not."""
    stored = await logins.find_login(user_id)
    if (form.uk_number or form.uk_password) and not form.agree:
        raise Invalid(agree=_("Without your agreement the login is not stored."))
    if form.uk_number or form.uk_password or (form.agree and stored is None):
        await logins.save_login(user_id, form.uk_number, form.uk_password)
    elif stored and not form.agree:
        await logins.remove_login(user_id)
    await choices.save_choices(
        user_id,
        Choices(
            auto_download=form.auto_download,
            auto_consent=form.auto_consent,
            accept_terms=form.accept_terms,
            holder_name=form.holder_name,
            device_profile=form.device_profile,
            notify_new=form.notify_new,
            notify_failed=form.notify_failed,
            notify_expiring=form.notify_expiring,
        ),
    )


def _check(rule: str, ok: bool, hard: bool, detail: str) -> dict[str, str]:
    words = {
        "V1": _("Size of the page"),
        "V2": _("Page of the portal"),
        "V3": _("Says what ticket it is"),
        "V4": _("Nothing else on it"),
        "V5": _("Dates of validity"),
        "V6": _("Your name"),
        "V7": _("Code picture"),
        "V8": _("Nobody else's code"),
        "V9": _("Not older than before"),
    }
    look = "success" if ok else "failed" if hard else "held"
    return {"word": words.get(rule, rule), "look": look, "text": detail}


def _outcome(stored: str) -> Outcome:
    aliases = {"locked": "account_locked", "unreachable": "network"}
    try:
        return Outcome(aliases.get(stored, stored))
    except ValueError:  # written by a newer version
        return Outcome.PORTAL_CHANGED


def _query(**values: Any) -> str:
    kept = "&".join(f"{name}={value}" for name, value in values.items() if value not in ("", None))
    return f"?{kept}" if kept else ""


def _root(request: WebRequest) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")
