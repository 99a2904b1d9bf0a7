"""The `browser` driver: the same walk with a real browser, judged by the same classifier."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from app.core import guard
from app.tickets.client import chromium
from app.tickets.client.chromium import is_there
from app.tickets.client.classify import Kind, Verdict, classify, refused_as, skeleton
from app.tickets.client.driver import BeforePost, Credential, FetchResult, Policy, Progress
from app.tickets.client.forms import forms_of
from app.tickets.client.hops import retry_after_s
from app.tickets.client.http import MOST_CONSENTS, PURPOSE, SHAPED, shapes
from app.tickets.client.tab import Watched
from app.tickets.outcomes import Fault, Outcome
from app.tickets.paper.canonical import canonical
from app.tickets.paper.page import Page, host_port
from app.tickets.paper.validate import same_host
from app.tickets.profiles import Profile

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext
    from playwright.async_api import Page as Tab

__all__ = ["fetch", "is_there"]

MOST_PAGES: Final = 25
_SEND = """([index, name, value, at]) => {
  const form = document.forms[index];
  const buttons = [...form.elements].filter(it => it.type === 'submit' || it.type === 'image');
  const button = name === null ? null : buttons.find(it => it.name === name && it.value === value)
    ?? buttons[at];
  if (button) form.requestSubmit(button); else HTMLFormElement.prototype.submit.call(form);
}"""
_CANVASES = """() => { for (const it of document.querySelectorAll('canvas')) {
  try { const img = new Image(it.width, it.height); img.src = it.toDataURL(); it.replaceWith(img); }
  catch { /* drawn from another host: cannot be read */ }
} }"""


async def fetch(
    credential: Credential,
    profile: Profile,
    policy: Policy,
    progress: Progress,
    *,
    before_post: BeforePost | None = None,
    path: str,
) -> FetchResult:
    """As `http.fetch`, by Chromium; raises Fault, also where no browser is installed."""
    proxy = await _proxy(policy)
    hosts = [*policy.hosts(), *([host_port(urlsplit(policy.proxy_url or ""))] if proxy else [])]
    async with chromium.keeper().browser(path, hosts) as browser:
        walk = _Walk(credential, policy, progress, before_post)
        try:
            async with asyncio.timeout(policy.run_s):
                context = await browser.new_context(**_context(profile), proxy=proxy)
                try:
                    return await walk.run(context)
                finally:
                    await context.close()
        except TimeoutError as error:
            raise walk.traced(Fault(Outcome.TIMEOUT)) from error
        except Fault as fault:
            raise walk.traced(fault) from fault.__cause__
        except Exception as error:  # Playwright's own errors
            raise walk.traced(_fault_of(error, policy)) from error


class _Walk:
    """One run in one context."""

    def __init__(
        self,
        credential: Credential,
        policy: Policy,
        progress: Progress,
        before_post: BeforePost | None,
    ) -> None:
        self.credential = credential
        self.policy = policy
        self.watched = Watched(policy, credential.password)
        self._progress = progress
        self._before_post = before_post
        self._step = ""
        self._posted = self._passed = False
        self._restarts: set[Kind] = set()
        self._consents = 0
        self._attributes: tuple[str, ...] = ()
        self._shapes: dict[str, str] = {}
        self._acts: dict[Kind, Callable[[Tab, Page, Verdict], Awaitable[None]]] = {
            Kind.SAML_POST: self._by_itself,
            Kind.STORAGE: self._by_itself,
            Kind.AUTO_POST: self._by_itself,
            Kind.LOGIN: self._login,
            Kind.ATTRIBUTE_RELEASE: self._attribute_release,
            Kind.TERMS: self._terms,
            Kind.INTERSTITIAL: self._interstitial,
            Kind.PORTAL_CONSENT: self._portal_consent,
            Kind.IDP_ERROR: self._idp_error,
        }

    def traced(self, fault: Fault) -> Fault:
        fault.steps = tuple(self.watched.steps)
        return fault

    async def run(self, context: "BrowserContext") -> FetchResult:
        """Page by page until there is a ticket or a reason to stop."""
        context.set_default_timeout(self.policy.request_s * 1000)
        tab = await self.watched.tab(context)
        await self._tell("Login")
        await self.watched.open(tab, self.policy.portal_url)
        for _ in range(MOST_PAGES):
            page = await self.watched.look(tab)
            verdict = await asyncio.to_thread(classify, page, self.policy)
            self.watched.name_last(verdict.kind)
            if verdict.kind in SHAPED:
                self._shapes[verdict.kind] = skeleton(page)
            if self.policy.login_only and self._is_behind_login(page, verdict):
                return self._result(page, verdict.kind)
            if verdict.kind is Kind.TICKET or self._is_drawn_late(page, verdict):
                return await self._ticket(tab)
            act = self._acts.get(verdict.kind)
            if act is None:
                outcome = verdict.outcome or Outcome.PORTAL_CHANGED
                wait = retry_after_s(page) if outcome is Outcome.RATE_LIMITED else None
                raise Fault(outcome, skeleton=skeleton(page), retry_after_s=wait)
            await act(tab, page, verdict)
        raise Fault(Outcome.TOO_MANY_HOPS)

    async def _ticket(self, tab: "Tab") -> FetchResult:
        """Load the page once more with its pictures: the second reading, and the one kept."""
        await self._tell("Ticket")
        first = await self.watched.look(tab)
        self.watched.pictures = True
        self.watched.forget_assets()
        await tab.reload(wait_until="load")
        second = await self.watched.look(tab)
        if not same_host(second.url, self.policy.portal_url) or second.status != 200:
            raise Fault(Outcome.NETWORK)
        await tab.evaluate(_CANVASES)
        page = Page(tab.url, (await tab.content()).encode(), headers=second.headers)
        read = await asyncio.to_thread(
            canonical,
            page,
            second=first,
            ignore=self.policy.ignore_patterns,
            volatile=self.policy.volatile,
        )
        assets = await self.watched.read_assets(page)
        pdf = await tab.pdf(print_background=True)
        return self._result(
            page,
            Kind.TICKET,
            assets=assets,
            offline_export=await self.watched.export(tab),
            pdf=pdf,
            version=read.version,
            lines=read.lines,
            volatile=read.volatile,
            slow_patterns=read.slow_patterns,
        )

    async def _by_itself(self, tab: "Tab", page: Page, verdict: Verdict) -> None:
        """Pages whose own script goes on; where it does not, the form is sent."""
        if verdict.form is not None and verdict.form.named("SAMLResponse"):
            self._passed = True
            await self._tell("Ticket")
        if tab.url == page.url:
            button = "_eventId_proceed" if verdict.kind is Kind.STORAGE else None
            await self._send(tab, page, verdict, button)

    async def _login(self, tab: "Tab", page: Page, verdict: Verdict) -> None:
        if self._passed:
            raise Fault(Outcome.TOO_MANY_HOPS)
        if self._posted:
            if verdict.words:
                raise Fault(refused_as(verdict.words))
            if Kind.LOGIN in self._restarts:
                raise Fault(Outcome.WRONG_PASSWORD)
            await self._restart(tab, Kind.LOGIN)
            return
        form = verdict.form
        sent = form.submission(verdict.submitter) if form else None
        if form is None or sent is None or sent.method != "POST":
            raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
        if not self.policy.pinned(urlsplit(sent.url)):
            raise Fault(Outcome.FORBIDDEN_HOST, host=urlsplit(sent.url).netloc)
        if self._before_post:
            await self._before_post()
        self._posted = True
        at = tab.locator("form").nth(_index(page, verdict))
        await at.locator(f'[name="{verdict.user}"]').fill(self.credential.uk_number)
        await at.locator(f'[name="{verdict.password}"]').fill(self.credential.password.reveal())
        await self._send(tab, page, verdict, verdict.submitter.name if verdict.submitter else None)

    async def _attribute_release(self, tab: "Tab", page: Page, verdict: Verdict) -> None:
        self._attributes = verdict.words
        if not self.policy.auto_consent:
            raise Fault(Outcome.CONSENT_REQUIRED, attributes=verdict.words)
        if verdict.submitter is None:
            raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
        await self._tell("Consent")
        remember = "remember" if self.policy.remember_consent else "doNotRemember"
        option = tab.locator(f'input[value="_shib_idp_{remember}Consent"]')
        if await option.count():
            await option.first.check()
        await self._send(tab, page, verdict, verdict.submitter.name)

    async def _terms(self, tab: "Tab", page: Page, verdict: Verdict) -> None:
        if not self.policy.accept_terms:
            raise Fault(Outcome.TERMS_REQUIRED)
        await self._tell("Consent")
        box = tab.locator('input[type=checkbox][name="_shib_idp_consentIds"]')
        if await box.count():
            await box.first.check()
        await self._send(tab, page, verdict, verdict.submitter.name if verdict.submitter else None)

    async def _interstitial(self, tab: "Tab", _page: Page, verdict: Verdict) -> None:
        await self.watched.open(tab, verdict.url)

    async def _portal_consent(self, tab: "Tab", page: Page, verdict: Verdict) -> None:
        self._consents += 1
        if not self.policy.auto_consent:
            raise Fault(Outcome.CONSENT_REQUIRED)
        if self._consents > MOST_CONSENTS:
            raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
        await self._tell("Consent")
        await self._send(tab, page, verdict, verdict.submitter.name if verdict.submitter else None)
        await self.watched.open(tab, self.policy.portal_url)

    async def _idp_error(self, tab: "Tab", _page: Page, verdict: Verdict) -> None:
        if Kind.IDP_ERROR in self._restarts:
            raise Fault(verdict.outcome or Outcome.STALE_REQUEST)
        await self._restart(tab, Kind.IDP_ERROR)

    async def _restart(self, tab: "Tab", reason: Kind) -> None:
        self._restarts.add(reason)
        self._posted = False
        await tab.context.clear_cookies()
        await self.watched.open(tab, self.policy.portal_url)

    async def _send(self, tab: "Tab", page: Page, verdict: Verdict, button: str | None) -> None:
        value = verdict.submitter.value if verdict.submitter else ""
        try:
            async with tab.expect_navigation(wait_until="load"):
                await tab.evaluate(_SEND, [_index(page, verdict), button, value, 0])
        except Exception:
            if self.watched.refused:
                raise Fault(Outcome.FORBIDDEN_HOST, host=self.watched.refused) from None
            raise

    def _is_behind_login(self, page: Page, verdict: Verdict) -> bool:
        outside = {Kind.TRANSPORT, Kind.LOGIN, Kind.SAML_POST, Kind.IDP_ERROR, Kind.MAINTENANCE}
        home = same_host(page.url, self.policy.portal_url) and page.status == 200
        return self._passed and home and verdict.kind not in outside

    def _is_drawn_late(self, page: Page, verdict: Verdict) -> bool:
        """A page of ours that names the ticket but shows only a part while pictures are off."""
        late = verdict.outcome in {Outcome.NEEDS_JAVASCRIPT}
        return late and self._passed and same_host(page.url, self.policy.portal_url)

    def _result(self, page: Page, kind: Kind, **more: Any) -> FetchResult:
        return FetchResult(
            kind=kind,
            final_url=page.url,
            status=page.status,
            raw_bytes=page.raw,
            charset="utf-8",
            driver="browser",
            steps=tuple(self.watched.steps),
            skeleton=shapes(self._shapes or {kind: skeleton(page)}),
            attributes=self._attributes,
            **more,
        )

    async def _tell(self, step: str) -> None:
        if step != self._step:
            self._step = step
            await self._progress(step)


def _index(page: Page, verdict: Verdict) -> int:
    """Which form of the document it is."""
    if verdict.form is None:
        raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
    nodes = [form.node.mem_id for form in forms_of(page)]
    return nodes.index(verdict.form.node.mem_id)


def _context(profile: Profile) -> dict[str, Any]:
    """What the browser honours of a device; a preset's user agent would belie its own hints."""
    given: dict[str, Any] = {
        "viewport": {"width": profile.viewport_width, "height": profile.viewport_height},
        "locale": profile.locale,
        "timezone_id": profile.timezone,
        "is_mobile": profile.is_mobile,
        "has_touch": profile.has_touch,
        "device_scale_factor": profile.device_scale_factor,
        "accept_downloads": True,
        "service_workers": "block",
    }
    if profile.own:
        given["user_agent"] = profile.user_agent
    if profile.latitude is not None and profile.longitude is not None:
        given["geolocation"] = {"latitude": profile.latitude, "longitude": profile.longitude}
        given["permissions"] = ["geolocation"]
    return given


async def _proxy(policy: Policy) -> Any:
    """The proxy as Chromium takes it, its address checked; Fault for what it cannot do."""
    if not policy.proxy_url:
        return None
    url = urlsplit(policy.proxy_url)
    host, port = url.hostname or "", url.port or 0
    if policy.proxy_login and url.scheme.startswith("socks"):
        raise Fault(Outcome.PROXY_ERROR, "a socks proxy with a login needs the http driver")
    allow = (host_port(url),) if policy.allow_private_proxy else ()
    guard.Rules(PURPOSE, allow, None).check(host, port, await guard.lookup(host, port))
    scheme = "socks5" if url.scheme == "socks5h" else url.scheme
    proxy = {"server": f"{scheme}://{url.netloc}", "bypass": "<-loopback>"}
    if policy.proxy_login:
        name, password = policy.proxy_login
        proxy |= {"username": name, "password": password.reveal()}
    return proxy


def _fault_of(error: Exception, policy: Policy) -> Fault:
    text = str(error)
    if "ERR_PROXY" in text or "ERR_TUNNEL" in text or "ERR_INVALID_AUTH" in text:
        return Fault(Outcome.PROXY_ERROR)
    if "ERR_SOCKS" in text or (policy.proxy_url and "ERR_CONNECTION" in text):
        return Fault(Outcome.PROXY_ERROR)
    if "ERR_CERT" in text or "ERR_SSL" in text:
        return Fault(Outcome.TLS_ERROR)
    if "ERR_NAME_NOT_RESOLVED" in text:
        return Fault(Outcome.FORBIDDEN_HOST)
    if "ERR_TOO_MANY_REDIRECTS" in text:
        return Fault(Outcome.TOO_MANY_HOPS)
    if type(error).__name__ == "TimeoutError":
        return Fault(Outcome.TIMEOUT)
    if "net::ERR" in text:
        return Fault(Outcome.NETWORK)
    return Fault(Outcome.BROWSER_CRASHED, text.partition("\n")[0][:120])
