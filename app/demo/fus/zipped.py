"""A zip writer that can also write wrong: every header field is the caller's to bend."""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

STORED, DEFLATED = 0, 8
_FAST = 1
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_DATE = (2026 - 1980) << 9 | 1 << 5 | 1


class Sink(Protocol):
    """Where the archive's bytes go."""

    offset: int

    def write(self, data: bytes) -> None:
        """Take the next bytes."""


@dataclass
class Entry:
    """What headers say about one member; `packed` is also the length of the bytes that follow."""

    name: bytes
    method: int
    crc32: int
    size: int
    packed: int
    offset: int = 0
    data_offset: int = 0


def pack(chunks: Iterable[bytes], method: int, spool: BinaryIO) -> tuple[int, int, int]:
    """Write the packed bytes to `spool`; returns (crc32, size, packed size)."""
    crc = size = 0
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = spool.tell()
    for chunk in chunks:
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        spool.write(packer.compress(chunk) if method == DEFLATED else chunk)
    if method == DEFLATED:
        spool.write(packer.flush())
    return crc, size, spool.tell() - start


class Zip:
    """An archive written in one direction. `zip64` writes the large records though small."""

    def __init__(self, sink: Sink, *, zip64: bool = False, descriptors: bool = False) -> None:
        self.entries: list[Entry] = []
        self._sink = sink
        self._zip64 = zip64
        self._descriptors = descriptors

    def add(self, entry: Entry, data: Iterable[bytes]) -> None:
        """One member: local header, bytes, and its descriptor if the archive has them."""
        entry.offset = self._sink.offset
        large = self._is_large(entry)
        extra = struct.pack("<HHQQ", 1, 16, entry.size, entry.packed) if large else b""
        crc, packed, size = entry.crc32, entry.packed, entry.size
        if self._descriptors:
            crc, packed, size = 0, 0, 0
            extra = struct.pack("<HHQQ", 1, 16, 0, 0) if large else b""
        if large:
            packed, size = _FULL32, _FULL32
        fixed = struct.pack(
            "<IHHHHHIIIHH", 0x04034B50, self._needs(large), self._flags, entry.method, 0, _DATE,
            crc, packed, size, len(entry.name), len(extra),
        )  # fmt: skip
        self._sink.write(fixed + entry.name + extra)
        entry.data_offset = self._sink.offset
        for chunk in data:
            self._sink.write(chunk)
        if self._descriptors:
            form = "<IIQQ" if large else "<IIII"
            self._sink.write(struct.pack(form, 0x08074B50, entry.crc32, entry.packed, entry.size))
        self.entries.append(entry)

    def finish(self, listed: Iterable[Entry] | None = None) -> None:
        """Central directory and end record; `listed` names other entries than were added."""
        start, count = self._sink.offset, 0
        for entry in self.entries if listed is None else listed:
            self._sink.write(self._central(entry))
            count += 1
        length = self._sink.offset - start
        large = self._zip64 or start + length >= _FULL32
        if large:
            self._write_zip64_end(start, length, count)
        said = (_FULL16, _FULL32, _FULL32) if large else (count, length, start)
        self._sink.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, said[0], *said, 0))

    def _central(self, entry: Entry) -> bytes:
        large = self._is_large(entry) or entry.offset >= _FULL32
        packed, size, offset, extra = entry.packed, entry.size, entry.offset, b""
        if large:
            extra = struct.pack("<HHQQQ", 1, 24, size, packed, offset)
            packed = size = offset = _FULL32
        fixed = struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 45, self._needs(large), self._flags, entry.method,
            0, _DATE, entry.crc32, packed, size, len(entry.name), len(extra), 0, 0, 0, 0, offset,
        )  # fmt: skip
        return fixed + entry.name + extra

    def _write_zip64_end(self, start: int, length: int, count: int) -> None:
        at = self._sink.offset
        end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, length, start)
        self._sink.write(end + struct.pack("<IIQI", 0x07064B50, 0, at, 1))

    def _is_large(self, entry: Entry) -> bool:
        return self._zip64 or max(entry.size, entry.packed) >= _FULL32

    @property
    def _flags(self) -> int:
        return 1 << 3 if self._descriptors else 0

    @staticmethod
    def _needs(large: bool) -> int:
        return 45 if large else 20
