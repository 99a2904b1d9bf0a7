"""The requests of one run: bounded in number, size and time, every hop checked and recorded."""

import asyncio
import ssl
import time
import zlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx
import msgspec

from app.core.errors import Upstream
from app.tickets.client.driver import Policy
from app.tickets.client.forms import Submission
from app.tickets.outcomes import Fault, Outcome, Step
from app.tickets.paper.page import Asset, Page, host_port, resolve
from db import clock

ACCEPT: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FORM: Final = "application/x-www-form-urlencoded"
LONGEST_WAIT_S: Final = 6 * 3600
DEFAULT_WAIT_S: Final = 15 * 60
# What a proxy answers for itself: tinyproxy says 401 to a wrong login. The portal asks by a form.
PROXY_ASKS: Final = frozenset({401, 407})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Hops:
    """A browser without scripts, for one login. Faults of the wire become `Fault`."""

    def __init__(self, http: httpx.AsyncClient, policy: Policy) -> None:
        self.http = http
        self.policy = policy
        self.steps: list[Step] = []
        self._requests = 0
        self._forms = 0

    def restart(self) -> None:
        """Forget all cookies, as a new visitor."""
        self.http.cookies.clear()

    def name_last(self, kind: str) -> None:
        """Say in the trace what kind of page the last answer was."""
        if self.steps:
            self.steps[-1] = msgspec.structs.replace(self.steps[-1], kind=kind)

    async def open(self, url: str, referer: str = "") -> Page:
        """The page at an address, redirects followed."""
        return await self._follow(Submission("GET", url, None), referer)

    async def send(self, submission: Submission, referer: str) -> Page:
        """The page that answers a form."""
        self._forms += 1
        if self._forms > self.policy.max_forms:
            raise Fault(Outcome.TOO_MANY_HOPS)
        return await self._follow(submission, referer)

    async def asset(self, url: str, referer: str, limit_bytes: int) -> Asset:
        """A stylesheet or picture; no redirects, not part of the trace."""
        if not self.policy.allowed(_split(url)):
            raise Fault(Outcome.FORBIDDEN_HOST)
        request = self._request(Submission("GET", url, None), referer)
        request.headers["Accept"] = "*/*"
        response, data = await self._exchange(request, limit_bytes)
        if response.status_code != 200:
            raise Fault(Outcome.NETWORK)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Asset(media_type, data)

    async def _follow(self, submission: Submission, referer: str) -> Page:
        for _ in range(self.policy.max_redirects + 1):
            self._check(submission.url)
            request = self._request(submission, referer)
            response, raw = await self._recorded(request)
            if self.policy.proxy_url and response.status_code in PROXY_ASKS:
                raise Fault(Outcome.PROXY_ERROR, "the proxy refused its login")
            location = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not location:
                return Page(
                    submission.url, raw, status=response.status_code, headers=dict(response.headers)
                )
            submission = _redirected(submission, response.status_code, location)
        raise Fault(Outcome.TOO_MANY_HOPS)

    def _check(self, url: str) -> None:
        self._requests += 1
        if self._requests > self.policy.max_requests:
            raise Fault(Outcome.TOO_MANY_HOPS)
        parts = _split(url)
        if not self.policy.allowed(parts) or parts.username or parts.password:
            raise Fault(Outcome.FORBIDDEN_HOST, host=host_port(parts) or parts.scheme)

    def _request(self, submission: Submission, referer: str) -> httpx.Request:
        headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip, deflate"}
        shown = _referer(referer, submission.url)
        if shown:
            headers["Referer"] = shown
        if submission.body is not None:
            headers["Content-Type"] = FORM
        try:
            return self.http.build_request(
                submission.method, submission.url, content=submission.body, headers=headers
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise Fault(Outcome.FORBIDDEN_HOST) from error

    async def _recorded(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        started = time.perf_counter()
        try:
            response, raw = await self._exchange(request, self.policy.max_body_bytes)
        except Fault as fault:
            self._record(fault.outcome, request, 0, started)
            raise
        kind = "redirect" if response.status_code in _REDIRECTS else "page"
        self._record(kind, request, response.status_code, started)
        return response, raw

    def _record(self, kind: str, request: httpx.Request, status: int, started: float) -> None:
        # `;jsessionid=…` is how servers write a session into a path
        path = "/".join(part.partition(";")[0] for part in request.url.path.split("/"))
        host = host_port(_split(str(request.url)))
        took_ms = round((time.perf_counter() - started) * 1000)
        self.steps.append(Step(kind, request.method, host, path[:200], status, took_ms))

    async def _exchange(
        self, request: httpx.Request, limit_bytes: int
    ) -> tuple[httpx.Response, bytes]:
        try:
            async with asyncio.timeout(self.policy.request_s):
                response = await self.http.send(request, stream=True, follow_redirects=False)
                try:
                    return response, await _body(response, limit_bytes)
                finally:
                    await response.aclose()
        except Fault:
            raise
        except Upstream as error:  # the guard of the outbound client
            raise Fault(_guarded(error)) from error
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpx.StreamError,
            TimeoutError,
            OSError,
        ) as error:
            raise Fault(_fault_of(error, proxied=bool(self.policy.proxy_url))) from error


def retry_after_s(page: Page) -> int:
    """The wait the portal asked for (seconds or a date), at most 6 h; 15 min if it said nothing."""
    said = page.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():  # a raised two is a digit, too, and no number
        wait = int(said[:9])
    else:
        try:
            wait = round((parsedate_to_datetime(said) - clock.now()).total_seconds())
        except (ValueError, TypeError):
            wait = DEFAULT_WAIT_S
    return max(0, min(wait, LONGEST_WAIT_S))


def _redirected(submission: Submission, status: int, location: str) -> Submission:
    target = resolve(submission.url, location).partition("#")[0]
    if submission.method == "GET" or status in {301, 302, 303}:
        return Submission("GET", target, None)
    if _origin(_split(target)) != _origin(_split(submission.url)):
        raise Fault(
            Outcome.FORBIDDEN_HOST, host=host_port(_split(target))
        )  # a body stays where it was meant to go
    return Submission(submission.method, target, submission.body)


def _referer(page_url: str, target: str) -> str:
    """The address on the same host, only the origin across hosts, nothing from https to http."""
    if not page_url:
        return ""
    here, there = _split(page_url), _split(target)
    if here.scheme == "https" and there.scheme != "https":
        return ""
    if _origin(here) == _origin(there):
        return page_url.partition("#")[0]
    return f"{_origin(here)}/"


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # a broken IPv6 host
        return SplitResult("", "", "", "", "")


async def _body(response: httpx.Response, limit_bytes: int) -> bytes:
    """The decoded body, never more than the limit in memory: few bytes may unpack to gigabytes."""
    length = response.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit_bytes:
        raise Fault(Outcome.TOO_LARGE)
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        raise Fault(Outcome.NETWORK, f"unasked content encoding: {coding[:20]}")
    packed = _Unpacker(limit_bytes) if coding not in {"", "identity"} else None
    whole = bytearray()
    async for chunk in response.aiter_raw():
        for part in packed.feed(chunk) if packed else (chunk,):
            whole += part
            if len(whole) > limit_bytes:
                raise Fault(Outcome.TOO_LARGE)
    if packed and not packed.finished:
        raise Fault(Outcome.NETWORK, "cut off")
    return bytes(whole)


class _Unpacker:
    """gzip, zlib or bare deflate, unpacked in bounded pieces."""

    def __init__(self, limit_bytes: int) -> None:
        self._step = min(limit_bytes + 1, 1 << 20)
        self._engine: zlib._Decompress | None = None

    @property
    def finished(self) -> bool:
        return self._engine is None or self._engine.eof

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._engine is None and chunk:
            wrapped = chunk[:2] == b"\x1f\x8b" or chunk[0] & 0x0F == 8
            self._engine = zlib.decompressobj(47 if wrapped else -15)
        try:
            while chunk and self._engine and not self._engine.eof:
                yield self._engine.decompress(chunk, self._step)
                chunk = self._engine.unconsumed_tail
        except zlib.error as error:
            raise Fault(Outcome.NETWORK, "broken compression") from error


def _guarded(error: Upstream) -> Outcome:
    try:
        return Outcome(error.code)
    except ValueError:
        return Outcome.NETWORK


def _fault_of(error: Exception, *, proxied: bool) -> Outcome:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and len(causes) < 10:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Outcome.TLS_ERROR
    connecting = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
    if isinstance(error, httpx.ProxyError) or (proxied and connecting):
        return Outcome.PROXY_ERROR
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return Outcome.TIMEOUT
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return Outcome.FORBIDDEN_HOST
    return Outcome.NETWORK
