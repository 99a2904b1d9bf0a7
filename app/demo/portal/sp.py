"""The portal's side: sends people to sign in, takes the answer once, shows the ticket."""

import secrets
from dataclasses import dataclass, field

from app.demo.portal import faults, idp, pages, paper, saml
from app.demo.portal.http import Reply, Request, html, redirect
from app.demo.portal.people import Person
from app.demo.portal.state import State, Visit
from app.demo.portal.ticket import Ticket, code_png, make_ticket

ASSETS = {
    "/static/portal.css": (paper.CSS, "text/css; charset=utf-8"),
    "/static/logo.svg": (paper.LOGO, "image/svg+xml"),
    "/static/wave.svg": (paper.WAVE, "image/svg+xml"),
}


@dataclass
class Waiting:
    """A sign-in the portal asked for; its RelayState is good once."""

    visit: Visit
    request_id: str
    cookie: str


@dataclass
class Session:
    """Somebody who is signed in at the portal."""

    visit: Visit
    person: Person
    accepted: bool = False
    views: int = 0
    salt: str = ""
    csrf: str = field(default_factory=lambda: secrets.token_hex(16))


class ServiceProvider:
    """Answers everything that is sent to `127.0.0.1`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.reset()

    def reset(self) -> None:
        """Forget all sessions."""
        self.waiting: dict[str, Waiting] = {}
        self.sessions: dict[str, Session] = {}
        self.cookie_name = f"_shibsession_{secrets.token_hex(16)}"

    def answer(self, request: Request) -> tuple[Reply, Visit | None]:
        """The reply, and the visit it belongs to."""
        public = self._public(request)
        if public is not None:
            return public, None
        if request.method == "POST" and request.path == saml.ACS_PATH:
            return self._consume(request)
        session = self.sessions.get(request.cookies.get(self.cookie_name, ""))
        if request.method == "POST" and request.path == "/consent" and session is not None:
            return self._accept(request, session), session.visit
        if request.method != "GET" or request.path not in ("/", "/ticket/code.png"):
            return html(pages.problem(request.language, "sp_error"), 404), None
        if session is not None and session.views < int(session.visit.param("session_views", 1000)):
            return self._protected(request, session), session.visit
        return self._begin(request)

    def _public(self, request: Request) -> Reply | None:
        """What is the same for everybody: style, pictures, the endless redirect."""
        if request.path in ASSETS:
            text, kind = ASSETS[request.path]
            return Reply(text.encode(), type=kind)
        if request.path == "/idp/captcha.png":
            return faults.captcha_picture()
        if request.path == "/loop":
            turn = int(request.argument("n") or 0) + 1
            return redirect(f"{self.state.addresses.sp_url}/loop?n={turn}")
        return None

    def _begin(self, request: Request) -> tuple[Reply, Visit]:
        """Nobody is signed in: off to the sign-in service."""
        state = self.state
        visit = state.begin_visit()
        state.note("start", visit)
        fault = faults.at("start", visit, state, request)
        if fault is not None:
            return fault, visit
        sp_url = state.addresses.sp_url
        asked = saml.AuthnRequest(f"_{secrets.token_hex(16)}", sp_url + saml.ACS_PATH)
        relay = f"ss:mem:{secrets.token_hex(32)}"
        state.asked[asked.id] = visit
        cookie = f"_shibstate_{secrets.token_hex(8)}"
        self.waiting[relay] = Waiting(visit, asked.id, cookie)
        if visit.has("ok_post_binding"):
            fields = {"SAMLRequest": asked.encoded(), "RelayState": relay}
            action = state.addresses.idp_url + idp.POST_PATH
            reply = html(pages.auto_post(request.language, action, fields))
        else:
            reply = redirect(idp.sso_url(state.addresses.idp_url, asked, relay))
        return reply.cookie(cookie, asked.id, "/"), visit

    def _consume(self, request: Request) -> tuple[Reply, Visit | None]:
        """The assertion consumer: each RelayState once, only with the cookie of its beginning."""
        waiting = self.waiting.pop(request.field("RelayState") or "", None)
        if waiting is None:
            return self._refuse(request, "relay_state", None), None
        visit = waiting.visit
        if request.cookies.get(waiting.cookie) != waiting.request_id:
            return self._refuse(request, "sp_cookie", visit), visit
        try:
            answer = saml.read_response(self.state.signing_key, request.field("SAMLResponse") or "")
        except saml.BadMessage:
            return self._refuse(request, "saml_response", visit), visit
        if answer != (waiting.request_id, visit.id) or visit.person is None:
            return self._refuse(request, "in_response_to", visit), visit
        fault = faults.at("acs", visit, self.state, request)
        if fault is not None:
            return fault, visit
        key = f"_{secrets.token_hex(16)}"
        self.sessions[key] = Session(visit, visit.person)
        self.state.note("session", visit)
        reply = redirect(f"{self.state.addresses.sp_url}/")
        if not (visit.has("drop_cookie") and visit.param("cookie", "sp") == "sp"):
            reply.cookie(self.cookie_name, key, "/")
        return reply, visit

    def _protected(self, request: Request, session: Session) -> Reply:
        visit = session.visit
        if request.path == "/ticket/code.png":
            return Reply(code_png(self._ticket(session).code), type="image/png")
        if visit.has("portal_consent") and not session.accepted:
            self.state.note("portal_consent_page", visit)
            return html(paper.consent_page(visit, request.language, session.csrf))
        fault = faults.at("ticket", visit, self.state, request)
        if fault is not None:
            return fault
        if visit.has("markup_change") and visit.param("at") == "ticket":
            return faults.unknown(request)
        session.views += 1
        self.state.tickets_shown += 1
        session.salt = secrets.token_hex(8)
        self.state.note("ticket", visit)
        view = paper.View(
            request.language,
            self.state.now(),
            secrets.token_hex(16),
            self.state.addresses.trap_url,
            visitors=self.state.tickets_shown,
        )
        return faults.encode(visit, paper.ticket_page(visit, self._ticket(session), view))

    def _ticket(self, session: Session) -> Ticket:
        return make_ticket(session.visit, session.person, self.state.now(), session.salt)

    def _accept(self, request: Request, session: Session) -> Reply:
        if request.field("_csrf") != session.csrf:
            return self._refuse(request, "csrf", session.visit)
        session.accepted = True
        self.state.note("portal_consent", session.visit)
        return html(paper.thanks_page(request.language))

    def _refuse(self, request: Request, reason: str, visit: Visit | None) -> Reply:
        self.state.note("refused", visit, reason=reason)
        return html(pages.problem(request.language, "sp_error"), 400)
