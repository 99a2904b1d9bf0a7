"""The identity provider's side: one flow per sign-in, one key per step, nothing skipped."""

import re
import secrets
from urllib.parse import urlencode

from app.demo.portal import faults, pages, saml
from app.demo.portal.flow import Browser, Flow, stage_page
from app.demo.portal.http import Reply, Request, html, redirect
from app.demo.portal.people import find_person
from app.demo.portal.state import State, Visit

REDIRECT_PATH = "/idp/profile/SAML2/Redirect/SSO"
POST_PATH = "/idp/profile/SAML2/POST/SSO"
CONSENT_OPTIONS = (
    "_shib_idp_doNotRememberConsent",
    "_shib_idp_rememberConsent",
    "_shib_idp_globalConsent",
)
REJECTIONS = {
    "consent": ("_eventId_AttributeReleaseRejected", "released"),
    "terms": ("_eventId_TermsRejected", "terms_refused"),
}
CONSENT = ("consent", "consent_boxes", "consent_de", "consent_text_has_marker_word")


class IdentityProvider:
    """Answers everything that is sent to `localhost`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.reset()

    def reset(self) -> None:
        """Forget all browsers and sign-ins."""
        self.browsers: dict[str, Browser] = {}
        self.remembered: dict[str, Visit] = {}

    def answer(self, request: Request) -> tuple[Reply, Visit | None]:
        """The reply, and the visit it belongs to."""
        if request.path == "/idp/css/main.css":
            return Reply(b"body{font-family:sans-serif}", type="text/css"), None
        if request.path == "/idp/captcha.png":
            return faults.captcha_picture(), None
        if request.path not in (REDIRECT_PATH, POST_PATH):
            return html(pages.problem(request.language, "unknown_sp"), 404), None
        message = request.argument("SAMLRequest") or request.field("SAMLRequest")
        if message is not None:
            return self._begin(request, message)
        return self._go_on(request)

    def _begin(self, request: Request, message: str) -> tuple[Reply, Visit | None]:
        deflated = request.path == REDIRECT_PATH
        relay = request.argument("RelayState") or request.field("RelayState") or ""
        acs_url = self.state.addresses.sp_url + saml.ACS_PATH
        try:
            asked = saml.read_request(message, deflated=deflated)
        except saml.BadMessage:
            return self._refuse(request, "unknown_sp", 400), None
        visit = self.state.asked.get(asked.id)
        if visit is None or asked.issuer != saml.ENTITY or asked.acs_url != acs_url:
            return self._refuse(request, "unknown_sp", 400), None
        session = request.cookies.get("JSESSIONID", "")
        if session not in self.browsers:
            session = secrets.token_hex(16).upper()
            self.browsers[session] = Browser()
        browser = self.browsers[session]
        browser.started += 1
        known = self.remembered.get(request.cookies.get("shib_idp_session", ""))
        if known is not None and known.person is not None:
            visit.person, visit.scenario, pending = known.person, known.scenario, []
        else:
            pending = ["storage_read"] if visit.has("ok_storage") else []
            pending.append("login")
        flow = Flow(browser.started, request.path, asked, relay, visit, pending)
        browser.flows[flow.number] = flow
        self.state.note("flow", visit, right=None, remembered=not pending)
        reply = redirect(f"{self.state.addresses.idp_url}{flow.action}")
        if not (visit.has("drop_cookie") and visit.param("cookie") == "idp"):
            reply.cookie("JSESSIONID", session, "/idp")
        return reply, visit

    def _go_on(self, request: Request) -> tuple[Reply, Visit | None]:
        browser = self.browsers.get(request.cookies.get("JSESSIONID", ""))
        if browser is None:
            return self._refuse(request, "cookie", 400), None
        match = re.fullmatch(r"e(\d+)s(\d+)", request.argument("execution") or "")
        flow = browser.flows.get(int(match[1])) if match else None
        if flow is None or match is None or flow.key != match[0] or flow.path != request.path:
            # a step of the past, of the future or of nobody: the flow itself stays where it is
            return self._refuse(request, "stale", 400), flow.visit if flow else None
        if request.method == "POST":
            return self._post(request, browser, flow), flow.visit
        return self._show(request, browser, flow), flow.visit

    def _show(self, request: Request, browser: Browser, flow: Flow) -> Reply:
        if not flow.pending:
            return self._deliver(request, browser, flow)
        stage = flow.pending[0]
        if stage == "notice" and request.argument("_eventId_proceed"):
            return self._advance(request, browser, flow)
        fault = faults.at("login", flow.visit, self.state, request) if stage == "login" else None
        if fault is not None:
            return fault
        self.state.note(f"{stage}_page", flow.visit)
        return html(stage_page(self.state.addresses, request.language, flow))

    def _post(self, request: Request, browser: Browser, flow: Flow) -> Reply:
        stage = flow.pending[0] if flow.pending else ""
        renamed = flow.renamed and stage == "login"
        if request.field("xt" if renamed else "csrf_token") != flow.csrf:
            return self._refuse(request, "csrf", 403, flow.visit)
        if stage == "login":
            return self._password(request, browser, flow)
        if stage == "mfa":
            self.state.note("second_factor", flow.visit, right=False)
            flow.turn()
            return html(stage_page(self.state.addresses, request.language, flow))
        event, problem = REJECTIONS.get(stage, ("", ""))
        if event and request.field(event) is not None:
            del browser.flows[flow.number]
            return self._refuse(request, problem, 200, flow.visit)
        if not stage or request.field("_eventId_proceed") is None:
            return self._refuse(request, "stale", 400, flow.visit)
        return self._proceed(request, browser, flow)

    def _proceed(self, request: Request, browser: Browser, flow: Flow) -> Reply:
        visit, stage = flow.visit, flow.pending[0]
        login = visit.person.login if visit.person else ""
        given = request.form.get("_shib_idp_consentIds", [])
        if stage == "storage_read" and not self._has_storage_fields(request):
            return self._refuse(request, "stale", 400, visit)
        if stage in ("terms", "consent") and not given:
            flow.turn()
            return html(stage_page(self.state.addresses, request.language, flow))
        if stage == "consent":
            option = request.field("_shib_idp_consentOptions") or ""
            if option not in CONSENT_OPTIONS or not set(given) <= set(pages.ATTRIBUTES):
                return self._refuse(request, "stale", 400, visit)
            self.state.note("consent", visit, option=option, released=sorted(set(given)))
            if option != CONSENT_OPTIONS[0]:
                self.state.consented.add(login)
        elif stage == "terms":
            self.state.note("terms", visit)
            self.state.accepted_terms.add(login)
        else:
            self.state.note(stage, visit)
        return self._advance(request, browser, flow)

    def _has_storage_fields(self, request: Request) -> bool:
        return all(
            request.field(f"shib_idp_ls_{part}.{store}") is not None
            for part in ("exception", "success", "value")
            for store in pages.STORES
        )

    def _password(self, request: Request, browser: Browser, flow: Flow) -> Reply:
        names = ("kennung", "geheim") if flow.renamed else ("j_username", "j_password")
        login, password = (request.field(name) for name in names)
        if login is None or password is None:
            return self._refuse(request, "stale", 400, flow.visit)
        if not flow.renamed and request.field("_eventId_proceed") is None:
            return self._refuse(request, "stale", 400, flow.visit)
        person = find_person(login)
        self.state.name_visitor(flow.visit, person)
        if person is not None:
            posts = self.state.password_posts
            posts[person.login] = posts.get(person.login, 0) + 1
        problem = self._judge(flow.visit, password)
        flow.visit.begin_login()
        self.state.note("password", flow.visit, right=problem is None)
        fault = faults.at("password", flow.visit, self.state, request)
        if fault is not None:
            return fault
        if flow.visit.has("login_loop") or problem is not None:
            flow.turn()
            return html(stage_page(self.state.addresses, request.language, flow, problem or ""))
        if request.field("_shib_idp_revokeConsent") is not None and person is not None:
            self.state.consented.discard(person.login)
        flow.pending = ["login", *self._after_login(flow.visit)]
        return self._advance(request, browser, flow)

    def _judge(self, visit: Visit, password: str) -> str | None:
        """The word for what is wrong with this login, None when it is right."""
        person = visit.person
        if person is None:
            return "wrong_password"
        lock = self.state.lock_of(person)
        if visit.has("locked") or lock.until is not None:
            return "locked"
        if visit.has("wrong_password") or password != person.password:
            self.state.count_wrong(person)
            return "wrong_password"
        lock.wrong = 0
        if visit.has("captcha") and visit.param("at") == "login_form":
            return "captcha_wrong"
        return "password_expired" if visit.has("password_expired") else None

    def _after_login(self, visit: Visit) -> list[str]:
        login = visit.person.login if visit.person else ""
        wanted = {
            "notice": visit.has("expiring_notice"),
            "mfa": visit.has("mfa"),
            "terms": visit.has("terms") and login not in self.state.accepted_terms,
            "consent": visit.has(*CONSENT) and login not in self.state.consented,
            "storage_write": visit.has("ok_storage"),
        }
        return [stage for stage, yes in wanted.items() if yes]

    def _advance(self, request: Request, browser: Browser, flow: Flow) -> Reply:
        """The present stage is done: on to the next page, or back to the portal."""
        flow.pending.pop(0)
        flow.turn()
        if flow.pending:
            return redirect(f"{self.state.addresses.idp_url}{flow.action}")
        return self._deliver(request, browser, flow)

    def _deliver(self, request: Request, browser: Browser, flow: Flow) -> Reply:
        """The page that posts the answer to the portal; the flow is over."""
        del browser.flows[flow.number]
        message = saml.response(self.state.signing_key, flow.request.id, flow.visit.id)
        self.state.note("assertion", flow.visit)
        fields = {"RelayState": flow.relay, "SAMLResponse": message}
        reply = html(pages.auto_post(request.language, flow.request.acs_url, fields))
        if flow.visit.has("ok_sso_skip"):
            session = secrets.token_hex(32)
            self.remembered[session] = flow.visit
            reply.cookie("shib_idp_session", session, "/idp")
        return reply

    def _refuse(
        self, request: Request, what: str, status: int, visit: Visit | None = None
    ) -> Reply:
        self.state.note("refused", visit, reason=what)
        return html(pages.problem(request.language, what), status)


def sso_url(idp_url: str, asked: saml.AuthnRequest, relay: str) -> str:
    """Where the portal sends a browser to sign in, by the redirect binding."""
    query = urlencode({"SAMLRequest": asked.deflated(), "RelayState": relay})
    return f"{idp_url}{REDIRECT_PATH}?{query}"
