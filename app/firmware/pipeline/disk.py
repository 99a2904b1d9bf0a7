"""Room on the disk: promises before a download, holes behind it, and early writing out."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from app.core.i18n import _, fmt_size
from app.firmware.outcomes import Fault

GIB = 1024**3
Mode = Literal["roomy", "tight"]


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a download was promised. `spare`: bytes the archive may take beside its parts."""

    mode: Mode
    spare: int


# flags of fallocate(2) and sync_file_range(2)
_PUNCH_HOLE, _KEEP_SIZE = 0x02, 0x01
_WRITE_OUT = 2

_promised: dict[int, int] = {}
_libc = ctypes.CDLL(None, use_errno=True)


def free_bytes(folder: Path) -> int:
    """What may still be written, less what running downloads were promised."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize - sum(_promised.values())


@contextmanager
def room_for(
    firmware_id: int, folder: Path, *, packed: int, unpacked: int, min_free: int
) -> Iterator[Room]:
    """Promise room for a download, with the archive beside its parts or, if short, without it.

    Fault no_space with the numbers where neither fits.
    """
    free = free_bytes(folder)
    if free >= packed + unpacked + min_free:
        room, need = Room(mode="roomy", spare=packed), packed + unpacked
    elif free >= unpacked + min(GIB, min_free):
        spare = free - unpacked
        room, need = Room(mode="tight", spare=spare), unpacked + min(spare, GIB)
    else:
        text = _(
            "Needs %(need)s, free are %(free)s. Make room, or fetch only some parts.",
            need=fmt_size(unpacked + min(GIB, min_free)),
            free=fmt_size(max(free, 0)),
        )
        raise Fault("no_space", text)
    _promised[firmware_id] = need
    try:
        yield room
    finally:
        _promised.pop(firmware_id, None)


def reserve(fd: int, size: int) -> None:
    """Take the blocks of a file now, so that they cannot run out later."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def punch(fd: int, start: int, length: int) -> None:
    """Give the blocks of a range back; its bytes then read as zero. Quietly nothing elsewhere."""
    _libc.fallocate(
        ctypes.c_int(fd),
        ctypes.c_int(_PUNCH_HOLE | _KEEP_SIZE),
        ctypes.c_long(start),
        ctypes.c_long(length),
    )


def write_out(fd: int, start: int, length: int) -> None:
    """Begin to write a range to the disk without waiting, so that the sync at the end is short."""
    if hasattr(_libc, "sync_file_range"):
        _libc.sync_file_range(
            ctypes.c_int(fd), ctypes.c_long(start), ctypes.c_long(length), ctypes.c_uint(_WRITE_OUT)
        )
