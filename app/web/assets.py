"""Static files: addresses that carry a checksum of the content, and the route that serves them."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.params import FromPath

from app.core.errors import NotFound
from app.core.paths import STATIC

_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
}
_FOREVER = "public, max-age=31536000, immutable"

# One request for what every page needs. Sources stay files of their own; order matters.
_SHEETS = (
    *("layers", "reset", "tokens", "base", "shell", "buttons", "forms", "states", "tables"),
    *("progress", "charts", "facts", "feedback", "utilities"),
)
_SCRIPTS = (
    *("vendor/htmx.min.js", "vendor/hx-csp.min.js", "vendor/hx-sse.min.js"),
    *("app.js", "keys.js", "offline.js"),
)
BUNDLES = {
    "all.css": tuple(f"css/{sheet}.css" for sheet in _SHEETS),
    "all.js": _SCRIPTS,
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file below static/, with the first 8 hex digits of its SHA-256."""

    body: bytes
    version: str
    media_type: str


@lru_cache(maxsize=1024)  # a page asks a hundred times; a server that runs has one set of files
def asset(path: str, root_path: str = "") -> str:
    """The address of a static file with its checksum; a missing file raises KeyError."""
    return f"{root_path}/static/{quote(path)}?v={find(path).version}"


def find(path: str) -> Asset:
    """The file of that name below static/, read again when changed; KeyError if there is none.

    The names of BUNDLES are several files as one.
    """
    if path in BUNDLES:
        return _join(path, tuple(find(part) for part in BUNDLES[path]))
    file = _names()[path]
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _names() -> dict[str, Path]:
    # A request is looked up here and never becomes a path, so `..` leads nowhere.
    return {
        file.relative_to(STATIC).as_posix(): file
        for file in sorted(STATIC.rglob("*"))
        if file.is_file()
    }


@lru_cache(maxsize=256)
def _read(file: Path, _changed: int) -> Asset:
    body = file.read_bytes()
    kind = (
        _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    )
    return Asset(body, hashlib.sha256(body).hexdigest()[:8], kind)


@lru_cache(maxsize=16)
def _join(name: str, parts: tuple[Asset, ...]) -> Asset:
    # A script ends where its file ends, also if its last line forgot the semicolon.
    lean = _lean_script if name.endswith(".js") else _lean_sheet
    body = (b";\n" if name.endswith(".js") else b"\n").join(lean(part.body) for part in parts)
    return Asset(body, hashlib.sha256(body).hexdigest()[:8], _TYPES[Path(name).suffix])


def _lean_sheet(body: bytes) -> bytes:
    """Without comments and what stands around brackets; no string of ours holds one of these."""
    return re.sub(rb"\s*([{};,])\s*", rb"\1", re.sub(rb"/\*.*?\*/", b"", body, flags=re.DOTALL))


def _lean_script(body: bytes) -> bytes:
    """Without indentation and comment lines; our sources have no string over several lines."""
    lines = (line.strip() for line in body.splitlines())
    return b"\n".join(line for line in lines if line and not line.startswith(b"//"))


@get("/static/{path:path}", name="static", opt={"access": "public"}, include_in_schema=False)
async def serve_asset(request: Request[Any, Any, Any], path: FromPath[Path]) -> Response[Any]:
    """One static file: kept for ever under its checksum, asked again under any other address."""
    name = path.as_posix().lstrip("/")
    try:
        found = find(name)
    except KeyError:
        raise NotFound from None
    current = request.query_params.get("v") == found.version
    headers = {"Cache-Control": _FOREVER if current else "no-cache", "ETag": f'"{found.version}"'}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(None, status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)
