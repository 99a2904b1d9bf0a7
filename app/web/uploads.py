"""Files that people send: to the disk, counted while they come, gone when nobody keeps them.

What a file is called and what it says it is are words of a stranger: it lies under a name of ours,
and its kind is read from its first bytes.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

import msgspec
from litestar import Request
from litestar.exceptions import ClientException
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from app.core.files import LONGEST_NAME
from app.web.forms import Form, gathered

MOST_FILES: Final = 20
MOST_FIELDS: Final = 200
FIELD_BYTES: Final = 64 * 1024
HEAD_BYTES: Final = 64

# What we know by sight. Nothing in here can run in a browser; what can (html, svg) has no sign of
# its own and is never among them.
_SIGNS: Final = (
    ("png", (b"\x89PNG\r\n\x1a\n",)),
    ("jpeg", (b"\xff\xd8\xff",)),
    ("webp", (b"RIFF",)),
    ("pdf", (b"%PDF-",)),
    ("zip", (b"PK\x03\x04", b"PK\x05\x06")),
    ("gzip", (b"\x1f\x8b",)),
    ("zstd", (b"\x28\xb5\x2f\xfd",)),
    ("sqlite", (b"SQLite format 3\0",)),
)


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One file on our disk. `name`: what its owner calls it, for showing only."""

    field: str
    name: str
    kind: str
    path: Path
    size: int


class Posted(msgspec.Struct, kw_only=True):
    """The fields and files of one form."""

    form: Form
    files: list[Upload]


@asynccontextmanager
async def receive(
    request: Request[Any, Any, Any],
    folder: Path,
    *,
    most_bytes: int,
    kinds: Iterable[str] = (),
    most_files: int = MOST_FILES,
) -> AsyncIterator[Posted]:
    """Read a multipart form; its files lie in `folder` until the block ends.

    Raise the route's own `request_max_body_size` to fit. ClientException: 415 for another kind of
    body or a file of none of `kinds` (empty: any), 413 for more than the limits, 400 for a broken
    form.
    """
    kind, options = parse_options_header(request.headers.get("Content-Type", ""))
    if kind != "multipart/form-data":
        raise ClientException(status_code=415)
    reader = _Reader(folder, most_bytes, most_files)
    try:
        yield await reader.read(request, str(options.get("boundary", "")), frozenset(kinds))
    finally:
        reader.close()


class _Reader:
    """The form as far as it has come."""

    def __init__(self, folder: Path, most_bytes: int, most_files: int) -> None:
        self._folder, self._most_bytes, self._most_files = folder, most_bytes, most_files
        self._fields: list[tuple[str, str]] = []
        self._files: list[Upload] = []
        self._paths: list[Path] = []
        self._segment: MultipartSegment | None = None
        self._text = bytearray()
        self._fd = -1
        self._size = 0
        self._head = b""

    async def read(
        self, request: Request[Any, Any, Any], boundary: str, kinds: frozenset[str]
    ) -> Posted:
        try:
            with PushMultipartParser(
                boundary,
                max_segment_count=self._most_files + MOST_FIELDS,
                max_segment_size=max(self._most_bytes, FIELD_BYTES),
                header_charset="utf8",
            ) as parser:
                async for chunk in request.stream():
                    for part in parser.parse(chunk):
                        await self._take(part, kinds)
                    if parser.closed:
                        break
        except ParserLimitReached:
            _refuse(413)
        except (MultipartError, UnicodeError, LookupError):
            _refuse(400)
        return Posted(form=gathered(self._fields), files=self._files)

    async def _take(self, part: Any, kinds: frozenset[str]) -> None:
        if isinstance(part, MultipartSegment):
            self._begin(part)
        elif part:
            await self._more(bytes(part))
        else:
            self._end(kinds)

    def _begin(self, segment: MultipartSegment) -> None:
        self._segment, self._size, self._head = segment, 0, b""
        self._text = bytearray()
        if segment.filename is None:
            if len(self._fields) >= MOST_FIELDS:
                _refuse(413)
            return
        if len(self._paths) >= self._most_files:
            _refuse(413)
        path = self._folder / f"upload-{secrets.token_hex(16)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._paths.append(path)

    async def _more(self, data: bytes) -> None:
        self._size += len(data)
        if self._fd < 0:
            self._text += data
            if self._size > FIELD_BYTES:
                _refuse(413)
            return
        if self._size > self._most_bytes:
            _refuse(413)
        self._head = (self._head + data)[:HEAD_BYTES]
        await asyncio.to_thread(_write_all, self._fd, data)

    def _end(self, kinds: frozenset[str]) -> None:
        segment = self._segment
        if segment is None or not segment.name:
            _refuse(400)
        if self._fd < 0:
            self._fields.append((segment.name, self._text.decode()))
            return
        os.close(self._fd)
        self._fd = -1
        if not segment.filename and self._size == 0:
            return  # a field for a file that nobody chose
        found = kind_of(self._head)
        if kinds and found not in kinds:
            _refuse(415)
        self._files.append(
            Upload(
                field=segment.name,
                name=shown_name(segment.filename),
                kind=found,
                path=self._paths[-1],
                size=self._size,
            )
        )

    def close(self) -> None:
        """Leave nothing behind that was not moved away."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        for path in self._paths:
            with suppress(FileNotFoundError):
                path.unlink()


def kind_of(head: bytes) -> str:
    """What the first bytes of a file say it is: a name of ours, or nothing."""
    for kind, signs in _SIGNS:
        if head.startswith(signs) and (kind != "webp" or head[8:12] == b"WEBP"):
            return kind
    return ""


def shown_name(name: str) -> str:
    """A file's own name as it may be shown: its last part, without signs that cannot be seen."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(sign for sign in last if sign.isprintable())[:LONGEST_NAME]


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _refuse(status: int) -> NoReturn:
    raise ClientException(status_code=status)
