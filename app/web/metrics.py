"""Figures of the web face for Prometheus: requests by route, how long they took, what is open.

Routes are named by their template, never by an address: no id becomes a label.
"""

import time
from collections.abc import Iterable, Iterator

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric

MEDIA_TYPE = CONTENT_TYPE_LATEST
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_OWN = CollectorRegistry()
_REQUESTS = Counter(
    "holdfast_http_requests", "Requests answered", ("route", "method", "status"), registry=_OWN
)
_SECONDS = Histogram(
    "holdfast_http_request_seconds",
    "From the first byte asked to the last one sent, streams aside",
    ("route",),
    buckets=BOUNDS_S,
    registry=_OWN,
)
_OPEN = Gauge("holdfast_http_in_flight", "Requests being answered now", registry=_OWN)


class Meter:
    """Counts what passes; the inside has chosen its route by the time an answer begins."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        began, status, streams = time.monotonic(), 500, False

        async def watch(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                kinds = [value for name, value in message["headers"] if name == b"content-type"]
                streams = any(kind.startswith(b"text/event-stream") for kind in kinds)
            await send(message)

        _OPEN.inc()
        try:
            await self.app(scope, receive, watch)
        finally:
            _OPEN.dec()
            route = str(scope.get("path_template") or "none")
            _REQUESTS.labels(route, scope.get("method", ""), status).inc()
            if not streams:
                _SECONDS.labels(route).observe(time.monotonic() - began)


class _Page:
    """What `generate_latest` asks for figures: ours and those of the moment."""

    def __init__(self, more: Iterable[Metric]) -> None:
        self._more = more

    def collect(self) -> Iterator[Metric]:
        yield from _OWN.collect()
        yield from self._more


def text(more: Iterable[Metric]) -> bytes:
    """The answer to Prometheus: the web's own figures and `more`."""
    return generate_latest(_Page(more))
