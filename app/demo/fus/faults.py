"""Answers that take the place of the right one: outages, block pages, XML that hurts."""

from itertools import pairwise

from app.demo.fus import envelope
from app.demo.fus.scenario import ANSWERS, Order, Place
from app.demo.fus.state import State
from app.demo.fus.wire import Cut, Line, Reply

HUGE = 64 * 1024 * 1024
PIECE = 64 * 1024
HTML = "text/html"
BLOCK_PAGE = b"""<html><head><META NAME="robots" CONTENT="noindex,nofollow"></head>
<body style="margin:0px"><iframe id="main-iframe" src="/_Incapsula_Resource?CWUDNSAI=5"
frameborder=0 width="100%" height="100%">Request unsuccessful. Incapsula incident ID:
0-000000000000000000</iframe></body></html>
"""
BOMB = """<?xml version="1.0"?><!DOCTYPE versioninfo [<!ENTITY a "aaaaaaaaaaaaaaaa">%s]>
<versioninfo><firmware><version><latest o="16">&n;</latest></version></firmware></versioninfo>"""


async def at(state: State, place: Place, model: str = "") -> Reply | None:
    """The fault ordered for such a request, if any; `stall` only takes its time."""
    for name in ANSWERS:
        order = state.scenarios.take(name, place, model)
        if order is None:
            continue
        state.note("fault", fault=name, place=place)
        if name == "stall":
            await state.wait(order.params.s)
            continue
        if name == "cut":
            raise Cut(reset=order.params.reset)
        return _answer(name, order)
    return None


def _answer(name: str, order: Order) -> Reply:
    params = order.params
    match name:
        case "error_500":
            return Reply(status=params.status or 500, type=HTML)
        case "rate_limit":
            reply = Reply(b"Too many requests", params.status or 429, HTML)
            if params.retry_after is not None:
                reply.headers.append(("retry-after", str(params.retry_after)))
            return reply
        case "block_page":
            return block_page(params.status or 403)
        case "unauthorized":
            return unauthorized()
        case "gzip_garbage":
            reply = Reply(b"\x1f\x8b\x08\x00 this was never packed" * 40)
            reply.headers.append(("content-encoding", "gzip"))
            return reply
        case "bad_xml":
            whole = envelope.message("200", {"LATEST_FW_VERSION": "A/B/C/D"}, {}).body
            return Reply(whole[: len(whole) * 2 // 3])
        case "xml_bomb":
            return Reply(_bomb())
        case "huge":
            return _huge(params.size or HUGE)
        case _:
            return envelope.message(params.code)


def block_page(status: int) -> Reply:
    """The page of a bot wall."""
    return Reply(BLOCK_PAGE, status, HTML)


def unauthorized() -> Reply:
    """HTTP and XML say the same."""
    reply = envelope.message("401")
    reply.status = 401
    return reply


def _bomb() -> bytes:
    names = "abcdefghijklmn"
    levels = [f'<!ENTITY {after} "{f"&{before};" * 16}">' for before, after in pairwise(names)]
    return (BOMB % "".join(levels)).encode()


def _huge(size: int) -> Reply:
    start = b'<?xml version="1.0"?><FUSMsg>'

    async def stream(line: Line) -> None:
        await line.write(start)
        left = size - len(start)
        while left > 0:
            await line.write(b" " * min(PIECE, left))
            left -= PIECE

    return Reply(stream=stream, length=max(size, len(start)))
