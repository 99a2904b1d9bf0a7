"""What a job said: its lines, and the output of the programs it ran."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw
import msgspec

from app.core import paths
from app.core.live import Viewer
from app.ops import ansi
from app.ops.ansi import Piece
from app.ops.service.job import visible
from db import clock
from db.connection import Row, fetch
from db.engine import DB
from jobs import logfile
from jobs.why import situation

LINES = 500
LEVELS: Mapping[str, tuple[str, ...]] = {
    "": ("info", "warn", "error"),
    "warn": ("warn", "error"),
    "error": ("error",),
}

_LINES = """
SELECT * FROM (
  SELECT id, level, context, message, attempt, created_at FROM job_events
  WHERE job_id = :id AND level IN (SELECT value FROM json_each(:levels))
    AND (:whole OR context <> 'queue') AND instr(lower(message), :find) > 0
  ORDER BY id DESC LIMIT :most) ORDER BY id
"""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a log file: `offset` and `look` are where the next part goes on.

    `open`: the job runs, so there may be more.
    """

    pieces: list[Piece]
    offset: int
    look: str
    cut: bool
    open: bool


async def list_lines(
    viewer: Viewer, job_id: str, *, mine: bool, level: str = "", find: str = ""
) -> list[Row]:
    """The newest 500 lines of that level and above with those words in them, oldest first.

    Raises NotFound.
    """
    return await _lines(viewer, job_id, mine, LEVELS.get(level, LEVELS[""]), find, LINES)


async def read_text(viewer: Viewer, job_id: str, *, mine: bool) -> str:
    """Everything that was said, the queue's own entries too, one line each. Raises NotFound."""
    rows = await _lines(viewer, job_id, mine, LEVELS[""], "", -1)
    return "".join(
        f"{clock.text(clock.from_ms(row['created_at']))} {row['level']:<5}"
        f" {row['context']} try {row['attempt']}: {row['message']}\n"
        for row in rows
    )


async def read_output(
    viewer: Viewer, job_id: str, *, offset: int | None = None, look: str = ""
) -> Output:
    """Up to 64 KiB of what its programs printed; without `offset` the newest. Raises NotFound."""
    row, path = await _place(viewer, job_id)
    chunk, after = await asyncio.to_thread(logfile.read, path, offset)
    running = row["state"] == "running"
    kept = ansi.whole(chunk) if running or len(chunk) == logfile.CHUNK_BYTES else chunk
    pieces, look = ansi.paint(kept.decode("utf-8", "replace"), look)
    start = after - len(chunk)
    return Output(
        pieces=pieces,
        offset=start + len(kept),
        look=look,
        cut=offset is None and start > 0,
        open=running or len(kept) < len(chunk) or len(chunk) == logfile.CHUNK_BYTES,
    )


async def find_output(viewer: Viewer, job_id: str) -> Path | None:
    """The file of what its programs printed, if they did. Raises NotFound."""
    _row, path = await _place(viewer, job_id)
    return path if await asyncio.to_thread(path.exists) else None


async def _place(viewer: Viewer, job_id: str) -> tuple[Row, Path]:
    def read(connection: apsw.Connection) -> Row:
        return visible(connection, viewer, job_id, mine=False, now=situation(connection))

    row = await DB.read(read)
    return row, logfile.path_of(paths.data_dir(), job_id, row["createdAt"])


async def _lines(
    viewer: Viewer, job_id: str, mine: bool, levels: tuple[str, ...], find: str, most: int
) -> list[Row]:
    args: dict[str, Any] = {
        "id": job_id,
        "levels": msgspec.json.encode(levels).decode(),
        "whole": most < 0,
        "find": find.strip().lower()[:200],
        "most": most,
    }

    def read(connection: apsw.Connection) -> list[Row]:
        visible(connection, viewer, job_id, mine=mine, now=situation(connection))
        return fetch(connection, _LINES, args)

    return await DB.read(read)
