"""Live pages without publishing: turns the change feed into names for the open streams.

Every commit's changed rows become event names (`tickets`, `ticket-42`), merged per beat of 250 ms
and put on the streams of those who may see such rows. Names and keys only, never content: a
fragment that cares fetches itself again by its ordinary route, where rights are checked as always.
"""

import asyncio
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Protocol

from db.changes import Change, Feed
from db.clock import monotonic
from db.keys import uuid7

BEAT_S = 0.25
RESYNC_S = 1.0
RING = 2000
RING_S = 300.0
QUEUE = 64
MANY_ROWS = 50  # in one beat; well below QUEUE, so that a burst is no reason to resync
PER_SESSION = 8
STREAMS = 2000
_SAFE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Noun(NamedTuple):
    """What a table's rows are called on the stream, and who hears of them.

    `to`: `owner` (and admins), `domain` (everyone who may use `domain`), `admin`. `plural`: the
    list's event, by default the table's name. `owner`: the column that says whose the row is.
    """

    name: str
    plural: str = ""
    owner: str = ""
    to: Literal["owner", "domain", "admin"] = "domain"
    domain: str = ""


class Viewer(Protocol):
    """Whoever holds a stream open."""

    @property
    def id(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def domains(self) -> tuple[str, ...]: ...
    @property
    def session_id(self) -> str: ...


class Audience(NamedTuple):
    """Who hears an event: one person and the admins, a domain's people, or admins alone."""

    kind: Literal["owner", "domain", "admin"]
    who: str = ""

    def includes(self, viewer: Viewer) -> bool:
        """Whether `viewer` may know that such a row changed."""
        if viewer.role == "admin":
            return True
        if self.kind == "owner":
            return viewer.id == self.who
        return self.kind == "domain" and (not self.who or self.who in viewer.domains)


class Event(NamedTuple):
    """One name on the stream; `number` grows over the life of the process."""

    number: int
    name: str
    audience: Audience
    at: float


class TooManyStreams(Exception):
    """The session, or the server, has as many open streams as it may."""


class Stream:
    """One open page. Read it with `next`; `over` ends it for good."""

    def __init__(self, hub: "Hub", viewer: Viewer, path: str) -> None:
        self._hub = hub
        self._names: dict[str, int] = {}
        self._wake = asyncio.Event()
        self.viewer = viewer
        self.path = path
        self.stale = False
        self.over: str | None = None

    def put(self, name: str, number: int) -> None:
        """Queue a name, once; a reader too slow for 64 of them is told to fetch everything."""
        self._names[name] = number
        if len(self._names) > QUEUE:
            self._names = {"resync": number}
        self._wake.set()

    def end(self, word: str) -> None:
        """Say `word` (`bye`, `restart`) and nothing after it."""
        self.over = self.over or word
        self._wake.set()

    def check_again(self) -> None:
        """The viewer's account changed: whoever reads the stream must look at its rights anew."""
        self.stale = True
        self._wake.set()

    async def next(self, timeout_s: float) -> list[tuple[str, int]]:
        """The names since the last call with their numbers; empty after `timeout_s` of silence."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return []
        self._wake.clear()
        names, self._names = self._names, {}
        return list(names.items())

    def close(self) -> None:
        """Forget the stream."""
        self._hub.remove(self)


class Hub:
    """All open streams of the process. Lives on the event loop's thread."""

    def __init__(self, nouns: Mapping[str, Noun], feed: Feed) -> None:
        self._nouns = dict(nouns)
        self._streams: set[Stream] = set()
        self._ring: deque[Event] = deque(maxlen=RING)
        self._pending: dict[tuple[Noun, str, Audience], set[str]] = {}
        self._beat: asyncio.TimerHandle | None = None
        self._last_beat = float("-inf")
        self._last_resync = float("-inf")
        self._closing = False
        self.boot = uuid7()
        self.number = 0
        self._stops = [feed.subscribe(self._changed), feed.on_foreign(self.resync)]

    def connect(self, viewer: Viewer, path: str = "", last_id: str = "") -> Stream:
        """Open a stream. `last_id`: what the client heard last; what it missed is replayed.

        Raises TooManyStreams.
        """
        mine = sum(stream.viewer.session_id == viewer.session_id for stream in self._streams)
        if self._closing or mine >= PER_SESSION or len(self._streams) >= STREAMS:
            raise TooManyStreams
        stream = Stream(self, viewer, path)
        self._streams.add(stream)
        if last_id:
            self._replay(stream, last_id)
        return stream

    def remove(self, stream: Stream) -> None:
        """Forget a stream."""
        self._streams.discard(stream)

    def watching(self, path: str) -> int:
        """How many open pages stand at `path` or below it."""
        below = path.rstrip("/") + "/"
        return sum(stream.path == path or stream.path.startswith(below) for stream in self._streams)

    def count(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def resync(self) -> None:
        """Tell every page to fetch its live parts: somebody else wrote, or we lost track."""
        now = monotonic()
        if now - self._last_resync < RESYNC_S:
            asyncio.get_running_loop().call_later(RESYNC_S, self.resync)
            self._last_resync = now + RESYNC_S
            return
        self._last_resync = max(now, self._last_resync)
        self.number += 1
        for stream in self._streams:
            stream.put("resync", self.number)

    def close(self) -> None:
        """End all streams, so that the server need not wait for them."""
        self._closing = True
        while self._stops:  # closed twice: by the drain, then by the end of the program
            self._stops.pop()()
        if self._beat:
            self._beat.cancel()
        for stream in self._streams:
            stream.end("restart")

    def _changed(self, changes: list[Change]) -> None:
        self._watch_accounts(changes)
        for change in changes:
            noun = self._nouns.get(change.table)
            if noun is None:
                continue
            for audience in _audiences(noun, change):
                rows = self._pending.setdefault((noun, change.table, audience), set())
                if len(rows) <= MANY_ROWS:
                    rows.add(str(change.key))
        if self._pending and self._beat is None:
            wait_s = max(0.0, self._last_beat + BEAT_S - monotonic())
            self._beat = asyncio.get_running_loop().call_later(wait_s, self._flush)

    def _flush(self) -> None:
        """One beat: each name once, however many commits said it."""
        self._beat, self._last_beat = None, monotonic()
        pending, self._pending = self._pending, {}
        said: set[tuple[str, Audience]] = set()
        for (noun, table, audience), rows in pending.items():
            for name in _names(noun, table, rows):
                if (name, audience) not in said:
                    said.add((name, audience))
                    self._say(name, audience)

    def _say(self, name: str, audience: Audience) -> None:
        self.number += 1
        self._ring.append(Event(self.number, name, audience, self._last_beat))
        for stream in self._streams:
            if audience.includes(stream.viewer):
                stream.put(name, self.number)

    def _replay(self, stream: Stream, last_id: str) -> None:
        boot, _, heard = last_id.rpartition("-")
        oldest = self._ring[0].number if self._ring else self.number + 1
        fresh = self._ring and monotonic() - self._ring[0].at < RING_S
        known = boot == self.boot and heard.isascii() and heard.isdigit() and len(heard) < 20
        if known and int(heard) == self.number:
            return
        if not known or not fresh or not oldest - 1 <= int(heard) <= self.number:
            stream.put("resync", self.number)
            return
        for event in self._ring:
            if event.number > int(heard) and event.audience.includes(stream.viewer):
                stream.put(event.name, event.number)

    def _watch_accounts(self, changes: Iterable[Change]) -> None:
        """A session that ended ends its streams; a changed account has its rights read again.

        So has everybody after a changed setting: it may have been a domain switched off.
        """
        gone = {c.key for c in changes if c.table == "sessions" and c.after is None}
        changed = {c.key for c in changes if c.table == "users"}
        everybody = any(c.table == "configuration" for c in changes)
        if gone or changed or everybody:
            for stream in self._streams:
                if stream.viewer.session_id in gone:
                    stream.end("bye")
                elif everybody or stream.viewer.id in changed:
                    stream.check_again()


def _names(noun: Noun, table: str, rows: set[str]) -> list[str]:
    """The list's name, and each row's own; one name for all where they are many."""
    if len(rows) > MANY_ROWS:
        return [noun.plural or table, f"{noun.name}-all"]
    singles = (f"{noun.name}-{key}" for key in sorted(rows) if _SAFE_KEY.fullmatch(key))
    return [noun.plural or table, *singles]


def _audiences(noun: Noun, change: Change) -> list[Audience]:
    """Who hears of this change: the owner it had and the one it has, or those the noun names."""
    if noun.to != "owner":
        return [Audience(noun.to, noun.domain if noun.to == "domain" else "")]
    owners = {str(owner) for owner in (change.before, change.after) if owner is not None}
    return [Audience("owner", owner) for owner in owners] or [Audience("admin")]
