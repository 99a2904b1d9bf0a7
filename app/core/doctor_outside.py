"""What `holdfast doctor` sees at the public address: headers, https, one clock, a stream."""

from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx

from app.core import outbound
from app.core.doctor import Finding
from app.core.errors import AppError
from app.core.i18n import _, fmt_span
from app.core.stream_probe import EVENTS, EVERY_S, PATH
from db import clock

CLOCKS_APART = timedelta(seconds=30)


async def look(address: str) -> AsyncIterator[Finding]:
    """Every check from outside; the second only where somebody answers the first."""
    parts = httpx.URL(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    place = f"[{parts.host}]:{port}" if ":" in parts.host else f"{parts.host}:{port}"
    async with outbound.client("doctor", allow=[place], timeout_s=5, total_s=10) as client:
        try:
            answer = await client.get(f"{address}/healthz")
        except (httpx.HTTPError, AppError) as error:
            yield Finding(
                name="from outside",
                state="warn",
                text=_(
                    "%(address)s does not answer (%(fault)s)",
                    address=address,
                    fault=type(error).__name__,
                ),
                hint=_("is the server running, and does the name lead here?"),
            )
            return
        yield _answered(address, parts.scheme, answer)
        yield await _events(client, address)


def _answered(address: str, scheme: str, answer: httpx.Response) -> Finding:
    """What a browser gets there: our own headers, https believed, one clock."""
    wrong = []
    if "default-src 'none'" not in answer.headers.get("content-security-policy", ""):
        wrong.append(_("our security headers are missing: something else answers, or strips them"))
    if scheme == "https" and "strict-transport-security" not in answer.headers:
        wrong.append(_("the server does not know of https: add the proxy to trusted_proxies"))
    apart = _apart(answer.headers.get("date", ""))
    if apart > CLOCKS_APART:
        wrong.append(_("its clock is %(span)s away from ours", span=fmt_span(apart)))
    return Finding(
        name="from outside",
        state="bad" if wrong else "ok",
        text="; ".join(wrong) or _("%(address)s answers with our headers", address=address),
        hint=_("look at the proxy's configuration") if wrong else "",
    )


async def _events(client: httpx.AsyncClient, address: str) -> Finding:
    """Whether what is sent piece by piece arrives so: pages that live need a proxy that lets go."""
    sent: list[int] = []
    came: list[int] = []
    try:
        async with client.stream("GET", f"{address}{PATH}") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: ") and line[6:].isdigit():
                    sent.append(int(line[6:]))
                    came.append(clock.ms())
    except (httpx.HTTPError, AppError) as error:
        fault = _("the stream broke (%(fault)s)", fault=type(error).__name__)
    else:
        fault = (
            ""
            if len(sent) == EVENTS
            else _("%(n)s of %(all)s events came", n=len(sent), all=EVENTS)
        )
    if not fault and came[-1] - came[0] < EVERY_S * 1000 * (EVENTS - 1) / 2:
        fault = _("%(n)s events came all at once: something on the way keeps them back", n=EVENTS)
    late = max((there - here for here, there in zip(sent, came, strict=True)), default=0)
    return Finding(
        name="events",
        state="bad" if fault else "ok",
        text=fault
        or _("%(n)s events came one by one, %(ms)s ms late at most", n=EVENTS, ms=max(late, 0)),
        hint=_("switch buffering off in the proxy (nginx: proxy_buffering off)") if fault else "",
    )


def _apart(date: str) -> timedelta:
    try:
        return abs(clock.now() - parsedate_to_datetime(date))
    except ValueError:
        return timedelta(0)
