"""The bytes of a part, or of the whole archive: ranges, validators, constant memory."""

import asyncio
import os
import re
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

from litestar import Controller, HttpMethod, route
from litestar.enums import ScopeType
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from app.core.errors import NotFound
from app.firmware.service import library
from app.firmware.service.holders import HOLDERS

PIECE = 512 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class FirmwareFilePages(Controller):
    """Files of ready versions, for people who are signed in."""

    path = "/firmware"
    opt = {"access": "user:firmware"}

    @route(
        "/{firmware_id:int}/files/{name:str}",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        name="firmware_file",
    )
    async def file(self, firmware_id: FromPath[int], name: FromPath[str]) -> ASGIApp:
        path, etag = await library.find_file(firmware_id, name)
        return SendFile(path, f'"{etag}"', name, firmware_id)


class SendFile:
    """One file as an ASGI application: it reads a piece only when the last one has been taken."""

    def __init__(self, path: Path, etag: str, name: str, firmware_id: int) -> None:
        self._path = path
        self._etag = etag
        self._name = name
        self._firmware_id = firmware_id

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer a GET or HEAD (RFC 9110: one range, If-Range, If-None-Match)."""
        if scope["type"] != ScopeType.HTTP:
            raise NotFound
        asked = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        try:
            fd = await asyncio.to_thread(os.open, self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise NotFound from error
        # an open file outlives its eviction: whoever is saving it gets all of it
        try:
            with HOLDERS.hold(self._firmware_id):
                await self._answer(fd, asked, scope["method"] == "HEAD", send)
        finally:
            os.close(fd)

    async def _answer(self, fd: int, asked: Mapping[str, str], head: bool, send: Send) -> None:
        stat = os.fstat(fd)
        size, modified = stat.st_size, formatdate(stat.st_mtime, usegmt=True)
        common = {
            "Accept-Ranges": "bytes",
            "ETag": self._etag,
            "Last-Modified": modified,
            "Cache-Control": "private, no-cache",
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(self._name)}",
        }
        if _matches(asked.get("if-none-match", ""), self._etag):
            await _start(send, 304, common)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        wanted = asked.get("range", "") if self._still(asked.get("if-range"), modified) else ""
        span = read_range(wanted, size)
        if span is None:
            await _start(send, 416, {**common, "Content-Range": f"bytes */{size}"})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        start, end = span
        common["Content-Length"] = str(end - start)
        part = (wanted and (start, end) != (0, size)) or bool(_RANGE.fullmatch(wanted))
        if part:
            common["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        await _start(send, 206 if part else 200, common)
        await _pour(fd, start, start if head else end, send)

    def _still(self, if_range: str | None, modified: str) -> bool:
        """Whether a range still belongs to this file; without If-Range it does."""
        return if_range is None or if_range in (self._etag, modified)


def read_range(header: str, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive). All of it where the header is none we serve; None: 416."""
    found = _RANGE.fullmatch(header.strip())
    if not found or found.group(0) == "bytes=-" or len(header) > 60:
        return 0, size
    first, last = found.groups()
    if not first:
        count = int(last)
        return (max(0, size - count), size) if count and size else None
    start = int(first)
    if last and int(last) < start:
        return 0, size
    end = min(int(last) + 1, size) if last else size
    return (start, end) if start < size else None


def _matches(header: str, etag: str) -> bool:
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in header.split(",") if each)


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    raw = [(key.lower().encode(), value.encode("latin-1")) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _pour(fd: int, start: int, end: int, send: Send) -> None:
    at = start
    while at < end:
        data = await asyncio.to_thread(os.pread, fd, min(PIECE, end - at), at)
        if not data:
            raise OSError("the file became shorter while it was sent")
        at += len(data)
        await send({"type": "http.response.body", "body": data, "more_body": at < end})
    if start >= end:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
