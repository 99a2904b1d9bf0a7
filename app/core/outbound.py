"""The one place that builds HTTP clients: none of them calls a private address nobody allowed.

What may be reached is `guard`'s; here are the limits of time, size and number, and what a fault
means.
"""

import asyncio
import functools
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

from app.core import settings
from app.core.errors import Upstream
from app.core.guard import Backend, Resolve, Rules, literal, lookup, port_of
from app.core.logs import log
from app.core.paths import version

MIB: Final = 1024 * 1024
USER_PORTS: Final = frozenset({80, 443})  # for addresses that ordinary users type in
CONNECT_S: Final = 5.0
TOTAL_S: Final = 120.0
PER_HOST: Final = 4

CALLS: Counter[tuple[str, str]] = Counter()  # (purpose, 2xx and the like, or fault) since the start


def client(  # noqa: PLR0913 - each is one thing a caller may have to say
    purpose: str,
    *,
    allow: Iterable[str] = (),
    follow: int = 0,
    timeout_s: float = 30.0,
    total_s: float | None = TOTAL_S,
    limit_bytes: int | None = 32 * MIB,
    ports: frozenset[int] | None = None,
    per_host: int = PER_HOST,
    proxy: httpx.Proxy | str | None = None,
    verify: ssl.SSLContext | None = None,
    resolve: Resolve | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> httpx.AsyncClient:
    """A guarded client; close it. `more` goes to httpx (cookies, auth, base_url, params).

    `allow`: private places this purpose may reach, each `host:port` (that host, whatever it
    resolves to) or a CIDR. `follow`: redirects to follow at most, each checked like a first
    request, never from https to http. `timeout_s`: longest silence; `total_s`: whole exchange, None
    for streams; `limit_bytes`: decompressed body, None for streams. `ports`: the only ports, None
    for any. `proxy`: its own address is checked. A refused address raises
    Upstream(code="forbidden_host"), a body too long Upstream(code="too_large"); other faults stay
    httpx's: `faults`.
    """
    rules = Rules(purpose, allow, ports)
    transport = Transport(
        rules,
        resolve or lookup,
        proxy=proxy,
        verify=verify or tls(),
        total_s=total_s,
        limit_bytes=limit_bytes,
        per_host=per_host,
    )
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=follow > 0,
        max_redirects=follow,
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
        headers={"User-Agent": f"Holdfast/{version()}", **(headers or {})},
        event_hooks={"response": [_refuse_downgrade] if follow else []},
        **more,
    )


async def allowed(purpose: str) -> tuple[str, ...]:
    """What the setting `outbound.allow` names for this purpose, for `client(allow=…)`."""
    lines = [line.split() for line in await settings.get("outbound.allow")]
    return tuple(words[1] for words in lines if len(words) == 2 and words[0] == purpose)


@functools.cache
def tls() -> ssl.SSLContext:
    """The TLS settings of all clients, made once (15 ms): certifi's roots and the machine's own."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport with our way of opening connections, and limits of time and number."""

    def __init__(
        self,
        rules: Rules,
        resolve: Resolve,
        *,
        proxy: httpx.Proxy | str | None,
        verify: ssl.SSLContext,
        total_s: float | None,
        limit_bytes: int | None,
        per_host: int,
    ) -> None:
        super().__init__(verify=verify, trust_env=False, proxy=proxy)
        # httpx has no public way to say how connections are opened. If the private one is gone, no
        # client is made.
        if not isinstance(
            getattr(self._pool, "_network_backend", None), httpcore.AsyncNetworkBackend
        ):
            raise RuntimeError(
                "httpx or httpcore changed inside: the address guard has no place any more"
            )
        self._backend = Backend(rules, resolve, keeps=proxy is not None)
        self._pool._network_backend = self._backend
        self._rules = rules
        self._proxied = proxy is not None
        self._total_s = total_s
        self._limit_bytes = limit_bytes
        self._per_host = per_host
        self._free: dict[tuple[bytes, int | None], asyncio.Semaphore] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange up to the headers.

        Its place in the line is given back when the body is closed.
        """
        url = request.url
        self._rules.check_url(url)
        if (
            self._proxied
        ):  # the proxy looks names up, so only an address written out can be checked here
            self._rules.check(url.host, port_of(url), literal(url.host))
        free = self._free.setdefault((url.raw_host, url.port), asyncio.Semaphore(self._per_host))
        deadline = _Deadline(self._total_s)
        try:
            async with deadline.rest():
                await free.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout("too many calls at once", request=request) from error
        try:
            async with deadline.rest():
                inner = await super().handle_async_request(request)
        except BaseException as error:
            free.release()
            CALLS[self._rules.purpose, "fault"] += 1
            if isinstance(error, TimeoutError):
                raise httpx.ReadTimeout("no answer in time", request=request) from error
            raise
        CALLS[self._rules.purpose, f"{inner.status_code // 100}xx"] += 1
        log.debug(
            "outbound.answer", purpose=self._rules.purpose, host=url.host, status=inner.status_code
        )
        return Answer(
            inner.status_code,
            headers=inner.headers.raw,
            stream=_Body(inner, deadline, free.release),
            extensions=inner.extensions,
            limit_bytes=self._limit_bytes,
        )

    async def __aexit__(self, *error: Any) -> None:
        await super().__aexit__(*error)
        await self._backend.close()

    async def aclose(self) -> None:
        """As httpx's, and what a proxy refused is closed too."""
        await super().aclose()
        await self._backend.close()


class Answer(httpx.Response):
    """A response whose decompressed body ends at a limit, read at once or in pieces."""

    def __init__(self, *args: Any, limit_bytes: int | None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._limit_bytes = limit_bytes

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """As httpx's; raises Upstream(code="too_large") when the limit is passed."""
        seen = 0
        async for part in super().aiter_bytes(chunk_size):
            seen += len(part)
            if self._limit_bytes is not None and seen > self._limit_bytes:
                await self.aclose()
                raise _too_large(self._limit_bytes)
            yield part


async def read_capped(response: httpx.Response, limit: int) -> bytes:
    """The decompressed body of a streamed response.

    Upstream(code="too_large") and a closed connection above `limit`.
    """
    parts: list[bytes] = []
    seen = 0
    async for part in response.aiter_bytes():
        seen += len(part)
        if seen > limit:
            await response.aclose()
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


@contextmanager
def faults(service: str) -> Iterator[None]:
    """Turn every fault of httpx in the block into Upstream; one rule says what to try again."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError) as error:
        code, retry, words = _fault(error)
        raise Upstream(f"{service}: {words}", retry=retry, code=code) from error


def check_status(service: str, response: httpx.Response) -> None:
    """Raise Upstream unless 2xx. 408, 425, 429 and 5xx are worth another try.

    The code is `http_<status>`.
    """
    status = response.status_code
    if not response.is_success:
        retry = status in {408, 425, 429} or status >= 500
        raise Upstream(f"{service} answered {status}", retry=retry, code=f"http_{status}")


class _Deadline:
    """The end of one whole exchange on the loop's clock."""

    def __init__(self, total_s: float | None) -> None:
        self._at = None if total_s is None else asyncio.get_running_loop().time() + total_s

    def rest(self) -> asyncio.Timeout:
        return asyncio.timeout_at(self._at)

    @property
    def over(self) -> bool:
        return self._at is not None and asyncio.get_running_loop().time() > self._at


class _Body(httpx.AsyncByteStream):
    """The body of an answer; gives its place in the line back once."""

    def __init__(
        self, response: httpx.Response, deadline: _Deadline, release: Callable[[], None]
    ) -> None:
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError("an asynchronous transport answers with an asynchronous stream")
        self._stream = stream
        self._deadline = deadline
        self._release: Callable[[], None] | None = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # Between pieces only: one silence is bounded by the read timeout already.
        async for part in self._stream:
            if self._deadline.over:
                raise httpx.ReadTimeout("the answer took too long")
            yield part

    async def aclose(self) -> None:
        release, self._release = self._release, None
        try:
            await self._stream.aclose()
        finally:
            if release:
                release()


async def _refuse_downgrade(response: httpx.Response) -> None:
    if response.has_redirect_location and response.url.scheme == "https":
        target = response.url.join(response.headers["location"])
        if target.scheme != "https":
            raise Upstream(
                "redirected from https to an open connection", retry=False, code="forbidden_host"
            )


def _fault(error: Exception) -> tuple[str, bool, str]:
    if isinstance(error, httpx.TimeoutException):
        return "timeout", True, "no answer in time"
    if isinstance(error, httpx.ConnectError):
        if (
            isinstance(error.__cause__, httpcore.ConnectError)
            and "CERTIFICATE" in str(error).upper()
        ):
            return "tls", False, "its certificate cannot be trusted"
        return "unreachable", True, "cannot be reached"
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return "bad_url", False, "the address is not one"
    if isinstance(error, httpx.TooManyRedirects):
        return "redirects", False, "redirects in circles"
    if isinstance(error, httpx.ProxyError):
        return "proxy", True, "the proxy refused"
    return "broken", True, "the connection broke"


def _too_large(limit: int) -> Upstream:
    return Upstream(f"the answer is larger than {limit} bytes", retry=False, code="too_large")
