"""A file in pieces: which bytes are here, which to fetch next, and the CRC of all of them."""

from collections.abc import Iterable, Sequence

import msgspec
from zlib_ng import zlib_ng

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


def piece_size(size: int, connections: int) -> int:
    """64 MiB; less for small files, so that every connection has work until the end."""
    wanted = size // (4 * max(connections, 1))
    return max(SMALLEST, min(LARGEST, wanted)) // BLOCK * BLOCK


def plan(
    known: Iterable[Segment], ranges: Iterable[tuple[int, int]], size: int, piece: int
) -> list[Segment]:
    """`known` and what must be added to cover `ranges` (start, end), in file order."""
    kept = sorted(known, key=lambda segment: segment.start)
    found = list(kept)
    for start, end in _merged(ranges, size):
        at = start
        for segment in [*kept, Segment(start=size, length=0)]:
            while at < min(segment.start, end):
                stop = min(at + piece, segment.start, end)
                found.append(Segment(start=at, length=stop - at))
                at = stop
            if segment.start <= at:
                at = max(at, segment.end)
    return sorted(found, key=lambda segment: segment.start)


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


def next_open(segments: Sequence[Segment]) -> Segment | None:
    """The lowest segment nobody works on, unless it lies too far ahead of the lowest open one."""
    first: Segment | None = None
    for segment in segments:
        if segment.full:
            continue
        first = first or segment
        if not segment.taken:
            return segment if segment.start - first.start < AHEAD else None
    return None


def whole_crc(segments: Sequence[Segment], size: int) -> int | None:
    """The CRC-32 of the whole ciphertext; None while a byte is missing."""
    crc, at = 0, 0
    for segment in segments:
        if segment.start != at or not segment.full:
            return None
        crc = zlib_ng.crc32_combine(crc, segment.crc32, segment.length)
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
