"""The `http` driver: walks through the portal's login as a browser without scripts does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx

from app.core import outbound
from app.tickets.client.classify import Kind, Verdict, classify, refused_as, skeleton
from app.tickets.client.driver import BeforePost, Credential, FetchResult, Policy, Progress
from app.tickets.client.forms import Form
from app.tickets.client.hops import Hops, retry_after_s
from app.tickets.outcomes import Fault, Outcome
from app.tickets.paper import document
from app.tickets.paper.canonical import Canonical, canonical
from app.tickets.paper.codes import find_code
from app.tickets.paper.page import Asset, Page, host_port
from app.tickets.paper.validate import same_host
from app.tickets.profiles import Profile

PURPOSE: Final = "tickets.portal"
MOST_AUTO_POSTS: Final = 3
MOST_CONSENTS: Final = 2
# Pages whose shapes are kept from a good run, to lay beside one that is not understood.
SHAPED: Final = frozenset(
    {Kind.LOGIN, Kind.ATTRIBUTE_RELEASE, Kind.TERMS, Kind.PORTAL_CONSENT, Kind.TICKET}
)
_PROCEED: Final = "_eventId_proceed"
_OPTIONS: Final = "_shib_idp_consentOptions"


async def fetch(
    credential: Credential,
    profile: Profile,
    policy: Policy,
    progress: Progress,
    *,
    before_post: BeforePost | None = None,
) -> FetchResult:
    """The ticket page of one student, or (`policy.login_only`) the page behind a login that worked.

    `before_post` is awaited right before each time the password is sent and may raise to refuse.
    Raises `Fault` with the outcome code and the steps taken.
    """
    headers = {"User-Agent": profile.user_agent, "Accept-Language": profile.accept_language}
    async with outbound.client(
        PURPOSE,
        allow=_private_places(policy),
        timeout_s=policy.request_s,
        headers=headers,
        proxy=_proxy(policy),
    ) as http:
        walk = _Walk(credential, policy, Hops(http, policy), progress, before_post)
        try:
            async with asyncio.timeout(policy.run_s):
                return await walk.run()
        except TimeoutError as error:
            raise walk.traced(Fault(Outcome.TIMEOUT)) from error
        except Fault as fault:
            raise walk.traced(fault) from fault.__cause__


async def reach(policy: Policy, profile: Profile, limit_s: float) -> int:
    """The status of the portal's first page, through the proxy; no login goes anywhere.

    Raises Fault for a proxy that this driver cannot use, Upstream where no answer comes.
    """
    async with outbound.client(
        PURPOSE,
        allow=_private_places(policy),
        timeout_s=limit_s,
        total_s=limit_s,
        headers={"User-Agent": profile.user_agent},
        proxy=_proxy(policy),
    ) as http:
        with outbound.faults("the portal"):
            async with http.stream("GET", policy.portal_url) as answer:
                return answer.status_code


class _Walk:
    """One run from the portal's first page to the ticket."""

    def __init__(
        self,
        credential: Credential,
        policy: Policy,
        hops: Hops,
        progress: Progress,
        before_post: BeforePost | None,
    ) -> None:
        self.credential = credential
        self.policy = policy
        self.hops = hops
        self._progress = progress
        self._before_post = before_post
        self._step = ""
        self._posted = False
        self._passed = False
        self._restarts: set[Kind] = set()
        self._auto_posts = 0
        self._consents = 0
        self._attributes: tuple[str, ...] = ()
        self._shapes: dict[str, str] = {}
        self._acts: dict[Kind, Callable[[Page, Verdict], Awaitable[Page]]] = {
            Kind.SAML_POST: self._saml_post,
            Kind.STORAGE: self._storage,
            Kind.LOGIN: self._login,
            Kind.ATTRIBUTE_RELEASE: self._attribute_release,
            Kind.TERMS: self._terms,
            Kind.INTERSTITIAL: self._interstitial,
            Kind.PORTAL_CONSENT: self._portal_consent,
            Kind.AUTO_POST: self._auto_post,
            Kind.IDP_ERROR: self._idp_error,
        }

    def traced(self, fault: Fault) -> Fault:
        """The fault with the steps so far."""
        fault.steps = tuple(self.hops.steps)
        return fault

    async def run(self) -> FetchResult:
        """Page by page until there is a ticket or a reason to stop."""
        await self._tell("Login")
        page = await self.hops.open(self.policy.portal_url)
        while True:
            verdict = await asyncio.to_thread(classify, page, self.policy)
            self.hops.name_last(verdict.kind)
            if self.policy.login_only and self._is_behind_login(page, verdict):
                return self._result(page, verdict.kind)
            if verdict.kind in SHAPED:
                self._shapes[verdict.kind] = skeleton(page)
            if verdict.kind is Kind.TICKET:
                return await self._ticket(page)
            page = await self._go_on(page, verdict)

    async def _go_on(self, page: Page, verdict: Verdict) -> Page:
        act = self._acts.get(verdict.kind)
        if act is not None:
            return await act(page, verdict)
        outcome = verdict.outcome or Outcome.PORTAL_CHANGED
        wait = retry_after_s(page) if outcome is Outcome.RATE_LIMITED else None
        raise Fault(outcome, skeleton=skeleton(page), retry_after_s=wait)

    async def _saml_post(self, page: Page, verdict: Verdict) -> Page:
        form = _form(page, verdict)
        if form.named("SAMLResponse"):
            self._passed = True
            await self._tell("Ticket")
        return await self.hops.send(form.submission(), page.url)

    async def _storage(self, page: Page, verdict: Verdict) -> Page:
        form = _form(page, verdict)
        return await self.hops.send(form.submission(extra=[(_PROCEED, "")]), page.url)

    async def _login(self, page: Page, verdict: Verdict) -> Page:
        if (
            self._passed
        ):  # the password was taken; a portal that forgets us is no reason to send it again
            raise Fault(Outcome.TOO_MANY_HOPS)
        if self._posted:
            if verdict.words:
                raise Fault(refused_as(verdict.words))
            if Kind.LOGIN in self._restarts:
                raise Fault(Outcome.WRONG_PASSWORD)
            return await self._restart(Kind.LOGIN)
        form = _form(page, verdict)
        fill = {
            verdict.user: self.credential.uk_number,
            verdict.password: self.credential.password.reveal(),
        }
        submission = form.submission(verdict.submitter, fill=fill)
        if submission.method != "POST":
            # A password has no place in an address.
            raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
        target = urlsplit(submission.url)
        if not self.policy.pinned(target):
            raise Fault(Outcome.FORBIDDEN_HOST, host=target.netloc)
        if self._before_post:
            await self._before_post()
        self._posted = True
        return await self.hops.send(submission, page.url)

    async def _attribute_release(self, page: Page, verdict: Verdict) -> Page:
        form = _form(page, verdict)
        self._attributes = verdict.words
        if not self.policy.auto_consent:
            raise Fault(Outcome.CONSENT_REQUIRED, attributes=verdict.words)
        if verdict.submitter is None:
            raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
        await self._tell("Consent")
        remember = "remember" if self.policy.remember_consent else "doNotRemember"
        choose = {
            _OPTIONS: f"_shib_idp_{remember}Consent"
        }  # never the consent to everything for ever
        return await self.hops.send(form.submission(verdict.submitter, choose=choose), page.url)

    async def _terms(self, page: Page, verdict: Verdict) -> Page:
        form = _form(page, verdict)
        if not self.policy.accept_terms:
            raise Fault(Outcome.TERMS_REQUIRED)
        await self._tell("Consent")
        submission = form.submission(verdict.submitter, tick=["_shib_idp_consentIds"])
        return await self.hops.send(submission, page.url)

    async def _interstitial(self, page: Page, verdict: Verdict) -> Page:
        return await self.hops.open(verdict.url, page.url)

    async def _portal_consent(self, page: Page, verdict: Verdict) -> Page:
        if not self.policy.auto_consent:
            raise Fault(Outcome.CONSENT_REQUIRED)
        self._consents += 1
        if self._consents > MOST_CONSENTS:
            raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
        await self._tell("Consent")
        await self.hops.send(_form(page, verdict).submission(verdict.submitter), page.url)
        self.hops.name_last(Kind.PORTAL_CONSENT)
        return await self.hops.open(self.policy.portal_url)

    async def _auto_post(self, page: Page, verdict: Verdict) -> Page:
        self._auto_posts += 1
        if self._auto_posts > MOST_AUTO_POSTS:
            raise Fault(Outcome.TOO_MANY_HOPS)
        return await self.hops.send(_form(page, verdict).submission(), page.url)

    async def _idp_error(self, _page: Page, verdict: Verdict) -> Page:
        if Kind.IDP_ERROR in self._restarts:
            raise Fault(verdict.outcome or Outcome.STALE_REQUEST)
        return await self._restart(Kind.IDP_ERROR)

    async def _restart(self, reason: Kind) -> Page:
        self._restarts.add(reason)
        self._posted = False
        self.hops.restart()
        return await self.hops.open(self.policy.portal_url)

    def _is_behind_login(self, page: Page, verdict: Verdict) -> bool:
        """A page of the portal after the identity provider vouched for us, whatever it shows."""
        outside = {Kind.TRANSPORT, Kind.LOGIN, Kind.SAML_POST, Kind.IDP_ERROR, Kind.MAINTENANCE}
        home = same_host(page.url, self.policy.portal_url) and page.status == 200
        return self._passed and home and verdict.kind not in outside

    async def _ticket(self, page: Page) -> FetchResult:
        await self._tell("Ticket")
        read = await self._read_twice(page)
        assets, missed = await self._assets(page)
        if page.has("script") and await asyncio.to_thread(find_code, page, assets) is None:
            # A picture that did not arrive is a fault of the line, not a sign of scripts.
            outcome = Outcome.NETWORK if missed else Outcome.NEEDS_JAVASCRIPT
            raise Fault(outcome, skeleton=skeleton(page))
        return self._result(page, Kind.TICKET, assets, read)

    async def _read_twice(self, page: Page) -> Canonical:
        """The lasting text; a version not known yet is read again to see what changes by itself."""
        first = await asyncio.to_thread(self._canonical, page)
        if first.version in self.policy.known_versions:
            return first
        second = await self.hops.open(page.url, page.url)
        if classify(second, self.policy).kind is not Kind.TICKET:
            return first
        self.hops.name_last(Kind.TICKET)
        return await asyncio.to_thread(self._canonical, page, second)

    def _canonical(self, page: Page, second: Page | None = None) -> Canonical:
        return canonical(
            page, second=second, ignore=self.policy.ignore_patterns, volatile=self.policy.volatile
        )

    async def _assets(self, page: Page) -> tuple[dict[str, Asset], bool]:
        """What the page shows, within the bounds, and whether something allowed did not come."""
        policy = self.policy
        found: dict[str, Asset] = {}
        missed = False
        waiting = document.asset_urls(page)
        tried: set[str] = set()
        left = policy.max_asset_bytes
        try:
            async with asyncio.timeout(policy.assets_s):
                while waiting and len(tried) < policy.max_assets and left > 0:
                    url = waiting.pop(0)
                    if url in tried or not policy.allowed(urlsplit(url)):
                        continue
                    tried.add(url)
                    try:
                        asset = await self.hops.asset(url, page.url, left)
                    except Fault:
                        missed = True
                        continue
                    left -= len(asset.data)
                    found[url] = asset
                    waiting += document.css_urls(url, asset)
        except TimeoutError:
            missed = True
        return found, missed

    def _result(
        self,
        page: Page,
        kind: Kind,
        assets: Mapping[str, Asset] | None = None,
        read: Canonical | None = None,
    ) -> FetchResult:
        return FetchResult(
            kind=kind,
            final_url=page.url,
            status=page.status,
            raw_bytes=page.raw,
            charset=page.charset,
            driver="http",
            assets=dict(assets or {}),
            steps=tuple(self.hops.steps),
            version=read.version if read else "",
            lines=read.lines if read else (),
            volatile=read.volatile if read else frozenset(),
            slow_patterns=read.slow_patterns if read else (),
            skeleton=shapes(self._shapes or {kind: skeleton(page)}),
            attributes=self._attributes,
        )

    async def _tell(self, step: str) -> None:
        if step != self._step:
            self._step = step
            await self._progress(step)


def shapes(found: Mapping[str, str]) -> str:
    """The shapes of several pages as one text, each under the kind of its page."""
    return "\n\n".join(f"[{kind}]\n{shape}" for kind, shape in found.items())


def _form(page: Page, verdict: Verdict) -> Form:
    if verdict.form is None:
        raise Fault(Outcome.PORTAL_CHANGED, skeleton=skeleton(page))
    return verdict.form


def _private_places(policy: Policy) -> tuple[str, ...]:
    proxy = host_port(urlsplit(policy.proxy_url or ""))
    return (*policy.hosts(), *((proxy,) if proxy and policy.allow_private_proxy else ()))


def _proxy(policy: Policy) -> httpx.Proxy | None:
    if not policy.proxy_url:
        return None
    login = policy.proxy_login
    try:
        return httpx.Proxy(policy.proxy_url, auth=(login[0], login[1].reveal()) if login else None)
    except (ValueError, httpx.InvalidURL) as error:  # socks4, which only the browser driver can use
        raise Fault(Outcome.PROXY_ERROR) from error
