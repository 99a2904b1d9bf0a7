"""The byte host: ranges of the encrypted file for who has signed in and asked for it."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass

from app.demo.fus import desk, faults, inform
from app.demo.fus.archive import Facts
from app.demo.fus.state import Protocol, State, Token
from app.demo.fus.stream import Stream
from app.demo.fus.wire import Reply, Request

PATHS: dict[str, Protocol] = {
    "/NF_SmartDownloadBinaryForMass.do": "smart",
    "/NF_DownloadBinaryForMass.do": "kies",
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@dataclass
class Span:
    """What is going to be sent, and what is said about it."""

    start: int
    stop: int
    status: int
    said: str | None = None


async def answer(request: Request, state: State) -> Reply:
    """Answer one GET or HEAD."""
    if request.method not in ("GET", "HEAD"):
        return Reply(status=405, type="text/plain")
    if "%2f" in request.query.lower() or not request.query.startswith("file="):
        state.note("refused", why="encoded")
        return Reply(status=405, type="text/plain")
    name = request.query.removeprefix("file=").removeprefix(inform.MODEL_PATH)
    recipe = state.recipe_of(name)
    fault = await faults.at(state, "bytes", recipe.model if recipe else "")
    if fault is not None:
        state.note("bytes", file=name, status=fault.status, start=0, stop=0, sent=0)
        return fault
    token = _find_token(request, state, name)
    if isinstance(token, str):
        state.note("refused", why=token)
        return faults.unauthorized()
    missing = recipe is None or state.scenarios.take("not_found", "bytes", recipe.model)
    if missing or recipe is None or request.query != f"file={inform.MODEL_PATH}{name}":
        return Reply(status=404, type="text/plain")
    facts = await state.shelf.get(recipe)
    return _reply(request, state, token, facts)


def _find_token(request: Request, state: State, name: str) -> Token | str:
    """The nonce of this request, still open for this file; else the word for what is wrong."""
    pairs = desk.authorization(request)
    token = state.tokens.get(pairs.get("nonce", ""))
    if token is None or token.protocol != PATHS[request.path]:
        return "nonce"
    if not token.is_signed(pairs.get("signature", "")):
        return "signature"
    if not state.is_open(token):
        return "expired"
    return token if name in token.files else "init"


def _reply(request: Request, state: State, token: Token, facts: Facts) -> Reply:
    model = facts.recipe.model
    asked = request.headers.get("range")
    span = _span(asked, facts.size)
    if span is None:
        state.note("bytes", file=facts.filename, asked=asked, status=416, start=0, stop=0, sent=0)
        headers = [("content-range", f"bytes */{facts.size}")]
        return Reply(status=416, type="text/plain", headers=headers)
    if span.status == 206:
        _bend(span, state, facts)
    headers = [("accept-ranges", "bytes")]
    if span.said is not None:
        headers.append(("content-range", span.said))
    digest = _content_md5(state, facts)
    if digest:
        headers.append(("content-md5", digest))
    text = state.scenarios.take("text_type", "bytes", model)
    line = state.note(
        "bytes", file=facts.filename, asked=asked, status=span.status, start=span.start,
        stop=span.stop, sent=0,
    )  # fmt: skip
    stream = Stream(state, token, facts, span.start, span.stop, line)
    return Reply(
        status=span.status,
        type="text/html" if text else "application/octet-stream",
        headers=headers,
        stream=stream.send,
        length=span.stop - span.start,
    )


def _span(asked: str | None, size: int) -> Span | None:
    """The bytes asked for; None is beyond the end. What is no single range counts as not said."""
    found = _RANGE.fullmatch(asked.replace(" ", "")) if asked else None
    if found is None or found.groups() == ("", ""):
        return Span(0, size, 200)
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return Span(0, size, 200)
    if start >= stop:
        return None
    return Span(start, stop, 206, f"bytes {start}-{stop - 1}/{size}")


def _bend(span: Span, state: State, facts: Facts) -> None:
    """Ranges that are not what was asked for."""
    size, model, take = facts.size, facts.recipe.model, state.scenarios.take
    bends: dict[str, Callable[[int], tuple[int, int]]] = {
        "wrong_range": lambda after: (min(size - 1, span.start + (after or 16)), span.stop),
        "short_range": lambda after: (span.start, min(span.stop, span.start + (after or 1024))),
        "overrun": lambda after: (span.start, min(size, span.stop + (after or 1024))),
    }
    for name, bend in bends.items():
        order = take(name, "bytes", model)
        if order is not None:
            span.start, span.stop = bend(order.params.after)
            span.stop = max(span.stop, span.start + 1)
            span.said = f"bytes {span.start}-{span.stop - 1}/{size}"
    if take("no_content_range", "bytes", model):
        span.said = None
    if take("ignore_range", "bytes", model):
        span.start, span.stop, span.status, span.said = 0, size, 200, None


def _content_md5(state: State, facts: Facts) -> str:
    if state.scenarios.take("no_content_md5", "bytes", facts.recipe.model):
        return ""
    digest = bytes.fromhex(facts.md5)
    if state.scenarios.take("wrong_content_md5", "bytes", facts.recipe.model):
        digest = digest[::-1]
    return base64.b64encode(digest).decode()
