"""How the stand-in is told to misbehave: named scenarios, for all or one, for some visits."""

from dataclasses import dataclass, field
from typing import Any

GOOD = ("ok", "ok_storage", "ok_sso_skip", "ok_post_binding")
LOGIN = (
    "wrong_password",
    "locked",
    "password_expired",
    "expiring_notice",
    "login_loop",
    "stale_request",
    "markup_change",
)
PERSON_MUST_ACT = (
    "consent",
    "consent_boxes",
    "consent_de",
    "consent_text_has_marker_word",
    "terms",
    "portal_consent",
    "mfa",
    "captcha",
    "js_challenge",
)
TICKET = (
    "changed",
    "next_month",
    "volatile",
    "code_rotates",
    "js_ticket",
    "foreign_ticket",
    "wrong_name",
    "expired",
    "no_dates",
    "marker_only_in_script",
    "hostile_html",
    "latin1",
    "no_charset",
    "bom",
    "surrogate",
)
FAULTS = (
    "maintenance_503",
    "maintenance_200",
    "error_500",
    "empty_200",
    "error_json",
    "slow",
    "stall_mid_body",
    "huge",
    "gzip_bomb",
    "rate_limit",
    "rate_limit_date",
    "redirect_evil",
    "redirect_loop",
    "http_downgrade",
    "acs_500",
    "drop_cookie",
)
NAMES = frozenset(GOOD + LOGIN + PERSON_MUST_ACT + TICKET + FAULTS)

# What `params` may hold, and what it bends.
PARAMS = {
    "also": "list of further scenarios in force at the same time",
    "at": "step of a fault: start, login, password, acs, ticket; redirect_evil also login_action, "
    "captcha also login_form, markup_change login or ticket",
    "code": "any ticket: url fetches the code picture instead of carrying it",
    "cookie": "drop_cookie: sp or idp",
    "counter": "any ticket: true adds a line that counts visitors",
    "cut": "stall_mid_body: true drops the line instead of waiting",
    "dates": "any ticket: dotted, iso, long or month",
    "encoding": "bom: utf-8-sig or utf-16",
    "error_class": "login page: class of the error, form-error or alert-danger",
    "holder": "wrong_name: the name on the ticket",
    "host": "http_downgrade: where to",
    "kind": "mfa: fudis, otp or webauthn",
    "mb": "huge, gzip_bomb: size in MiB",
    "months": "next_month, expired: how far",
    "n": "rate_limit: another word for times",
    "opaque": "markup_change: true leaves no password field to recognise",
    "other": "foreign_ticket: number of the other person",
    "retry_after": "rate limits, maintenance_503: seconds",
    "s": "slow: seconds per answer",
    "seconds": "slow, stall_mid_body: seconds",
    "session_views": "portal session ends after so many looks at the ticket",
    "status": "faults: another HTTP status",
    "text": "changed: the new sentence",
}


class UnknownScenario(ValueError):
    """The control plane asked for a name or parameter that is not in the tables."""


@dataclass
class Scenario:
    """One order; `params["also"]` names further scenarios in force at the same time."""

    name: str = "ok"
    user: str | None = None
    times: int | None = None
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """All scenario names in force."""
        return frozenset((self.name, *self.params.get("also", ())))


class Scenarios:
    """What is in force: one order per person, one for everybody; a new one replaces the old."""

    def __init__(self) -> None:
        self._by_user: dict[str | None, Scenario] = {}

    def put(self, scenario: Scenario) -> None:
        """Take a new order; raises UnknownScenario. `rate_limit(n)` is another word for `times`."""
        unknown = scenario.names - NAMES
        if unknown:
            raise UnknownScenario(f"unknown scenario: {', '.join(sorted(unknown))}")
        strange = sorted(scenario.params.keys() - PARAMS.keys())
        if strange:
            raise UnknownScenario(f"unknown parameter: {', '.join(strange)}")
        if scenario.times is None and scenario.params.get("n"):
            scenario.times = int(scenario.params["n"])
        self._by_user[scenario.user] = scenario

    def take(self, user: str | None) -> Scenario | None:
        """The order for this person (None: for everybody), one of its visits used up."""
        scenario = self._by_user.get(user)
        if scenario is None:
            return None
        if scenario.times is not None:
            scenario.times -= 1
            if scenario.times <= 0:
                del self._by_user[user]
        return scenario

    def clear(self) -> None:
        """Everything is ok again."""
        self._by_user.clear()
