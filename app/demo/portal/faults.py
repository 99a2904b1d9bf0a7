"""Faults on order: outages, limits, wrong redirects, odd encodings, answers without end."""

import io
import re
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from email.utils import format_datetime
from functools import lru_cache

import segno

from app.demo.portal import pages, paper
from app.demo.portal.http import HTML, Reply, Request, as_json, html, redirect
from app.demo.portal.state import State, Visit
from app.demo.portal.words import WORDS

MIB = 1024 * 1024
DEFAULT_STEP = {
    "acs_500": "acs",
    "stall_mid_body": "ticket",
    "huge": "ticket",
    "gzip_bomb": "ticket",
    "stale_request": "login",
}
# when the order is for one person, these moments are over before the portal knows who is there
ANONYMOUS_STEPS = {"start": "ticket", "login": "password"}
Maker = Callable[[Visit, State, Request], Reply]


def at(step: str, visit: Visit, state: State, request: Request) -> Reply | None:
    """The fault ordered for this step (`start`, `login`, `password`, `acs`, `ticket`), if any."""
    for name in sorted(visit.scenario.names & MAKERS.keys()):
        wanted = DEFAULT_STEP.get(name, "start")
        if visit.scenario.user is not None:
            wanted = ANONYMOUS_STEPS.get(wanted, wanted)
        if visit.param("at", wanted) == step:
            state.note("fault", visit, fault=name, step=step)
            return MAKERS[name](visit, state, request)
    return None


def _maintenance_503(visit: Visit, _state: State, request: Request) -> Reply:
    reply = html(pages.problem(request.language, "maintenance"), 503)
    if visit.param("retry_after") is not None:
        reply.headers.append(("retry-after", str(visit.param("retry_after"))))
    return reply


def _maintenance_200(_visit: Visit, _state: State, request: Request) -> Reply:
    return html(pages.problem(request.language, "maintenance"))


def _error_500(visit: Visit, _state: State, request: Request) -> Reply:
    return html(pages.problem(request.language, "error"), int(visit.param("status", 500)))


def _empty_200(_visit: Visit, _state: State, _request: Request) -> Reply:
    return html("")


def _error_json(visit: Visit, _state: State, _request: Request) -> Reply:
    return as_json({"error": "unavailable"}, int(visit.param("status", 200)))


def _rate_limit(visit: Visit, _state: State, request: Request) -> Reply:
    reply = html(pages.problem(request.language, "rate"), int(visit.param("status", 429)))
    reply.headers.append(("retry-after", str(visit.param("retry_after", 60))))
    return reply


def _rate_limit_date(visit: Visit, state: State, request: Request) -> Reply:
    reply = html(pages.problem(request.language, "rate"), int(visit.param("status", 429)))
    until = state.now() + timedelta(seconds=float(visit.param("retry_after", 60)))
    reply.headers.append(("retry-after", format_datetime(until, usegmt=True)))
    return reply


def _redirect_evil(_visit: Visit, state: State, _request: Request) -> Reply:
    return redirect(f"{state.addresses.trap_url}/idp/profile/login")


def _redirect_loop(_visit: Visit, state: State, _request: Request) -> Reply:
    return redirect(f"{state.addresses.sp_url}/loop?n=1")


def _http_downgrade(visit: Visit, state: State, _request: Request) -> Reply:
    """Plain http to the sign-in host itself; a portal without TLS names a public host instead."""
    secure = state.addresses.idp_url.startswith("https://")
    default = state.addresses.idp_url.removeprefix("https://") if secure else "idp.example.org"
    host = visit.param("host", default)
    return redirect(f"http://{host}/idp/profile/SAML2/Redirect/SSO?execution=e1s1")


def _acs_500(_visit: Visit, _state: State, request: Request) -> Reply:
    return html(pages.problem(request.language, "sp_error"), 500)


def _stale_request(_visit: Visit, _state: State, request: Request) -> Reply:
    return html(pages.problem(request.language, "stale"), 400)


def _captcha(_visit: Visit, _state: State, request: Request) -> Reply:
    say = WORDS[request.language]
    body = f"""<p>{say["captcha_text"]}</p><form method="post" action="/captcha">
{captcha_field()}<button type="submit">{say["submit"]}</button></form>"""
    return html(pages.shell(request.language, say["captcha_title"], body))


def _js_challenge(visit: Visit, _state: State, request: Request) -> Reply:
    say = WORDS[request.language]
    body = f"""<div id="challenge-container" class="cf-challenge"></div>
<noscript><h2>{say["challenge_text"]}</h2></noscript>
<script>document.getElementById('challenge-container').textContent = '...';</script>"""
    return html(
        pages.shell(request.language, say["challenge_title"], body), int(visit.param("status", 403))
    )


def _stall_mid_body(visit: Visit, _state: State, request: Request) -> Reply:
    """Half a page, then silence; with `cut` the line drops instead."""
    whole = pages.problem(request.language, "maintenance").encode()
    seconds = 0.0 if visit.param("cut") else float(visit.param("seconds", 120))
    return Reply(whole[: len(whole) // 2], stall_s=seconds, length=len(whole))


def _huge(visit: Visit, _state: State, request: Request) -> Reply:
    start = pages.problem(request.language, "maintenance").encode()
    return Reply(stream=_flood(start, int(float(visit.param("mb", 60)) * MIB)))


async def _flood(start: bytes, size: int) -> AsyncIterator[bytes]:
    yield start
    chunk = b"<p>NVV-Semesterticket</p>\n" * 2048
    for _ in range(size // len(chunk) + 1):
        yield chunk


def _gzip_bomb(visit: Visit, _state: State, _request: Request) -> Reply:
    reply = Reply(gzip_bomb(int(visit.param("mb", 200))))
    reply.headers.append(("content-encoding", "gzip"))
    return reply


@lru_cache(maxsize=4)
def gzip_bomb(mb: int) -> bytes:
    """A valid gzip stream that unpacks to so many MiB of blanks, about 1 KiB per MiB packed."""
    block = b" " * MIB
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # a full flush makes the packed block independent of what stood before, so it can be repeated
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 0
    for _ in range(mb):
        check = zlib.crc32(block, check)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    tail = check.to_bytes(4, "little") + (mb * MIB % 2**32).to_bytes(4, "little")
    return head + packed * mb + b"\x03\x00" + tail


def captcha_field() -> str:
    """A picture and a field that nobody can answer."""
    return (
        '<img src="/idp/captcha.png" alt="captcha" width="160" height="60">\n'
        '<input type="text" name="captcha" id="captcha">\n'
    )


def captcha_picture() -> Reply:
    """The picture of the robot check."""
    target = io.BytesIO()
    segno.make_qr("captcha").save(target, kind="png", scale=2)
    return Reply(target.getvalue(), type="image/png")


MAKERS: dict[str, Maker] = {
    "maintenance_503": _maintenance_503,
    "maintenance_200": _maintenance_200,
    "error_500": _error_500,
    "empty_200": _empty_200,
    "error_json": _error_json,
    "rate_limit": _rate_limit,
    "rate_limit_date": _rate_limit_date,
    "redirect_evil": _redirect_evil,
    "redirect_loop": _redirect_loop,
    "http_downgrade": _http_downgrade,
    "acs_500": _acs_500,
    "stale_request": _stale_request,
    "captcha": _captcha,
    "js_challenge": _js_challenge,
    "stall_mid_body": _stall_mid_body,
    "huge": _huge,
    "gzip_bomb": _gzip_bomb,
}


def encode(visit: Visit, text: str) -> Reply:
    """The ticket page in the character set of the scenario, UTF-8 unless one is ordered."""
    if visit.has("latin1"):
        text = text.replace('<meta charset="utf-8">', "")
        return Reply(text.encode("latin-1", "replace"), type="text/html; charset=iso-8859-1")
    if visit.has("no_charset"):
        return Reply(re.sub(r'<meta charset="[^"]*">', "", text).encode(), type="text/html")
    if visit.has("bom"):
        codec = str(visit.param("encoding", "utf-8-sig"))
        text = text.replace('<meta charset="utf-8">', "")
        return Reply(text.encode(codec), type="text/html")
    if visit.has("surrogate"):
        odd = "<p>Sitz &#xD83D; und \udc00</p></main>"
        return Reply(text.replace("</main>", odd).encode("utf-8", "surrogatepass"), type=HTML)
    return html(text)


def unknown(request: Request) -> Reply:
    """A page of no known kind, where the ticket should be."""
    return html(paper.unknown_page(request.language))
