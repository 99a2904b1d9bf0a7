"""How a run can end, what may be done about it, and the error that carries it to the service."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from app.core.errors import Upstream


class Outcome(StrEnum):
    """The codes kept with each attempt. Their spelling is stored and must not change."""

    OK = "ok"  # a login check that worked, or a document not yet compared with the stored ones
    NEW = "new"
    DUPLICATE = "duplicate"
    REFRESHED = "refreshed"
    MISSING_CREDENTIALS = "missing_credentials"
    CREDENTIAL_BLOCKED = "credential_blocked"
    USER_INACTIVE = "user_inactive"
    OPTED_OUT = "opted_out"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a code, not a password
    ACCOUNT_LOCKED = "account_locked"
    PASSWORD_EXPIRED = "password_expired"  # noqa: S105 - a code, not a password
    MFA_REQUIRED = "mfa_required"
    CONSENT_REQUIRED = "consent_required"
    TERMS_REQUIRED = "terms_required"
    CAPTCHA = "captcha"
    JS_CHALLENGE = "js_challenge"
    NEEDS_JAVASCRIPT = "needs_javascript"
    LOGIN_LOOP = "login_loop"
    STALE_REQUEST = "stale_request"
    PORTAL_CHANGED = "portal_changed"
    NOT_A_TICKET = "not_a_ticket"
    FOREIGN_TICKET = "foreign_ticket"
    MAINTENANCE = "maintenance"
    PORTAL_5XX = "portal_5xx"
    TIMEOUT = "timeout"
    NETWORK = "network"
    TLS_ERROR = "tls_error"
    PROXY_ERROR = "proxy_error"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    NOT_HTML = "not_html"
    FORBIDDEN_HOST = "forbidden_host"
    TOO_MANY_HOPS = "too_many_hops"
    BROWSER_MISSING = "browser_missing"
    BROWSER_CRASHED = "browser_crashed"
    STORAGE_ERROR = "storage_error"


class Again(StrEnum):
    """What an outcome allows next."""

    GOOD = "good"  # nothing to repeat
    NEVER = "never"  # repeating cannot help, or would do harm
    PERSON = "person"  # not before a person has acted
    LATER = "later"  # an outside fault: the job's own retries
    ONCE = "once"  # an outside fault that rarely heals: one retry
    WAIT = "wait"  # the portal named a time; waiting is no attempt


_GOOD = (Outcome.OK, Outcome.NEW, Outcome.DUPLICATE, Outcome.REFRESHED)
_PERSON = (Outcome.MFA_REQUIRED, Outcome.CONSENT_REQUIRED, Outcome.TERMS_REQUIRED)
_LATER = (
    Outcome.STALE_REQUEST,
    Outcome.MAINTENANCE,
    Outcome.PORTAL_5XX,
    Outcome.TIMEOUT,
    Outcome.NETWORK,
    Outcome.BROWSER_CRASHED,
    Outcome.STORAGE_ERROR,
)
_ONCE = (Outcome.TLS_ERROR, Outcome.PROXY_ERROR)

AGAIN: Final[dict[Outcome, Again]] = {
    **dict.fromkeys(Outcome, Again.NEVER),
    **dict.fromkeys(_GOOD, Again.GOOD),
    **dict.fromkeys(_PERSON, Again.PERSON),
    **dict.fromkeys(_LATER, Again.LATER),
    **dict.fromkeys(_ONCE, Again.ONCE),
    Outcome.RATE_LIMITED: Again.WAIT,
}

# Refusals by the identity provider: they stop every automatic run of this login.
REFUSALS: Final = frozenset(
    {Outcome.WRONG_PASSWORD, Outcome.ACCOUNT_LOCKED, Outcome.PASSWORD_EXPIRED, Outcome.LOGIN_LOOP}
)


class Step(msgspec.Struct, frozen=True):
    """One exchange with the portal. No query, no cookie, no body, so it may be stored and shown."""

    kind: str
    method: str
    host: str
    path: str
    status: int
    ms: int


class Fault(Upstream):
    """A run that ended without a ticket: `outcome`, and what the service needs to act on it.

    `steps` is the trace so far, `attributes` what a consent page would release, `skeleton` the
    shape of a page that was not understood, `retry_after_s` the wait a portal asked for, `host` the
    one refused.
    """

    def __init__(
        self,
        outcome: Outcome,
        message: str = "",
        *,
        attributes: Sequence[str] = (),
        skeleton: str = "",
        retry_after_s: int | None = None,
        host: str = "",
    ) -> None:
        again = AGAIN[outcome]
        retry = again in {Again.LATER, Again.ONCE, Again.WAIT}
        super().__init__(message or outcome.value, retry=retry, code=outcome.value)
        self.outcome = outcome
        self.steps: tuple[Step, ...] = ()
        self.attributes = tuple(attributes)
        self.skeleton = skeleton
        self.retry_after_s = retry_after_s
        self.host = host
