"""Where bytes come from: opens a range of one file and checks that the answer is that range."""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from app.core import bulk
from app.core.bulk import Stream
from app.core.errors import Upstream
from app.firmware.outcomes import Fault

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class TokenOver(Exception):
    """401: the permission has run out; ask for a new one and go on."""


class WholeFile(Exception):
    """The server ignored the range and sends everything from the first byte."""

    def __init__(self, stream: Stream) -> None:
        super().__init__("the server ignores ranges")
        self.stream = stream


class Source(Protocol):
    """What a receiver needs of the network."""

    def generation(self) -> int: ...
    def renew(self, generation: int) -> None: ...
    def open(self, start: int, end: int, size: int) -> Stream: ...


class Remote:
    """One file on the byte server. Used by threads; `renew` may wait for the event loop."""

    def __init__(
        self,
        url: str,
        head: Callable[[], Mapping[str, str]],
        *,
        allow: tuple[str, ...],
        generation: Callable[[], int],
        renew: Callable[[int], None],
        silence_s: float = 30.0,
        on_note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._url = url
        self._head = head
        self._allow = allow
        self._silence_s = silence_s
        self._on_note = on_note
        self.generation = generation
        self.renew = renew
        self.content_md5 = ""
        self._lock = threading.Lock()

    def open(self, start: int, end: int, size: int) -> Stream:
        """The bytes from `start` up to `end`. TokenOver, WholeFile, Fault; Upstream for the net."""
        stream = self._get({**self._head(), "Range": f"bytes={start}-{end - 1}"})
        try:
            self._check(stream, start, end, size)
        except WholeFile:
            raise
        except BaseException:
            stream.__exit__()
            raise
        return stream

    def _get(self, head: Mapping[str, str]) -> Stream:
        url = self._url
        try:
            return self._try(url, head)
        except Upstream as error:
            if not url.startswith("https://") or error.code not in ("tls", "unreachable"):
                raise
        # The byte server has long been open http only; what it sends is checked anyway.
        plain = f"http://{url.removeprefix('https://')}"
        stream = self._try(plain, head)
        with self._lock:
            first, self._url = self._url == url, plain
        if first:
            self._on_note("https is not answered, going on with http: the bytes are checked")
        return stream

    def _try(self, url: str, head: Mapping[str, str]) -> Stream:
        return bulk.get(url, "firmware", head, allow=self._allow, silence_s=self._silence_s)

    def _check(self, stream: Stream, start: int, end: int, size: int) -> None:
        kind = stream.headers.get("content-type", "")
        if stream.status == 401:
            raise TokenOver
        if stream.status in (429, 503):
            wait = stream.headers.get("retry-after", "")
            raise Fault(
                "throttled",
                fus=str(stream.status),
                after_s=float(wait) if wait.isdecimal() and len(wait) < 6 else None,
            )
        # Seen: a block page of 2.2 KB, saved by others as firmware.
        if stream.status == 403 or kind.startswith("text/"):
            raise Fault("blocked", fus=str(stream.status))
        if stream.status == 405:
            raise Fault("fus_405", fus="405")
        if stream.status == 200 and stream.headers.get("content-length") == str(size):
            raise WholeFile(stream)
        if stream.status >= 500:
            raise Upstream(f"Samsung answered {stream.status}", code="broken")
        if stream.headers.get("content-encoding", "identity") != "identity":
            raise Fault("unreadable", "packed bytes")
        found = _RANGE.fullmatch(stream.headers.get("content-range", ""))
        # a server may send less than was asked, if it says so, and never something else
        fits = found and int(found[1]) == start <= int(found[2]) < end
        said = int(found[2]) + 1 - start if found else 0
        if stream.status != 206 or not found or not fits or stream.length not in (None, said):
            raise Fault("unreadable", f"asked for {start}-{end - 1}, answered {stream.status}")
        if found[3] not in ("*", str(size)):
            raise Fault("unreadable", "the file has another size by now")
        self.content_md5 = stream.headers.get("content-md5", "") or self.content_md5
