"""Who is alive: a lock file per worker that the kernel drops at any death.

All users of a WAL file sit on one kernel, so liveness is a lock test and not a guess by time. A
bare fork, as some library may do one, carries the lock into its child and would keep a dead worker
looking alive: the child lets go of it at once.
"""

import fcntl
import os
import socket
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from db.keys import uuid7


def new_worker_id() -> str:
    """`host-pid-random`: unique for ever, and readable in a list."""
    return f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{uuid7()[-6:]}"


def folder(data_dir: Path) -> Path:
    """Where the lock files are."""
    return data_dir / "workers"


class Lock:
    """A held lock file: a living worker's own, or a dead one's while its jobs are rescued."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        _held.add(self)

    def leave(self) -> None:
        """Close it, the file stays: the lock is the parent's."""
        os.close(self._descriptor)

    @classmethod
    def own(cls, data_dir: Path, worker_id: str) -> Self:
        """Create and hold the lock of this worker."""
        path = folder(data_dir) / f"{worker_id}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Locked before it gets its name: nobody may find it free and take us for dead.
        unborn = path.with_suffix(".unborn")
        descriptor = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unborn.rename(path)
        return cls(path, descriptor)

    @classmethod
    def of_dead(cls, data_dir: Path, worker_id: str) -> Self | None:
        """Hold the lock of a dead worker; None while it lives, or while another rescues it."""
        path = folder(data_dir) / f"{worker_id}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def drop(self) -> None:
        """Remove the file, then let go."""
        self.path.unlink(missing_ok=True)
        _held.discard(self)
        os.close(self._descriptor)


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forked() -> None:
    for lock in _held:
        lock.leave()


os.register_at_fork(after_in_child=_forked)


def locks_of_dead(data_dir: Path, worker_ids: Iterable[str]) -> dict[str, Lock]:
    """The held locks of those that are dead, by worker id."""
    folder(data_dir).mkdir(parents=True, exist_ok=True)
    held = {worker_id: Lock.of_dead(data_dir, worker_id) for worker_id in worker_ids}
    return {worker_id: lock for worker_id, lock in held.items() if lock}
