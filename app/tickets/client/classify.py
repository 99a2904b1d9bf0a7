"""What kind of page the portal showed, structure first and words last, and which form leads on."""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

import msgspec
from selectolax.lexbor import LexborNode

from app.tickets import words
from app.tickets.client.driver import Policy
from app.tickets.client.forms import Control, Form, forms_of
from app.tickets.outcomes import Outcome
from app.tickets.paper import validate
from app.tickets.paper.page import Page, attribute, resolve, squeeze

REFRESH_S: Final = 30
SMALL_PAGE: Final = 20_000


class Kind(StrEnum):
    """The kinds of page, in the order they are tried."""

    CHALLENGE = "js_challenge"
    TRANSPORT = "transport"
    SAML_POST = "saml_post"
    STORAGE = "storage"
    MFA = "mfa"
    LOGIN = "login"
    ATTRIBUTE_RELEASE = "attribute_release"
    TERMS = "terms"
    INTERSTITIAL = "interstitial"
    CAPTCHA = "captcha"
    TICKET = "ticket"
    PORTAL_CONSENT = "portal_consent"
    MAINTENANCE = "maintenance"
    AUTO_POST = "auto_post"
    IDP_ERROR = "idp_error"
    EXPIRED = "password_expired"
    NOT_TICKET = "not_a_ticket"
    UNKNOWN = "unknown"


class Verdict(msgspec.Struct, frozen=True):
    """A page's kind with what is needed to act on it.

    `form` and `submitter` lead on; `user` and `password` are the login fields' names; `url` is
    where an interstitial goes; `outcome` ends the run; `words` are the error
    texts of a login page or the attributes a consent page names.
    """

    kind: Kind
    form: Form | None = None
    submitter: Control | None = None
    user: str = ""
    password: str = ""
    url: str = ""
    outcome: Outcome | None = None
    words: tuple[str, ...] = ()


class Sight:
    """A page under the rules of a run, with the parts several rules look at."""

    def __init__(self, page: Page, policy: Policy) -> None:
        self.page = page
        self.policy = policy

    @cached_property
    def forms(self) -> list[Form]:
        return forms_of(self.page)

    @cached_property
    def names(self) -> set[str]:
        return {attribute(node, "name") for node in self.page.tree.css("[name]")}

    @cached_property
    def text(self) -> str:
        return "\n".join(self.page.lines).casefold()

    @cached_property
    def headings(self) -> str:
        nodes = self.page.tree.css("title, h1, h2, h3, legend, [role=heading]")
        return " \n ".join(squeeze(node.text(deep=True)) for node in nodes).casefold()

    @cached_property
    def at_portal(self) -> bool:
        return validate.same_host(self.page.url, self.policy.portal_url)

    def form_with(self, *names: str) -> Form | None:
        """The first form holding a field with one of these names."""
        wanted = set(names)
        return next(
            (form for form in self.forms if wanted & {item.name for item in form.controls}), None
        )


Rule = Callable[[Sight], Verdict | None]


def classify(page: Page, policy: Policy) -> Verdict:
    """The first rule that fits decides."""
    sight = Sight(page, policy)
    return next((verdict for rule in _RULES if (verdict := rule(sight))), Verdict(Kind.UNKNOWN))


def skeleton(page: Page) -> str:
    """The page's shape: tags with ids and the names and types of fields. No text, no values."""
    lines = []
    for node in page.tree.css("form, form *, [id], iframe, canvas, img, h1, h2"):
        parts = [node.tag or "?"]
        parts += [
            f"{key}={attribute(node, key)}"
            for key in ("id", "name", "type")
            if attribute(node, key)
        ]
        lines.append(" ".join(parts))
    return "\n".join(lines[:400])


def refused_as(error_words: Sequence[str]) -> Outcome:
    """What a login page's error text says: locked, expired, or simply wrong."""
    text = " ".join(error_words).casefold()
    if any(word in text for word in words.LOCKED):
        return Outcome.ACCOUNT_LOCKED
    if any(word in text for word in words.EXPIRED):
        return Outcome.PASSWORD_EXPIRED
    return Outcome.WRONG_PASSWORD


def _challenge(sight: Sight) -> Verdict | None:
    page = sight.page
    waf = page.headers.get("x-amzn-waf-action", "")
    found = (
        waf == "challenge"
        or page.headers.get("cf-mitigated") == "challenge"
        or page.has(_CHALLENGES)
    )
    return Verdict(Kind.CHALLENGE, outcome=Outcome.JS_CHALLENGE) if found else None


def _transport(sight: Sight) -> Verdict | None:
    page = sight.page
    outcome: Outcome | None = None
    if page.status == 429 or (page.status == 503 and "retry-after" in page.headers):
        outcome = Outcome.RATE_LIMITED
    elif page.status == 503:
        outcome = Outcome.MAINTENANCE
    elif page.status >= 500:
        outcome = Outcome.PORTAL_5XX
    elif not page.raw.strip():
        outcome = Outcome.NETWORK  # an answer without a body is a broken server, not a redesign
    elif not page.is_html:
        outcome = Outcome.NOT_HTML
    return Verdict(Kind.TRANSPORT, outcome=outcome) if outcome else None


def _saml_post(sight: Sight) -> Verdict | None:
    form = sight.form_with("SAMLResponse", "SAMLRequest")
    return Verdict(Kind.SAML_POST, form=form) if form else None


def _storage(sight: Sight) -> Verdict | None:
    for form in sight.forms:
        if any(item.name.startswith("shib_idp_ls_") for item in form.controls):
            return Verdict(Kind.STORAGE, form=form)
    return None


def _mfa(sight: Sight) -> Verdict | None:
    found = sight.page.has("#fudiscr-form") or any(
        control.type != "hidden" and _asks_code(control)
        for form in sight.forms
        for control in form.controls
    )
    return Verdict(Kind.MFA, outcome=Outcome.MFA_REQUIRED) if found else None


def _asks_code(control: Control) -> bool:
    said = attribute(control.node, "autocomplete").lower()
    if control.tag != "input" or control.is_submit:
        return False
    names = f"{control.name} {attribute(control.node, 'id')}"
    return "one-time-code" in said or _CODE_NAME.search(names) is not None


def _login(sight: Sight) -> Verdict | None:
    for form in sight.forms:
        passwords = form.of_type("password")
        if len(passwords) != 1:
            continue
        user = _user_field(form)
        submitter = next((item for item in form.submits() if not _refuses(item)), None)
        # Without a button a browser that runs no scripts could not send it: a form we do not know.
        if not (user and user.name and passwords[0].name and submitter):
            continue
        if _has_captcha(sight, form):  # a try that cannot succeed would count against the account
            return Verdict(Kind.CAPTCHA, outcome=Outcome.CAPTCHA)
        return Verdict(
            Kind.LOGIN,
            form=form,
            submitter=submitter,
            user=user.name,
            password=passwords[0].name,
            words=_errors(sight.page),
        )
    return None


def _user_field(form: Form) -> Control | None:
    texts = [item for item in form.controls if item.is_text and not item.disabled]
    for wanted in ("j_username", "username", "user"):
        for item in texts:
            if wanted in {item.name.lower(), attribute(item.node, "id").lower()}:
                return item
    return texts[0] if len(texts) == 1 else None


def _errors(page: Page) -> tuple[str, ...]:
    found = (squeeze(node.text(deep=True)) for node in page.tree.css(_ERROR_ELEMENTS))
    return tuple(dict.fromkeys(text for text in found if text))


def _attribute_release(sight: Sight) -> Verdict | None:
    if "_shib_idp_consentIds" not in sight.names:
        return None
    if not (
        sight.page.has("#attributeRelease") or "_eventId_AttributeReleaseRejected" in sight.names
    ):
        return None
    form = sight.form_with("_shib_idp_consentIds")
    if form is None:
        return None
    return Verdict(
        Kind.ATTRIBUTE_RELEASE, form=form, submitter=_proceed(form), words=_released(sight, form)
    )


def _released(sight: Sight, form: Form) -> tuple[str, ...]:
    """The attributes by their shown names (label or first cell of the row), else their ids."""
    labels = {
        attribute(node, "for"): squeeze(node.text(deep=True))
        for node in sight.page.tree.css("label[for]")
    }
    boxes = [item for item in form.controls if item.name == "_shib_idp_consentIds"]
    named = (labels.get(attribute(box.node, "id"), "") or _row_name(box.node) for box in boxes)
    return tuple(dict.fromkeys(name or box.value for name, box in zip(named, boxes, strict=True)))


def _row_name(node: LexborNode) -> str:
    parent = node.parent
    while parent is not None and parent.tag not in {"tr", "form"}:
        parent = parent.parent
    cell = parent.css_first("td, th") if parent is not None and parent.tag == "tr" else None
    return squeeze(cell.text(deep=True)) if cell else ""


def _terms(sight: Sight) -> Verdict | None:
    if "_eventId_TermsRejected" not in sight.names and not sight.page.has("#tou-acceptance"):
        return None
    form = next((form for form in sight.forms if _proceed(form)), None)
    return Verdict(Kind.TERMS, form=form, submitter=_proceed(form)) if form else None


def _interstitial(sight: Sight) -> Verdict | None:
    page = sight.page
    link = page.tree.css_first("a[href*='_eventId_proceed=1']")
    if link is not None:
        return Verdict(Kind.INTERSTITIAL, url=resolve(page.base_url, attribute(link, "href")))
    for node in page.tree.css("meta[http-equiv]"):
        if attribute(node, "http-equiv").lower() != "refresh":
            continue
        match = _REFRESH.match(attribute(node, "content"))
        target = resolve(page.base_url, match[2].strip().strip("'\"")) if match else ""
        if not (match and int(match[1]) <= REFRESH_S) or target.partition("#")[0] == page.url:
            continue
        if sight.policy.allowed(urlsplit(target)):
            return Verdict(Kind.INTERSTITIAL, url=target)
    return None


def _captcha(sight: Sight) -> Verdict | None:
    return Verdict(Kind.CAPTCHA, outcome=Outcome.CAPTCHA) if _has_captcha(sight, None) else None


def _has_captcha(sight: Sight, form: Form | None) -> bool:
    if sight.page.has(_CAPTCHAS) or sight.page.headers.get("x-amzn-waf-action") == "captcha":
        return True
    fields = form.controls if form else [item for each in sight.forms for item in each.controls]
    named = (f"{item.name} {attribute(item.node, 'id')}" for item in fields)
    if any("captcha" in text.lower() for text in named):
        return True
    pictures = sight.page.tree.css("img")
    return any(
        "captcha" in " ".join(attribute(node, key) for key in ("src", "id", "class", "alt")).lower()
        for node in pictures
    )


def _ticket(sight: Sight) -> Verdict | None:
    if not sight.at_portal or not validate.page_holds(sight.page, sight.policy.markers):
        return None
    if _portal_consent(sight) and not validate.has_ticket_parts(sight.page):
        return None  # a consent page that names the ticket
    return Verdict(Kind.TICKET)


def _portal_consent(sight: Sight) -> Verdict | None:
    if not sight.at_portal:
        return None
    for form in sight.forms:
        if any(item.is_text or item.type in {"password", "textarea"} for item in form.controls):
            continue
        for button in form.submits():
            if _plain(button.label) in sight.policy.accept_words:
                return Verdict(Kind.PORTAL_CONSENT, form=form, submitter=button)
    return None


def _maintenance(sight: Sight) -> Verdict | None:
    small = len(sight.page.raw) < SMALL_PAGE
    found = small and any(word in sight.headings for word in sight.policy.maintenance_words)
    return Verdict(Kind.MAINTENANCE, outcome=Outcome.MAINTENANCE) if found else None


def _auto_post(sight: Sight) -> Verdict | None:
    page = sight.page
    if not (page.has("body[onload]") or ".submit(" in page.text):
        return None
    for form in sight.forms:
        shown = [item for item in form.controls if item.type != "hidden" and not item.is_submit]
        if not shown and form.method() == "POST":
            return Verdict(Kind.AUTO_POST, form=form)
    return None


def _idp_error(sight: Sight) -> Verdict | None:
    if sight.page.has("input[type=password]"):
        return None
    found = any(word in sight.headings for word in words.IDP_ERROR)
    return Verdict(Kind.IDP_ERROR, outcome=Outcome.STALE_REQUEST) if found else None


def _expired(sight: Sight) -> Verdict | None:
    found = not sight.at_portal and any(word in sight.text for word in words.EXPIRED)
    return Verdict(Kind.EXPIRED, outcome=Outcome.PASSWORD_EXPIRED) if found else None


def _not_ticket(sight: Sight) -> Verdict | None:
    source = sight.page.text.casefold()
    found = sight.at_portal and any(marker.casefold() in source for marker in sight.policy.markers)
    return Verdict(Kind.NOT_TICKET, outcome=Outcome.NOT_A_TICKET) if found else None


def _proceed(form: Form) -> Control | None:
    return next((item for item in form.submits() if item.name == "_eventId_proceed"), None)


def _refuses(button: Control) -> bool:
    return "reject" in button.name.lower() or _plain(button.label) in words.REJECT


def _plain(label: str) -> str:
    return squeeze(label.strip(" .!›»>→")).casefold()


_CODE_NAME: Final = re.compile(
    r"(?i)(?:^|[\W_])(?:totp|otp|mfa|token_?code|fudis_otp_input|one_?time)"
)
_REFRESH: Final = re.compile(r"(?is)\s*(\d{1,6})(?:\.\d*)?\s*[;,]\s*(?:url\s*=)?\s*(\S.*)")
_ERROR_ELEMENTS: Final = (
    ".form-error, .alert-danger, .alert-error, .output--error, [role=alert], p.error, div.error"
)
_CAPTCHAS: Final = ", ".join(
    (
        ".g-recaptcha, .h-captcha, .cf-turnstile, #captcha-container",
        *(
            f"{tag}[src*='{host}']"
            for tag in ("iframe", "script")
            for host in (
                "recaptcha",
                "hcaptcha.com",
                "challenges.cloudflare.com/turnstile",
                "captcha-sdk.awswaf",
            )
        ),
    )
)
_CHALLENGES: Final = (
    # The containers, not the scripts: both vendors load their scripts on ordinary pages too.
    "#challenge-container, #challenge-form, #challenge-running, #challenge-error-text"
)
_RULES: Final[tuple[Rule, ...]] = (
    *(_challenge, _transport, _saml_post, _storage, _mfa, _login, _attribute_release, _terms),
    *(_interstitial, _captcha, _ticket, _portal_consent, _maintenance, _auto_post, _idp_error),
    *(_expired, _not_ticket),
)
