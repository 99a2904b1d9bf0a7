"""What several ticket pages say in the same way: outcomes, who asked, attempts, checks."""

import re
from typing import Any
from urllib.parse import urlencode

from app.core.i18n import _, fmt_range, fmt_size
from app.tickets.outcomes import Outcome
from app.tickets.paper.validate import Check
from app.tickets.service.library import AttemptRow
from app.tickets.service.trying import Tried
from app.tickets.service.wording import wording
from app.web.auth import WebRequest


def outcome_of(stored: str) -> Outcome:
    """A stored code or login status as an outcome."""
    aliases = {"locked": "account_locked", "unreachable": "network"}
    try:
        return Outcome(aliases.get(stored, stored))
    except ValueError:  # written by a newer version
        return Outcome.PORTAL_CHANGED


def tried(how: Tried) -> str:
    """One sentence about a call that was tried: status, time, reason."""
    if how.good:
        text = _("It works: answer %(status)s after %(ms)s ms.", status=how.status, ms=how.ms)
        return f"{text} {how.reason}".strip()
    said = how.status or _("no answer")
    text = _("It does not work (%(status)s after %(ms)s ms).", status=said, ms=how.ms)
    return f"{text} {how.reason}"


def asked_by(trigger: str, *, own: bool = True) -> str:
    """Who or what asked for a run; `own`: whether its reader is the one it was for."""
    words = {
        "manual": _("you") if own else _("the person"),
        "auto": _("calendar"),
        "base": _("base check"),
        "admin": _("an admin"),
        "verify": _("login check"),
        "import": _("import"),
    }
    return words.get(trigger, trigger)


def ways() -> dict[str, str]:
    """The ways to fetch a page, by the names of their drivers."""
    return {
        "http": _("plain (http)"),
        "browser": _("browser"),
        "auto": _("http, a browser where needed"),
    }


def attempt(row: AttemptRow, *, own: bool = True) -> dict[str, Any]:
    """One line of a history, with its trace and what the device could not do."""
    words = wording(outcome_of(row.outcome)) if row.outcome else None
    notes = []
    if row.attributes:
        notes.append(_("Released or asked for: %(list)s.", list=", ".join(row.attributes)))
    if row.ignored:
        notes.append(_("Without effect here: %(list)s.", list=", ".join(row.ignored)))
    return {
        "id": row.id,
        "at": row.at,
        "look": words.look if words else "held",
        "word": words.word if words else _("imported"),
        "text": " ".join([words.text if words else "", *notes]).strip(),
        "asked_by": asked_by(row.trigger, own=own),
        "ms": row.ms,
        "driver": row.driver,
        "device": row.device,
        "steps": [
            {
                "word": f"{step['method']} {step['host']}{step['path']}",
                "note": f"{step['kind']}, {step['status']}, {step['ms']} ms",
            }
            for step in row.steps
        ],
    }


def check(found: Check) -> dict[str, str]:
    """One line of the check list."""
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
    said = {
        "missing": _("missing"),
        "last_month": _("The portal still shows last month."),
        "impossible": _("These days cannot be."),
        "other_name": _("another name"),
        "other_user": _("seen with another person"),
        "older": _("ends before the ticket you have"),
        "not_read": _("cannot be read here"),
        "not_readable": _("cannot be read"),
    }
    look = "success" if found.ok else "failed" if found.hard else "held"
    return {
        "word": words.get(found.rule, found.rule),
        "look": look,
        "text": said.get(found.detail) or _measured(found.detail),
    }


def _measured(detail: str) -> str:
    """Sizes and days as the reader writes them; anything else as it was noted."""
    if bytes_ := re.fullmatch(r"(\d+) bytes", detail):
        return fmt_size(int(bytes_[1]))
    if re.fullmatch(r"\d{4}-\d\d-\d\d/\d{4}-\d\d-\d\d", detail):
        return fmt_range(*detail.split("/"))
    return detail


def query(**values: Any) -> str:
    """`?a=1&b=2` without what is empty."""
    kept = {name: value for name, value in values.items() if value not in ("", None, 0)}
    return f"?{urlencode(kept)}" if kept else ""


def url(request: WebRequest, name: str, **values: Any) -> str:
    """The address of a route, as a browser asks for it."""
    return str(request.app.route_reverse(name, **values))
