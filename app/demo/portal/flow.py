"""One sign-in under way: its execution keys, and the page of the step it stands at."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from app.demo.portal import faults, pages, saml
from app.demo.portal.state import Addresses, Visit
from app.demo.portal.words import WORDS


@dataclass
class Flow:
    """One sign-in under way: `e<number>s<step>` is the only execution key it answers to."""

    number: int
    path: str
    request: saml.AuthnRequest
    relay: str
    visit: Visit
    pending: list[str]
    step: int = 1
    csrf: str = field(default_factory=lambda: secrets.token_hex(20))

    @property
    def key(self) -> str:
        """The execution key of the present step."""
        return f"e{self.number}s{self.step}"

    @property
    def action(self) -> str:
        """Where the form of the present step goes, relative to the host."""
        return f"{self.path}?execution={self.key}"

    @property
    def renamed(self) -> bool:
        """True when the sign-in form of this visit has the names of the redesign."""
        visit = self.visit
        return visit.has("markup_change") and visit.param("at", "login") == "login"

    def turn(self) -> None:
        """On to the next step: a new key, a new token."""
        self.step += 1
        self.csrf = secrets.token_hex(20)


@dataclass
class Browser:
    """What hangs on one JSESSIONID."""

    flows: dict[int, Flow] = field(default_factory=dict)
    started: int = 0


def stage_page(addresses: Addresses, lang: str, flow: Flow, error: str = "") -> str:
    """The page of the present stage; `error` is the word for what was wrong with a login."""
    visit, action, csrf = flow.visit, flow.action, flow.csrf
    kind = str(visit.param("kind", "fudis"))
    makers: dict[str, Callable[[], str]] = {
        "storage_read": lambda: pages.storage(lang, action, csrf, write=False),
        "storage_write": lambda: pages.storage(lang, action, csrf, write=True),
        "login": lambda: _login_page(addresses, lang, flow, error),
        "notice": lambda: pages.expiring(lang, action),
        "terms": lambda: pages.terms(lang, action, csrf),
        "mfa": lambda: pages.second_factor(lang, action, csrf, kind),
        "consent": lambda: _consent_page(lang, flow),
    }
    return makers[flow.pending[0]]()


def _login_page(addresses: Addresses, lang: str, flow: Flow, error: str) -> str:
    visit = flow.visit
    text = WORDS[lang][error] if error else ""
    action = flow.action
    if visit.has("redirect_evil") and visit.param("at") == "login_action":
        action = f"{addresses.trap_url}/idp/profile/login"
    if flow.renamed:
        opaque = bool(visit.param("opaque", False))
        return pages.login_changed(lang, action, flow.csrf, error=text, opaque=opaque)
    extra = ""
    if visit.has("captcha") and visit.param("at") == "login_form":
        extra = faults.captcha_field()
    error_class = str(visit.param("error_class", "form-error"))
    return pages.login(lang, action, flow.csrf, error=text, error_class=error_class, extra=extra)


def _consent_page(lang: str, flow: Flow) -> str:
    visit, person = flow.visit, flow.visit.person
    if person is None:
        raise RuntimeError("nobody is asked for consent before the login")
    if visit.has("consent_de"):
        lang = "de"
    service = WORDS[lang]["service"]
    if visit.has("consent_text_has_marker_word"):
        service += " (NVV-Semesterticket)"
    values = {
        "given_name": person.name,
        "birth": person.born.isoformat(),
        "affiliation": "student@students.example",
        "mail": f"{person.login}@students.example",
    }
    return pages.attribute_release(
        lang,
        flow.action,
        flow.csrf,
        values,
        boxes=visit.has("consent_boxes"),
        reject_first=visit.has("consent_de"),
        service=service,
    )
