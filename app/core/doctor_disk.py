"""What `holdfast doctor` sees of the disk: room, names left, kind of file system, the log's length.

Reads only; none of it needs the database to be sound.
"""

import os
from collections.abc import Iterator

from app.core.doctor import Finding, State
from app.core.i18n import _, fmt_number
from app.core.settings import Settings
from db.place import NETWORK, file_system

MIB = 1024 * 1024
BAD_FREE, WARN_FREE = 100 * MIB, 1024 * MIB  # below the first `/readyz` says no
BAD_NAMES, WARN_NAMES = 1000, 20_000
WARN_WAL = 64 * MIB  # what a checkpoint cuts it to, so more means that none came through


def look(chosen: Settings) -> Iterator[Finding]:
    """Every check of the disk that the data folder is on."""
    folder = chosen.data_dir
    if not folder.is_dir():
        return
    seen = os.statvfs(folder)
    yield space(seen.f_bavail * seen.f_frsize)
    yield names(seen.f_files, seen.f_favail)
    yield system(file_system(folder))
    wal = chosen.db_file.with_name(f"{chosen.db_file.name}-wal")
    yield log(wal.stat().st_size if wal.exists() else 0)


def space(free: int) -> Finding:
    """How many bytes are left for us."""
    state = _grade(free, BAD_FREE, WARN_FREE)
    return Finding(
        name="free space",
        state=state,
        text=_("%(n)s MiB free", n=fmt_number(free // MIB)),
        hint="" if state == "ok" else _("make room, or move the data folder to a larger disk"),
    )


def names(all_: int, free: int) -> Finding:
    """How many more files the file system takes; some have no limit and say 0."""
    state = _grade(free, BAD_NAMES, WARN_NAMES) if all_ else "ok"
    return Finding(
        name="free inodes",
        state=state,
        text=_("%(n)s of %(all)s free", n=fmt_number(free), all=fmt_number(all_))
        if all_
        else _("this file system has no limit"),
        hint=""
        if state == "ok"
        else _("delete many small files on this disk, or move the data folder"),
    )


def system(kind: str) -> Finding:
    """Whether the write-ahead log and our locks can be trusted there."""
    bad = kind in NETWORK
    return Finding(
        name="file system",
        state="bad" if bad else "ok",
        text=_("%(kind)s, a network file system", kind=kind) if bad else kind or _("unknown"),
        hint=_("move the data folder to a local disk: here SQLite's locks do not hold")
        if bad
        else "",
    )


def log(size: int) -> Finding:
    """How long the write-ahead log has grown."""
    long = size > WARN_WAL
    return Finding(
        name="write-ahead log",
        state="warn" if long else "ok",
        text=_("%(n)s MiB", n=fmt_number(size // MIB))
        if size >= MIB
        else _("%(n)s bytes", n=fmt_number(size)),
        hint=_("some program reads for very long and keeps it from being cut: restart the server")
        if long
        else "",
    )


def _grade(left: int, bad: int, warn: int) -> State:
    return "bad" if left < bad else "warn" if left < warn else "ok"
