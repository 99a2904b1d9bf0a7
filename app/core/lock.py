"""One server per data folder: a lock that the kernel drops when its holder dies in any way."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

NAME = "holdfast.lock"


class AlreadyRunning(Exception):
    """Another process holds the folder; `pid` is its number, 0 if it has not written it yet."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"already running, pid {pid}" if pid else "already running")
        self.pid = pid


class Lock:
    """Holds `<data>/holdfast.lock` from `take()` to `release()`; also a `with` block."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NAME
        self._fd = -1

    def take(self) -> None:
        """Lock the folder or raise AlreadyRunning. Does not wait."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _pid(os.pread(fd, 32, 0))
            os.close(fd)
            raise AlreadyRunning(pid) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the folder back.

        The file stays: removing it would let two holders lock two files of one name.
        """
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def holder(data_dir: Path) -> int | None:
    """The pid of the process that holds the folder, 0 if it is not written, None if nobody does."""
    try:
        fd = os.open(data_dir / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(os.pread(fd, 32, 0))
    else:
        return None
    finally:
        os.close(fd)


def _pid(text: bytes) -> int:
    number = text.strip()
    return int(number) if number.isdigit() else 0
