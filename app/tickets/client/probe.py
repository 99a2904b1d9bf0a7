"""Looks at a portal without a login: which hosts, certificates and pages lie before the password.

Nothing is typed and no form but the identity provider's own storage and forwarding pages is sent.
"""

import ssl
import time
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from app.core import outbound
from app.core.errors import Upstream
from app.tickets.client.classify import Kind, Verdict, classify, skeleton
from app.tickets.client.driver import Policy, is_local
from app.tickets.client.forms import Submission
from app.tickets.client.hops import ACCEPT, FORM
from app.tickets.client.http import PURPOSE
from app.tickets.paper.page import Page, host_port, resolve

MOST_HOPS: Final = 15
LIMIT: Final = 2 * 1024 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One answer on the way. `certificate`: whom it names and who vouches; empty without TLS."""

    method: str
    host: str
    path: str
    status: int
    ms: int
    kind: str
    certificate: str = ""
    shape: str = ""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The chain, and the host of the login form (empty if no login page came), or a fault."""

    hops: tuple[Hop, ...]
    login_host: str = ""
    fault: str = ""

    @property
    def hosts(self) -> list[str]:
        """Every host on the way, in order."""
        return list(dict.fromkeys(hop.host for hop in self.hops))


async def probe(policy: Policy) -> Probe:
    """Follow the chain from the portal to its login page; faults are part of the answer."""
    local = is_local(urlsplit(policy.portal_url))
    walk = _Walk(policy, local=local)
    allow = (*policy.hosts(), *(_LOOPBACK if local else ()))
    async with outbound.client(
        PURPOSE, allow=allow, timeout_s=20, limit_bytes=LIMIT, headers={"Accept": ACCEPT}
    ) as http:
        try:
            with outbound.faults("portal"):
                login_host = await walk.go(http)
        except Upstream as error:
            return Probe(hops=tuple(walk.hops), fault=str(error))
    return Probe(hops=tuple(walk.hops), login_host=login_host)


class _Walk:
    def __init__(self, policy: Policy, *, local: bool) -> None:
        self.policy = policy
        self.hops: list[Hop] = []
        self._local = local

    async def go(self, http: httpx.AsyncClient) -> str:
        """The host the login form would send to; empty if there is none."""
        submission = Submission("GET", self.policy.portal_url, None)
        for _ in range(MOST_HOPS):
            self._check(submission.url)
            page, target = await self._ask(http, submission)
            if target:
                submission = Submission("GET", target, None)
                continue
            verdict = classify(page, self.policy)
            self._name(verdict.kind, skeleton(page))
            following = _onward(page, verdict)
            if following is None:
                return _login_host(verdict)
            submission = following
        raise Upstream("the portal goes in circles", retry=False)

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (self._local and is_local(parts)):
            raise Upstream(f"led to an address without https: {parts.netloc}", retry=False)

    async def _ask(self, http: httpx.AsyncClient, submission: Submission) -> tuple[Page, str]:
        headers = {"Content-Type": FORM} if submission.body is not None else {}
        began = time.perf_counter()
        answer = await http.request(
            submission.method, submission.url, content=submission.body, headers=headers
        )
        url = urlsplit(submission.url)
        self.hops.append(
            Hop(
                method=submission.method,
                host=host_port(url),
                path="/".join(part.partition(";")[0] for part in url.path.split("/"))[:200],
                status=answer.status_code,
                ms=round((time.perf_counter() - began) * 1000),
                kind="redirect",
                certificate=_certificate(answer),
            )
        )
        page = Page(
            submission.url, answer.content, status=answer.status_code, headers=dict(answer.headers)
        )
        location = answer.headers.get("location", "")
        moved = answer.status_code in _REDIRECTS and location
        return page, resolve(submission.url, location).partition("#")[0] if moved else ""

    def _name(self, kind: str, shape: str) -> None:
        self.hops[-1] = msgspec.structs.replace(self.hops[-1], kind=kind, shape=shape)


def _onward(page: Page, verdict: Verdict) -> Submission | None:
    """The next request where the page is one that goes on by itself."""
    if verdict.form is not None and verdict.kind is Kind.STORAGE:
        return verdict.form.submission(extra=[("_eventId_proceed", "")])
    if verdict.form is not None and verdict.kind in {Kind.SAML_POST, Kind.AUTO_POST}:
        return verdict.form.submission()
    if verdict.kind is Kind.INTERSTITIAL:
        return Submission("GET", resolve(page.url, verdict.url), None)
    return None


def _login_host(verdict: Verdict) -> str:
    if verdict.kind is not Kind.LOGIN or verdict.form is None:
        return ""
    return urlsplit(verdict.form.submission(verdict.submitter).url).netloc


def _certificate(answer: httpx.Response) -> str:
    stream: Any = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    if not isinstance(tls, ssl.SSLObject):
        return ""
    found: Any = tls.getpeercert() or {}
    names = [value for kind, value in found.get("subjectAltName", ()) if kind == "DNS"]
    issuer = dict(pair[0] for pair in found.get("issuer", ()))
    return f"{', '.join(names[:4])}; {issuer.get('organizationName', '')}".strip("; ")
