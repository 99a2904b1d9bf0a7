"""One download from the event loop's side: starts the threads, saves what they gained, ends it."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from app.firmware.archive import Member
from app.firmware.outcomes import Fault
from app.firmware.pipeline import segments as pieces
from app.firmware.pipeline.lines import LINES, Share
from app.firmware.pipeline.receive import Receiver
from app.firmware.pipeline.segments import Segment
from app.firmware.pipeline.source import Source
from app.firmware.pipeline.state import Figures, Options, State
from app.firmware.pipeline.unpack import Checked, Follower
from db import clock

SAVE_S = 5.0
LOOK_S = 0.25
JOIN_S = 20.0

Save = Callable[[list[Segment], list[Checked]], Awaitable[None]]
Tell = Callable[[Figures, list[str]], Awaitable[None]]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to fetch and where to put it. `members`: those to unpack, not those that are done."""

    key: bytes
    size: int
    crc32: int | None
    segments: list[Segment]
    members: list[Member]
    part_file: Path
    folder: Path
    kept_file: Path | None = None
    options: Options = Options()


async def fetch(
    plan: Plan, source: Source, *, save: Save, tell: Tell, check: Callable[[], None]
) -> list[Checked]:
    """Fetch, check, decrypt and unpack in one pass; what was checked, each member once.

    `save` is called with what is surely on the disk, every five seconds and at the end, also when
    this raises. Damaged ranges are fetched once more; then Fault bad_crc, bad_md5 or bad_archive.
    `check` raises to stop.
    """
    with LINES.join(plan.options.connections) as share:
        return await _rounds(plan, source, share, save=save, tell=tell, check=check)


async def _rounds(
    plan: Plan,
    source: Source,
    share: Share,
    *,
    save: Save,
    tell: Tell,
    check: Callable[[], None],
) -> list[Checked]:
    fd = os.open(plan.part_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    kept = _open_kept(plan.kept_file)
    try:
        todo = plan.members
        good: list[Checked] = []
        for last in (False, True):
            one = _Round(plan, source, todo, fd, kept, share)
            checked = await one.run(save, tell, check)
            good += [each for each in checked if not each.wrong]
            wrong = [each for each in checked if each.wrong]
            crc_bad = _crc_bad(plan)
            if not wrong and not crc_bad:
                return good
            if last:
                raise _damage(wrong)
            await tell(one.state.figures(), [_words(wrong)])
            todo = _forget(plan, todo, {each.filename for each in wrong})
            await save(one.state.snapshot(), good)
        raise AssertionError("two rounds at most")
    finally:
        os.close(fd)
        if kept >= 0:
            os.close(kept)


class _Round:
    """One go at everything that is missing."""

    def __init__(
        self,
        plan: Plan,
        source: Source,
        todo: list[Member],
        fd: int,
        kept: int,
        share: Share,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._moved = asyncio.Event()
        self._fd = fd
        self._kept = kept
        options = plan.options
        self.state = State(plan.segments, self._stir, options)
        missing = sum(not segment.full for segment in plan.segments)
        count = min(options.connections, missing)
        self._receivers = [
            Receiver(
                self.state,
                source,
                options,
                share,
                key=plan.key,
                part_fd=fd,
                size=plan.size,
                kept_fd=kept,
            )
            for _ in range(count)
        ]
        self._follower = Follower(
            self.state, todo, part_fd=fd, folder=plan.folder, tight=options.tight
        )
        self._stagger_s = options.stagger_s

    async def run(self, save: Save, tell: Tell, check: Callable[[], None]) -> list[Checked]:
        """Run to the end of all threads; raises what one of them, or `check`, raised."""
        threads = [each.start(n * self._stagger_s) for n, each in enumerate(self._receivers)]
        threads.append(self._follower.start())
        saved_at = clock.monotonic()
        try:
            while not self._over():
                self._moved.clear()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._moved.wait()
                except TimeoutError:
                    await tell(self.state.figures(), self._notes())
                check()
                if clock.monotonic() - saved_at >= SAVE_S:
                    await self._save(save)
                    saved_at = clock.monotonic()
        finally:
            ended = self.state.error
            self.state.stop()
            for receiver in self._receivers:
                receiver.abort()
            await asyncio.shield(asyncio.to_thread(_join, threads))
            await self._save(save)
            await tell(self.state.figures(), self._notes())
        if ended is not None:
            raise ended
        return list(self._follower.checked)

    async def _save(self, save: Save) -> None:
        """Data before metadata: what `save` is told has been synced before."""
        with self.state.lock:
            checked = list(self._follower.checked)
        snapshot = self.state.snapshot()
        await asyncio.to_thread(self._sync)
        await save(snapshot, checked)

    def _sync(self) -> None:
        os.fdatasync(self._fd)
        if self._kept >= 0:
            os.fdatasync(self._kept)

    def _over(self) -> bool:
        with self.state.lock:
            if self.state.error is not None:
                return True
            return self.state.complete and self._follower.finished

    def _notes(self) -> list[str]:
        with self.state.lock:
            notes, self.state.notes = self.state.notes, []
        return notes

    def _stir(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._moved.set)


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(JOIN_S)


def _open_kept(path: Path | None) -> int:
    if path is None:
        return -1
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _crc_bad(plan: Plan) -> bool:
    """Whether the whole file is here and is not the one that was announced."""
    found = pieces.whole_crc(plan.segments, plan.size)
    return found is not None and plan.crc32 is not None and found != plan.crc32


def _forget(plan: Plan, todo: list[Member], wrong: set[str]) -> list[Member]:
    """Empty the segments under the damaged members; where none is, those outside of all members."""
    again = [member for member in todo if member.filename in wrong]
    ranges = [(member.offset, member.end) for member in again]
    for segment in plan.segments:
        under = any(segment.start < end and start < segment.end for start, end in ranges)
        whole_inside = any(
            member.offset <= segment.start and segment.end <= member.end for member in todo
        )
        if under or (not again and not whole_inside):
            segment.done, segment.crc32 = 0, 0
    if not again and all(segment.full for segment in plan.segments):
        for segment in plan.segments:
            segment.done, segment.crc32 = 0, 0
    return again


def _words(wrong: list[Checked]) -> str:
    names = ", ".join(each.filename for each in wrong) or "the file as a whole"
    return f"damaged: {names}; fetching those ranges once more"


def _damage(wrong: list[Checked]) -> Fault:
    if not wrong:
        return Fault("bad_crc", "the file as a whole")
    return Fault(wrong[0].wrong, ", ".join(each.filename for each in wrong))
