"""Archives from outside: unpacked whole into an empty folder, or not at all.

Names, links, sizes and numbers are checked while reading: what an archive says of itself is not
believed.
"""

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from app.core.errors import AppError, NotFound
from app.core.files import inside
from app.core.i18n import _

CHUNK: Final = 256 * 1024
SMALL: Final = 1024 * 1024  # so much may come of any archive, however well its texts are packed


class BadArchive(AppError):
    """Not an archive, a damaged one, or one that wants out of its folder."""

    status = 422


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What may come out: files, bytes in all, and bytes for each byte of the archive."""

    entries: int = 10_000
    bytes: int = 1024 * 1024 * 1024
    ratio: int = 20


def unpack(archive: Path, into: Path, limits: Limits | None = None) -> list[Path]:
    """The files of a zip or tar archive below `into`, which is made and must not exist yet.

    Files get mode 0600, folders 0700, whatever the archive says. Raises BadArchive; then `into`
    is gone again.
    """
    limits = limits or Limits()
    room = min(limits.bytes, max(SMALL, limits.ratio * archive.stat().st_size))
    into.mkdir(mode=0o700, parents=True)
    try:
        return list(_unpacked(archive, into, limits.entries, room))
    except BadArchive:
        shutil.rmtree(into)
        raise
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,  # a password is wanted
        ValueError,
        UnicodeError,
        OverflowError,
    ) as error:
        shutil.rmtree(into)
        raise BadArchive(_("This is no archive that can be read.")) from error
    except BaseException:
        shutil.rmtree(into)
        raise


def _unpacked(archive: Path, into: Path, entries: int, room: int) -> Iterator[Path]:
    taken: set[str] = set()
    count = 0
    for name, kind, source in _members(archive):
        count += 1
        if count > entries:
            raise BadArchive(_("This archive holds more than it may."))
        target = _place(into, name)
        if kind == "other":
            raise BadArchive(_("This archive holds links or devices, and so it is not unpacked."))
        # Letters of either case: not every disk tells them apart.
        key = str(target).casefold()
        if kind == "folder":
            if target.exists() and not target.is_dir():
                raise BadArchive(_("This is no archive that can be read."))
            _folder(into, target)
            continue
        if key in taken or target.exists():
            raise BadArchive(_("This archive names one file twice."))
        taken.add(key)
        _folder(into, target.parent)
        room -= _write(source, target, room)
        yield target


def _members(archive: Path) -> Iterator[tuple[str, str, IO[bytes] | None]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                unix = info.external_attr >> 16
                is_odd = unix and (unix & 0o170000) not in (0, 0o100000, 0o040000)
                if info.is_dir():
                    yield info.filename, "folder", None
                elif is_odd:
                    yield info.filename, "other", None
                else:
                    with opened.open(info) as source:
                        yield info.filename, "file", source
        return
    with tarfile.open(archive, "r:*") as opened:
        for member in opened:
            if member.isdir():
                yield member.name, "folder", None
            elif not member.isreg() or member.issparse():
                yield member.name, "other", None
            else:
                yield member.name, "file", opened.extractfile(member)


def _place(into: Path, name: str) -> Path:
    """Where a member goes: each part of its name is checked as any name from outside is."""
    parts = [part for part in name.split("/") if part != "."]
    if parts and parts[-1] == "":
        parts.pop()
    try:
        if not parts or len(parts) > 32:
            raise NotFound
        return inside(into, *parts)
    except NotFound:
        raise BadArchive(_("This archive names a place outside of itself.")) from None


def _folder(into: Path, folder: Path) -> None:
    for step in reversed([folder, *folder.parents]):
        if step != into and step.is_relative_to(into):
            step.mkdir(mode=0o700, exist_ok=True)


def _write(source: IO[bytes] | None, target: Path, room: int) -> int:
    if source is None:
        raise BadArchive(_("This is no archive that can be read."))
    written = 0
    with target.open("xb") as file:
        target.chmod(0o600)
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > room:
                raise BadArchive(_("This archive holds more than it may."))
            file.write(chunk)
    return written
