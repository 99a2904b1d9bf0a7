"""Log lines: structlog and the standard library through one chain that ends with a redactor.

from app.core.logs import log
log.info("ticket.fetched", user_id=user_id)
"""

import logging
import re
import sys
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from typing import IO, Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from app.core.secret import MASK, SecretStr, remembered
from db import clock

LINES_KEPT: Final = 2000
DEEPEST: Final = 8

request_id: ContextVar[str] = ContextVar("request_id", default="")
job_id: ContextVar[str] = ContextVar("job_id", default="")

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("holdfast")

_lines: deque[dict[str, Any]] = deque(maxlen=LINES_KEPT)

_TELLING = r"password|passwd|passphrase|secret|token|authorization|cookie|apikey"
# Whole words of a name only: `sid` is in `inside`, `key` in `monkey`.
_SECRET_NAME = re.compile(
    rf"(?i:{_TELLING})|(?i:(?<![a-z])(?:keys?|otp|codes?|sid)(?![a-z]))|(?:Keys?|Otp|OTP|Codes?|Sid)(?![a-z])"
)
_PLAIN_NAMES = {
    "status_code",
    "exit_code",
    "error_code",
    "dedupe_key",
    "serial_key",
    "rate_key",
    "next_key",
}

_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(r"\bhf1\.[A-Za-z0-9-]+\.[A-Za-z0-9_-]+"), MASK),
    (re.compile(r"(?i)\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}"), rf"\1 {MASK}"),
    (re.compile(r"\b(?:SK|AC)[0-9a-fA-F]{32}\b"), MASK),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), MASK),
    (re.compile(r"(?i)\b((?:set-)?cookie\s*:\s*)[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"\b((?:__Host-)?holdfast(?:-[a-z]+)?=)[^;,\s\"']+"), rf"\1{MASK}"),
    (re.compile(r"(?<=://)[^/?#\s\"'<>]*@"), f"{MASK}@"),
    (re.compile(r"(/(?:join|reset)/)[^\s/?#\"'<>]+"), r"\1…"),
    # 32 random bytes in base64url: sessions, invites, reset links. Words joined by hyphens lack a
    # class of sign.
    (
        re.compile(
            r"(?<![A-Za-z0-9_-])(?=[^\s]{0,42}[A-Z])(?=[^\s]{0,42}[a-z])(?=[^\s]{0,42}[0-9])"
            r"[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
        ),
        MASK,
    ),
    (
        re.compile(
            rf"(?i)([?&;](?:[\w.%-]{{0,40}}(?:{_TELLING})[\w.%-]{{0,40}}|(?:[\w.%-]{{0,40}}[._-])?(?:key|otp|code|sid))=)[^&;\s#\"'<>]+"
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            rf"(?i)(\"(?:[\w.-]{{0,40}}(?:{_TELLING})[\w.-]{{0,40}}|(?:[\w.-]{{0,40}}[._-])?(?:key|otp|code|sid))\"\s*:\s*)"
            r"(?:\"(?:[^\"\\]|\\.)*\"?|-?[0-9][0-9.]*)"
        ),
        rf'\1"{MASK}"',
    ),
    (
        re.compile(
            rf"(?i)(\b[\w.-]{{0,40}}(?:{_TELLING})\s?[=:]\s?)(?:'[^'\r\n]*'|\"[^\"\r\n]*\"|[^\s,;&\"'<>)}}\]]+)"
        ),
        rf"\1{MASK}",
    ),
)

# C0, DEL, C1, the line ends of Unicode, and the signs that turn the reading direction round.
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def redact(text: str) -> str:
    """`text` without what looks like a secret and without the secrets opened lately.

    For whatever is stored or shown.
    """
    for pattern, replacement in _FORMS:
        text = pattern.sub(replacement, text)
    for secret in remembered():
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def clean(value: Any, *, deep: bool = True, _depth: int = 0) -> Any:
    """`value` with every text in it redacted and values under telling names masked.

    `deep`: opened secrets too.
    """
    if isinstance(value, str):
        return redact(value) if deep else _shape(value)
    if isinstance(value, bool | int | float | None):
        return value
    if _depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(name): MASK
            if _tells(str(name), inner)
            else clean(inner, deep=deep, _depth=_depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(inner, deep=deep, _depth=_depth + 1) for inner in value]
    if isinstance(value, SecretStr):
        return MASK
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return redact(text) if deep else _shape(text)


def escape(text: str) -> str:
    """`text` on one line and without signs that move a terminal's cursor or turn the text round."""
    return _CONTROLS.sub(
        lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text
    )


def setup(form: str = "console", level: str = "info", stream: IO[str] | None = None) -> None:
    """Send every log line of the process through the chain to `stream` (standard output).

    Safe to call again.
    """
    stream = stream or sys.stdout
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _undouble, *_BEFORE],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _keep,
                *(_json_chain() if form == "json" else _console_chain(stream.isatty())),
            ],
        )
    )
    root = logging.getLogger()
    for old in [
        old
        for old in root.handlers
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter)
    ]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    # These write whole URLs, and with them keys in query strings. uvicorn's access line does so
    # too: ours is in app.web.
    for name in ("httpx", "httpcore", "hpack", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


def recent() -> list[dict[str, Any]]:
    """The last lines of this process, redacted, oldest first (the admin's log page)."""
    return list(_lines)


def _shape(text: str) -> str:
    for pattern, replacement in _FORMS:
        text = pattern.sub(replacement, text)
    return text


def _tells(name: str, value: Any) -> bool:
    """Whether a value of this name is a secret by its name alone."""
    if value is None or isinstance(value, bool) or name in _PLAIN_NAMES:
        return False
    return _SECRET_NAME.search(name) is not None


def _stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["ts"] = clock.text()
    if request_id.get():
        event.setdefault("request_id", request_id.get())
    if job_id.get():
        event.setdefault("job_id", job_id.get())
    return event


def _undouble(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What another handler's formatter left on the record says what `event` says, unredacted."""
    event.pop("message", None)
    event.pop("asctime", None)
    return event


def _redactor(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Nothing reaches a handler, ours or another, that did not pass here."""
    # Jobs open secrets, and what they tell stays with the job: every line of theirs is looked
    # through for those opened lately, of a request only those that say that something is wrong.
    loud = (
        event.get("level") in {"warning", "error", "critical"}
        or "exception" in event
        or bool(event.get("job_id"))
    )
    for name, value in event.items():
        if not name.startswith("_"):  # structlog's own notes
            telling = name != "event" and _tells(name, value)
            event[name] = MASK if telling else clean(value, deep=loud)
    return event


def _keep(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    _lines.append(dict(event))
    return event


def _escaped(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For the console.

    A traceback keeps its lines, marked, so that none of them can pose as a log line.
    """
    trace = event.pop("exception", None)
    shown = {escape(name): _escape_all(value) for name, value in event.items()}
    if trace is not None:
        shown["exception"] = "\n".join(f"  | {escape(line)}" for line in str(trace).split("\n"))
    return shown


def _escape_all(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {escape(name): _escape_all(inner) for name, inner in value.items()}
    return [_escape_all(inner) for inner in value] if isinstance(value, list) else value


def _json_chain() -> list[Any]:
    # ASCII only: whatever reads the line cannot be tricked by a sign that it takes for an end of
    # line.
    return [structlog.processors.JSONRenderer(ensure_ascii=True)]


def _console_chain(colors: bool) -> list[Any]:
    plain = structlog.dev.plain_traceback  # the others print local variables
    return [
        _escaped,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, timestamp_key="ts"),
    ]


_BEFORE: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _stamp,
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    _redactor,
]

# At import, so that a line written before `setup` (a test, a short command) goes the same way.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_BEFORE,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=False,
)
