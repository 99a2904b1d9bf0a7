"""Files of the data folder: safe names, whole writes, private modes."""

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from app.core.errors import NotFound
from db.failpoints import failpoint

LONGEST_NAME = 255


def inside(base: Path, *parts: str) -> Path:
    """`base/parts…`, which need not exist yet.

    NotFound if a part, or a link on the way, leads elsewhere.
    """
    for part in parts:
        if not _plain(part):
            raise NotFound("no such file")
    root = base.resolve()
    path = root.joinpath(*parts)
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:  # a link that points to itself
        raise NotFound("no such file") from error
    # A link inside the folder to another place inside it is no escape, but nothing here makes
    # links: refused too.
    if real != path or not real.is_relative_to(root):
        raise NotFound("no such file")
    return path


def read_bytes(path: Path, limit_bytes: int | None = None) -> bytes:
    """The file's bytes without following a link as its last part.

    NotFound if missing or longer than the limit.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise NotFound("no such file") from error
    with os.fdopen(fd, "rb") as file:
        data = file.read() if limit_bytes is None else file.read(limit_bytes + 1)
    if limit_bytes is not None and len(data) > limit_bytes:
        raise NotFound("no such file")
    return data


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, point: str = "files") -> None:
    """Old file or new file, never half of one, also after a power cut. Safe to repeat.

    `point` names the two fail points `<point>_temp_written` and `<point>_renamed`.
    """
    temp = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.tmp")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)  # the umask may have taken bits away
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        failpoint(f"{point}_temp_written")
        temp.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temp.unlink()
        raise
    failpoint(f"{point}_renamed")
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names just created, renamed or removed in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def private_folder(path: Path) -> Path:
    """`path` as an existing folder that only its owner may enter (0700)."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def empty_folder(path: Path) -> Path:
    """`path` as an existing, private, empty folder; links in it are removed, not followed."""
    private_folder(path)
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return path


def _plain(part: str) -> bool:
    """One step of a path: no separator of any system, no dots alone, nothing unprintable."""
    return (
        0 < len(part.encode("utf-8", "surrogatepass")) <= LONGEST_NAME
        and part not in {".", ".."}
        and not any(sign in part for sign in "/\\:")
        and part.isprintable()
    )
