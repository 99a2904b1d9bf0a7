"""What the threads of one download share, under one lock: segments, faults, figures."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from app.firmware.outcomes import Fault
from app.firmware.pipeline import segments as pieces
from app.firmware.pipeline.segments import Segment

RATE_S = 10.0
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to fetch. `backoff`: seconds between tries of one connection."""

    connections: int = 6
    stagger_s: float = 0.1
    backoff: tuple[float, ...] = BACKOFF
    stalls: int = 4
    tight: bool = False
    ahead: int = pieces.AHEAD  # bytes that may lie packed on the disk
    keep_encrypted: bool = False


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Where a download stands. `rate`: bytes a second over the last ten."""

    done: int
    total: int
    rate: float
    connections: int
    reconnects: int
    member: str

    @property
    def left_s(self) -> float | None:
        """Seconds to go at this rate."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


class State:
    """Shared by receivers, follower and the event loop's task. Every access holds `lock`."""

    def __init__(
        self,
        segments: Sequence[Segment],
        on_end: Callable[[], None],
        options: Options,
    ) -> None:
        self.lock = threading.Condition()
        self.segments = list(segments)
        self.total = sum(segment.length for segment in segments)
        self.received = 0
        self.alive = 0
        self.connections = 0  # of the alive, those that hold a line
        self.allowed = 0  # connections that have not been shed
        self.unpacked = 0 if options.tight else None  # how far, where room is short
        self._ahead = options.ahead
        self.alone = False  # one connection reads the whole file, the others wait
        self.reconnects = 0
        self.member = ""
        self.stopping = False
        self.error: BaseException | None = None
        self.network_error: Fault | None = None
        self.notes: list[str] = []
        self._on_end = on_end
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def take(self) -> Segment | None:
        """The next segment to fetch; waits while all lie too far ahead. None: nothing left."""
        with self.lock:
            while not self.stopping:
                found = None if self.alone else self._near()
                if found is not None:
                    found.taken = True
                    return found
                if not self.alone and all(s.full or s.taken for s in self.segments):
                    return None
                self.lock.wait(1.0)
            return None

    def _near(self) -> Segment | None:
        return pieces.next_open(self.segments, self.unpacked, self._ahead)

    def let_go(self, position: int) -> None:
        """What lies before `position` is unpacked and takes no room any more."""
        with self.lock:
            self.unpacked = position
            self.lock.notify_all()

    def over(self) -> bool:
        """Whether there is nothing left to take."""
        with self.lock:
            return self.stopping or all(s.full or s.taken for s in self.segments)

    def give_back(self, segment: Segment) -> None:
        """Nobody works on it any more."""
        with self.lock:
            segment.taken = False
            self.lock.notify_all()

    def claim_alone(self, mine: Segment) -> bool:
        """Be the only one at work, once the others have put down what they hold; False: no."""
        with self.lock:
            if self.alone:
                return False
            self.alone = True
            mine.taken = False
            while not self.stopping and any(segment.taken for segment in self.segments):
                self.lock.wait(1.0)
            return not self.stopping

    def release_alone(self) -> None:
        """Let the others work again."""
        with self.lock:
            self.alone = False
            self.lock.notify_all()

    def gained(self, segment: Segment, count: int, crc: int) -> None:
        """`count` more bytes of a segment are on disk."""
        with self.lock:
            segment.done += count
            segment.crc32 = crc
            self.received += count
            self.lock.notify_all()

    def wait_for(self, position: int, end: int) -> int:
        """Wait until bytes from `position` on are here; how far, at most `end`. 0: stop."""
        with self.lock:
            while not self.stopping:
                here = min(pieces.reach(self.segments, position), end)
                if here > position:
                    return here
                self.lock.wait(1.0)
            return 0

    def pause(self, seconds: float) -> None:
        """Wait, but not past a stop."""
        until = time.monotonic() + seconds
        with self.lock:
            while not self.stopping and (left := until - time.monotonic()) > 0:
                self.lock.wait(left)

    def fail(self, error: BaseException) -> None:
        """End the download with an error; the first one counts."""
        with self.lock:
            if not self.stopping:
                self.error = self.error or error
            self.stopping = True
            self.lock.notify_all()
        self._on_end()

    def stop(self) -> None:
        """Ask every thread to end."""
        with self.lock:
            self.stopping = True
            self.lock.notify_all()

    def begun(self) -> None:
        """A receiver starts."""
        with self.lock:
            self.alive += 1
            self.allowed += 1

    def connected(self, count: int) -> None:
        """So many more connections are held."""
        with self.lock:
            self.connections += count

    def ended(self) -> None:
        """A receiver has ended."""
        with self.lock:
            self.alive -= 1
            if self.alive == 0 and not self.complete and not self.stopping:
                self.error = self.network_error or Fault("network")
                self.stopping = True
            self.lock.notify_all()
        self._on_end()

    def tell(self) -> None:
        """Wake the task that waits for the threads."""
        self._on_end()

    def may_shed(self) -> bool:
        """Take one connection off, unless it is the last."""
        with self.lock:
            if self.allowed <= 1:
                return False
            self.allowed -= 1
            return True

    def note(self, text: str) -> None:
        """A line for the job's log."""
        with self.lock:
            self.notes.append(text)

    @property
    def complete(self) -> bool:
        """Whether every byte is here."""
        return all(segment.full for segment in self.segments)

    def figures(self) -> Figures:
        """Where it stands now."""
        with self.lock:
            now = time.monotonic()
            self._seen.append((now, self.received))
            while len(self._seen) > 2 and now - self._seen[0][0] > RATE_S:
                self._seen.popleft()
            (then, before), span = self._seen[0], now - self._seen[0][0]
            return Figures(
                done=sum(segment.done for segment in self.segments),
                total=self.total,
                rate=(self.received - before) / span if span > 0 and then else 0.0,
                connections=self.connections,
                reconnects=self.reconnects,
                member=self.member,
            )

    def snapshot(self) -> list[Segment]:
        """A copy of the segments, for the table."""
        with self.lock:
            return [
                Segment(start=s.start, length=s.length, done=s.done, crc32=s.crc32)
                for s in self.segments
            ]
