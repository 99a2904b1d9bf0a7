"""The first block and the last 64 KiB: proves the key and tells every part before the download."""

import os
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from isal import isal_zlib

from app.core.bulk import Stream
from app.core.errors import Upstream
from app.firmware import archive
from app.firmware.archive import BLOCK, TAIL, Member
from app.firmware.outcomes import Fault
from app.firmware.pipeline.segments import Segment
from app.firmware.pipeline.source import Source, TokenOver, WholeFile

TRIES = 4


class Peek(msgspec.Struct, frozen=True):
    """What the ends of a file told: its members, and the pieces that are here already."""

    members: list[Member]
    pad: int
    segments: list[Segment]


def peek(source: Source, key: bytes, size: int, part_file: Path) -> Peek | None:
    """Look at both ends; blocking. None where the server sends no ranges.

    The bytes go into `part_file` at their places: they need not be fetched again. Fault wrong_key
    where the first bytes are no archive, bad_archive where the last are none.
    """
    start = max(BLOCK, (size - TAIL) // BLOCK * BLOCK) if size > TAIL else 0
    ranges = [(0, BLOCK), (start, size)] if start else [(0, size)]
    try:
        found = [_read(source, begin, end, size) for begin, end in ranges]
    except WholeFile as whole:
        whole.stream.__exit__()
        return None
    plain = [_decrypt(key, data) for data in found]
    if plain[0][:4] != b"PK\x03\x04":
        raise Fault("wrong_key")
    pad = archive.unpad(plain[-1][-BLOCK:])
    tail = plain[-1][: len(plain[-1]) - pad]
    members = archive.read_directory(tail, size - pad)
    fd = os.open(part_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        for (begin, _end), data in zip(ranges, plain, strict=True):
            os.pwrite(fd, data, begin)
        os.fdatasync(fd)
    finally:
        os.close(fd)
    return Peek(
        members, pad, [_segment(at[0], data) for at, data in zip(ranges, found, strict=True)]
    )


def read_local(part_file: Path, size: int) -> tuple[list[Member], int]:
    """The same from a file that is here whole: members and padding."""
    with part_file.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - TAIL - BLOCK))
        tail = file.read(TAIL + BLOCK)
    if head != b"PK\x03\x04":
        raise Fault("wrong_key")
    pad = archive.unpad(tail[-BLOCK:])
    return archive.read_directory(tail[: len(tail) - pad], size - pad), pad


def _segment(start: int, data: bytes) -> Segment:
    length = len(data)
    return Segment(start=start, length=length, done=length, crc32=isal_zlib.crc32(data))


def _read(source: Source, start: int, end: int, size: int) -> bytes:
    for attempt in range(TRIES):
        generation = source.generation()
        try:
            with source.open(start, end, size) as body:
                return _whole(body, end - start)
        except TokenOver:
            if attempt == TRIES - 1:
                raise Fault("fus_401", fus="401") from None
            source.renew(generation)
        except Upstream as error:
            if isinstance(error, Fault) or error.code == "forbidden_host":
                raise
            if attempt == TRIES - 1:
                raise Fault("network", error.message) from error
    raise AssertionError("unreachable")


def _whole(body: Stream, count: int) -> bytes:
    buffer = memoryview(bytearray(count))
    at = 0
    while at < count:
        got = body.readinto(buffer[at:])
        if not got:
            raise Upstream("the connection ended early", code="broken")
        at += got
    return bytes(buffer)


def _decrypt(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(data)  # noqa: S305
