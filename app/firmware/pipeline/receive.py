"""One connection in a thread: bytes from the socket through CRC and key onto the disk, once."""

import os
import threading
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from isal import isal_zlib

from app.core.bulk import Stream
from app.core.errors import Upstream
from app.firmware.outcomes import Fault
from app.firmware.pipeline import disk
from app.firmware.pipeline.lines import Share
from app.firmware.pipeline.segments import BLOCK, Segment
from app.firmware.pipeline.source import Source, TokenOver, WholeFile
from app.firmware.pipeline.state import Options, State
from db.failpoints import failpoint

CHUNK = 1024 * 1024  # large enough that six threads seldom ask for the interpreter
WRITE_OUT = 8 * 1024 * 1024
LATEST_S = 0.25  # a slow connection still hands over what it has
REFUSALS = 3


class Decrypt:
    """AES-128-ECB in place: a new buffer per chunk is ten times slower (measured)."""

    def __init__(self, key: bytes) -> None:
        # ECB is what the files are sealed with; the block mode is theirs, not our choice.
        self._cipher = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305

    def __call__(self, buffer: memoryview, count: int) -> memoryview:
        """The plaintext of the first `count` bytes, whole blocks; one block must lie behind."""
        return buffer[: self._cipher.update_into(buffer[:count], buffer)]


class Receiver:
    """Takes the lowest open segment, again and again, until nothing is left."""

    def __init__(
        self,
        state: State,
        source: Source,
        options: Options,
        share: Share,
        *,
        key: bytes,
        part_fd: int,
        size: int,
        kept_fd: int = -1,
    ) -> None:
        self._state = state
        self._source = source
        self._options = options
        self._share = share
        self._decrypt = Decrypt(key)
        self._part_fd = part_fd
        self._kept_fd = kept_fd
        self._size = size
        self._buffer = memoryview(bytearray(CHUNK + BLOCK))
        self._stream: Stream | None = None
        self._failures = 0
        self._stalls = 0
        self._refused = 0

    def start(self, delay_s: float) -> threading.Thread:
        """Begin after `delay_s`; the thread ends by itself."""
        self._state.begun()
        thread = threading.Thread(target=self._run, args=(delay_s,), name="firmware", daemon=True)
        thread.start()
        return thread

    def abort(self) -> None:
        """Wake it from the socket."""
        if self._stream is not None:
            self._stream.abort()

    def _run(self, delay_s: float) -> None:
        try:
            self._state.pause(delay_s)
            going_on = True
            while going_on and self._share.take(self._state.over):
                self._state.connected(1)
                try:
                    going_on = self._next()
                finally:
                    self._state.connected(-1)
                    self._share.give()
        except BaseException as error:  # the task that waits for us must hear of everything
            self._state.fail(error)
        finally:
            self._state.ended()

    def _next(self) -> bool:
        """Work on the next segment. False: none is left, or this connection is shed."""
        segment = self._state.take()
        if segment is None:
            return False
        try:
            return self._fetch(segment)
        finally:
            self._state.give_back(segment)

    def _fetch(self, segment: Segment) -> bool:
        """Fetch the rest of one segment. False: this connection is shed."""
        before = segment.done
        try:
            generation = self._source.generation()
            with self._source.open(segment.start + segment.done, segment.end, self._size) as body:
                self._stream = body
                left = segment.length - segment.done
                self._read(body, segment, min(left, body.length or left))
        except TokenOver:
            self._refused = 1 if segment.done > before else self._refused + 1
            if self._refused > REFUSALS:
                raise Fault("fus_401", fus="401") from None
            self._source.renew(generation)
            self._reconnected()
        except WholeFile as whole:
            return self._whole(whole.stream, segment)
        except Upstream as error:
            if isinstance(error, Fault) or error.code == "forbidden_host":
                raise
            return self._again(error, gained=segment.done > before)
        else:
            self._failures = self._stalls = self._refused = 0
        finally:
            self._stream = None
        return True

    def _whole(self, body: Stream, segment: Segment) -> bool:
        before = self._state.received
        try:
            self._alone(body, segment)
        except Upstream as error:
            if isinstance(error, Fault):
                raise
            return self._again(error, gained=self._state.received > before)
        return True

    def _again(self, error: Upstream, *, gained: bool) -> bool:
        """Wait before the next try; False where this connection had better go."""
        if self._state.stopping:
            return False
        if self._state.alone:
            return True
        self._failures = 1 if gained else self._failures + 1
        self._stalls = 0 if gained else self._stalls + 1
        if self._stalls >= self._options.stalls:
            stalled = error.code == "timeout"
            self._state.network_error = Fault("stalled" if stalled else "network", str(error))
            if self._state.may_shed():
                return False
            raise self._state.network_error
        self._reconnected()
        steps = self._options.backoff
        self._state.pause(steps[min(self._failures, len(steps)) - 1])
        return True

    def _reconnected(self) -> None:
        with self._state.lock:
            self._state.reconnects += 1

    def _read(self, body: Stream, segment: Segment, length: int, *, alone: bool = False) -> None:
        """Read `length` bytes of a body into a segment, handing over whole blocks."""
        filled, since, left = 0, time.monotonic(), length
        try:
            while left:
                count = body.readinto(self._buffer[filled : min(CHUNK, filled + left)])
                if not count:
                    raise Upstream("the connection ended early", code="broken")
                left -= count
                filled += count
                late = filled >= BLOCK and time.monotonic() - since > LATEST_S
                if filled == CHUNK or not left or late:
                    whole, filled = filled, 0  # if this fails the buffer is neither: not kept
                    filled = self._hand_over(segment, whole)
                    since = time.monotonic()
                    if left and not alone and self._share.over:
                        return  # another download has begun: the rest is taken up again later
                if left and (self._state.stopping or (self._state.alone and not alone)):
                    raise Upstream("stopped", code="broken")
        finally:
            # what came before the connection broke was paid for, and is kept
            if filled >= BLOCK:
                self._hand_over(segment, filled)

    def _hand_over(self, segment: Segment, filled: int) -> int:
        """Put whole blocks on the disk; how many bytes stay at the front of the buffer."""
        count = filled // BLOCK * BLOCK
        data = self._buffer[:count]
        at = segment.start + segment.done
        if self._kept_fd >= 0:
            _write(self._kept_fd, data, at)
        crc = isal_zlib.crc32(data, segment.crc32)
        plain = self._decrypt(self._buffer, count)
        failpoint("firmware_write")
        _write(self._part_fd, plain, at)
        if at // WRITE_OUT != (at + count) // WRITE_OUT:
            disk.write_out(self._part_fd, at - at % WRITE_OUT, WRITE_OUT)
        self._state.gained(segment, count, crc)
        rest = filled - count
        self._buffer[:rest] = self._buffer[count:filled]
        return rest

    def _alone(self, body: Stream, segment: Segment) -> None:
        """The server ignores ranges: one connection reads all, leaving out what is here."""
        state = self._state
        with body:
            if not state.claim_alone(segment):
                return  # somebody else reads the whole file already
            state.note("the server ignores ranges: going on with one connection from the start")
            try:
                self._stream = body
                self._walk(body)
            finally:
                state.release_alone()

    def _walk(self, body: Stream) -> None:
        at = 0
        for segment in self._state.segments:
            if not segment.full:
                self._skip(body, segment.start + segment.done - at)
                self._read(body, segment, segment.length - segment.done, alone=True)
                at = segment.end

    def _skip(self, body: Stream, count: int) -> None:
        while count:
            got = body.readinto(self._buffer[: min(CHUNK, count)])
            if not got:
                raise Upstream("the connection ended early", code="broken")
            count -= got


def _write(fd: int, data: memoryview, at: int) -> None:
    while data:
        count = os.pwrite(fd, data, at)
        data, at = data[count:], at + count
