"""The HTTP protocol of the server: uvicorn's, with an end to what may come before the body.

uvicorn sets none for this parser: one connection could fill the memory with headers, and thousands
that never say anything could take every socket the process may open.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 32 * 1024  # address and headers; what proxies allow, too
QUERY_FIELDS = 100  # Litestar keeps a thousand parsed queries, and their fields weigh most


class Http(HttpToolsProtocol):
    """Answers 400 to a head too long, and hangs up on who takes too long to send one.

    A body comes at `BODY_PACE` bytes a second at least, looked at every `BODY_S`: a megabyte may
    take its quarter of an hour on a bad line, but no byte a minute holds a place for ever.
    """

    HEAD_S: ClassVar[float] = 10.0
    BODY_S: ClassVar[float] = 20.0
    BODY_PACE: ClassVar[int] = 1024

    _in_head = True
    _head_bytes = 0
    _body_bytes = 0
    _hang_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        # The parser tells of a header only when it has all of it.
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self.send_400_response("The headers of this request are too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._hang_up is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        # Raised in here, the parser's caller answers 400 and closes.
        if len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers) > HEAD_BYTES:
            raise ValueError("head too long")
        if self.url.count(b"&") >= QUERY_FIELDS:
            raise ValueError("too many fields in the address")
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()
        self._body_bytes = 0
        self._hang_up = self.loop.call_later(self.BODY_S, self._look_at_body)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_waiting()
        super().on_message_complete()

    def _look_at_body(self) -> None:
        # Where we ourselves stopped reading, the pace is ours and not theirs.
        if self._body_bytes < self.BODY_S * self.BODY_PACE and not self.flow.read_paused:
            self.transport.close()
            return
        self._body_bytes = 0
        self._hang_up = self.loop.call_later(self.BODY_S, self._look_at_body)

    def _wait_for_head(self) -> None:
        self._hang_up = self.loop.call_later(self.HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._hang_up is not None:
            self._hang_up.cancel()
            self._hang_up = None
