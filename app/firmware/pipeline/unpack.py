"""Follows the bytes as they come: unpacks each member, checks its CRC, size and MD5 footer."""

import hashlib
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
from isal import isal_zlib

from app.firmware import archive
from app.firmware.archive import DEFLATED, LOCAL, Member
from app.firmware.outcomes import Fault
from app.firmware.pipeline import disk
from app.firmware.pipeline.state import State
from db.failpoints import failpoint

PIECE = 256 * 1024
OUT = 512 * 1024
LARGE = 8 * 1024 * 1024
FOOTER = 512
WRITE_OUT = 8 * 1024 * 1024
PUNCH = 1024 * 1024
_INFLATE: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub says a value


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A member on disk. `md5_ok`: None without a footer. `wrong`: what does not fit, or ""."""

    filename: str
    md5: str | None = None
    md5_ok: bool | None = None
    wrong: str = ""


class FooterMd5:
    """MD5 of everything before the footer line, in a thread of its own: it is the slowest step."""

    def __init__(self) -> None:
        self._pieces: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        self._hash = hashlib.md5(usedforsecurity=False)
        self._held = b""
        self._thread = threading.Thread(target=self._run, name="firmware-md5", daemon=True)
        self._thread.start()

    def feed(self, data: bytes) -> None:
        """Add what comes next; waits while eight pieces are ahead."""
        self._pieces.put(data)

    def stop(self) -> None:
        """Let the thread end."""
        self._pieces.put(None)

    def end(self) -> tuple[str | None, bool | None]:
        """The MD5 the footer names and whether it is right; None and None without a footer."""
        self.stop()
        self._thread.join()
        found = archive.footer(self._held)
        if found is None:
            return None, None
        said, length = found
        self._hash.update(self._held[: len(self._held) - length])
        return said, self._hash.hexdigest() == said

    def _run(self) -> None:
        while (data := self._pieces.get()) is not None:
            if len(data) >= FOOTER:
                self._hash.update(self._held)
                self._hash.update(memoryview(data)[:-FOOTER])
                self._held = data[-FOOTER:]
            else:
                whole = self._held + data
                self._hash.update(whole[:-FOOTER])
                self._held = whole[-FOOTER:]


class Output:
    """A member's file: written, counted, checksummed; never longer than the directory says."""

    def __init__(self, path: Path, member: Member) -> None:
        self._member = member
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        self._md5 = FooterMd5()
        self._crc = 0
        self._size = 0

    def write(self, data: bytes) -> None:
        """Take the next unpacked bytes."""
        if self._size + len(data) > self._member.size:
            raise _Damaged
        self._crc = isal_zlib.crc32(data, self._crc)
        self._md5.feed(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        at, self._size = self._size, self._size + len(data)
        if at // WRITE_OUT != self._size // WRITE_OUT:
            disk.write_out(self._fd, at - at % WRITE_OUT, WRITE_OUT)

    def end(self) -> Checked:
        """What the checks say; nothing is raised for a bad member."""
        md5, md5_ok = self._md5.end()
        member = self._member
        wrong = ""
        if self._size != member.size or self._crc != member.crc32:
            wrong = "bad_crc"
        elif md5_ok is False:
            wrong = "bad_md5"
        return Checked(filename=member.filename, md5=md5, md5_ok=md5_ok, wrong=wrong)

    def sync(self) -> None:
        """Wait until the bytes are on the disk."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of the file."""
        self._md5.stop()
        os.close(self._fd)


class Follower:
    """Unpacks members in file order as soon as their bytes are here. Runs in its own thread."""

    def __init__(
        self, state: State, members: list[Member], *, part_fd: int, folder: Path, tight: bool
    ) -> None:
        self._state = state
        self._members = sorted(members, key=lambda member: member.offset)
        self._part_fd = part_fd
        self._folder = folder
        self._tight = tight
        self._whole = 0  # members end before it, and all of it is given back
        self._punched = 0
        self._packed = memoryview(bytearray(PIECE))
        self.checked: list[Checked] = []
        self.finished = not members

    def start(self) -> threading.Thread:
        """Begin; the thread ends when the last member is out, or the download stops."""
        thread = threading.Thread(target=self._run, name="firmware-unpack", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            _keep_heap()
            for member in self._members:
                with self._state.lock:
                    self._state.member = member.filename
                self._let_go(member.offset)
                checked = self._one(member)
                if checked is None:
                    return
                with self._state.lock:
                    self.checked.append(checked)
                if self._tight:
                    # from the end of the member before: what lay between two steps goes, too
                    self._whole = self._punched = self._punch(self._whole, member.end)
            self._let_go(sys.maxsize)
            self.finished = True
        except BaseException as error:  # the task that waits for us must hear of everything
            self._state.fail(error)
        finally:
            self._state.tell()

    def _one(self, member: Member) -> Checked | None:
        """Unpack one member; None where the download stops."""
        head = self._get(member.offset, LOCAL)
        if head is None:
            return None
        try:
            at = member.offset + archive.local_length(head, member)
        except Fault:
            return Checked(filename=member.filename, wrong="bad_archive")
        output = Output(self._folder / member.filename, member)
        try:
            if not self._pour(member, at, output):
                return None
            checked = output.end()
            if checked.wrong:
                return checked
            output.sync()
            failpoint("firmware_member_done")
            return checked
        except (_Damaged, _INFLATE):
            return Checked(filename=member.filename, wrong="bad_crc")
        finally:
            output.close()

    def _pour(self, member: Member, at: int, output: Output) -> bool:
        end = at + member.packed
        inflate: Any = isal_zlib.decompressobj(-15) if member.method == DEFLATED else None
        while at < end:
            here = self._state.wait_for(at, end)
            if not here:
                return False
            while at < here:
                data = self._packed[: min(PIECE, here - at)]
                data = data[: os.preadv(self._part_fd, [data], at)]
                at += len(data)
                if inflate is None:
                    output.write(bytes(data))
                else:
                    _inflate(inflate, data, output)
            if self._tight:
                # what lies behind is unpacked; the header stays, a resume reads it again
                self._punched = self._punch(max(self._punched, member.offset), at - PIECE)
        if inflate is not None:
            rest = inflate.flush()
            if rest:
                output.write(rest)
            if not inflate.eof:
                raise _Damaged
        return True

    def _get(self, at: int, count: int) -> bytes | None:
        while (here := self._state.wait_for(at, at + count)) < at + count:
            if not here:
                return None
            with self._state.lock:
                self._state.lock.wait(0.05)
        return os.pread(self._part_fd, count, at)

    def _punch(self, start: int, before: int) -> int:
        """Give back what is unpacked from `start` on, in steps of 1 MiB; how far it is now."""
        stop = before // PUNCH * PUNCH
        if stop - start >= PUNCH:
            disk.punch(self._part_fd, start, stop - start)
            start = stop
        self._let_go(before)
        return start

    def _let_go(self, position: int) -> None:
        if self._tight:
            self._state.let_go(position)


def _keep_heap() -> None:
    """Free one large block: from then on glibc takes smaller ones from its heap and keeps them.

    Else each unpacked piece is mapped, filled page by page and unmapped: half a second per GB.
    """
    bytes(LARGE)


class _Damaged(Exception):
    """The packed bytes end too early."""


def _inflate(inflate: Any, data: bytes | memoryview, output: Output) -> None:
    """Unpack a piece in bounded steps: a kilobyte may become a megabyte."""
    while data:
        out = inflate.decompress(data, OUT)
        if out:
            output.write(out)
        data = inflate.unconsumed_tail
        if inflate.eof:
            break
