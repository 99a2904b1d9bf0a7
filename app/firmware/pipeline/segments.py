"""A file in pieces: which bytes are here, which to fetch next, and the CRC of all of them."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from isal import isal_zlib

MIB = 1024 * 1024
LARGEST, SMALLEST = 64 * MIB, MIB
AHEAD = 512 * MIB
BLOCK = 16


class Segment(msgspec.Struct, kw_only=True):
    """A run of ciphertext. `done` bytes from `start` on are on disk; `crc32` is theirs."""

    start: int
    length: int
    done: int = 0
    crc32: int = 0
    taken: bool = False

    @property
    def idx(self) -> int:
        """Its number in the table: pieces are cut anew when more of a file is wanted."""
        return self.start // BLOCK

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.length

    @property
    def full(self) -> bool:
        """Whether nothing is missing."""
        return self.done == self.length


def plan(
    known: Iterable[Segment],
    ranges: Iterable[tuple[int, int]],
    size: int,
    connections: int,
    *,
    smallest: int = SMALLEST,
    largest: int = LARGEST,
) -> list[Segment]:
    """`known` and what must be added to cover `ranges` (start, end), in file order.

    New pieces have 64 MiB and become smaller towards the end, so that all connections end at about
    the same byte and little is left to unpack when the last one comes.
    """
    kept = sorted(known, key=lambda segment: segment.start)
    gaps = list(_gaps(kept, _merged(ranges, size), size))
    left = sum(end - start for start, end in gaps)
    found = list(kept)
    for start, end in gaps:
        at = start
        while at < end:
            piece = min(largest, max(smallest, left // (2 * max(connections, 1))))
            stop = min(at + piece // BLOCK * BLOCK, end)
            found.append(Segment(start=at, length=stop - at))
            left -= stop - at
            at = stop
    return sorted(found, key=lambda segment: segment.start)


def _gaps(
    kept: Sequence[Segment], ranges: Iterable[tuple[int, int]], size: int
) -> Iterator[tuple[int, int]]:
    """What of the ranges no segment covers."""
    for start, end in ranges:
        at = start
        for segment in [*kept, Segment(start=size, length=0)]:
            if at < min(segment.start, end):
                yield at, min(segment.start, end)
                at = min(segment.start, end)
            if segment.start <= at:
                at = max(at, segment.end)


def reach(segments: Sequence[Segment], position: int) -> int:
    """How far the bytes from `position` on are here without a gap."""
    at = position
    for segment in segments:
        if segment.start <= at < segment.end or (segment.start == at and not segment.length):
            at = max(at, min(segment.start + segment.done, segment.end))
            if not segment.full:
                break
        elif segment.start > at:
            break
    return at


def next_open(
    segments: Sequence[Segment], behind: int | None = None, ahead: int = AHEAD
) -> Segment | None:
    """The lowest segment nobody works on, unless `ahead` bytes lie before it already.

    Counted from the lowest that is not full on; where room is short, from `behind` on, which is
    where unpacking is by now: also full ones take room until then.
    """
    held = 0
    for segment in segments:
        if not (segment.full or segment.taken):
            return segment if held < ahead else None
        if behind is not None:
            held += max(0, segment.end - max(segment.start, behind))
        elif held or not segment.full:
            held += segment.length
    return None


def whole_crc(segments: Sequence[Segment], size: int) -> int | None:
    """The CRC-32 of the whole ciphertext; None while a byte is missing."""
    crc, at = 0, 0
    for segment in segments:
        if segment.start != at or not segment.full:
            return None
        crc = isal_zlib.crc32_combine(crc, segment.crc32, segment.length)
        at = segment.end
    return crc if at == size else None


def _merged(ranges: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Block-aligned, in order, without overlap."""
    aligned = sorted(
        (start // BLOCK * BLOCK, min(-(-end // BLOCK) * BLOCK, size)) for start, end in ranges
    )
    found: list[tuple[int, int]] = []
    for start, end in aligned:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
