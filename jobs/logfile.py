"""The log file of a job: the byte output of its child processes, capped, read by offset."""

from collections.abc import Callable
from pathlib import Path

from db import clock

CAP_BYTES = 10 * 1024 * 1024
HEAD_BYTES = 1024 * 1024
TAIL_BYTES = 6 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
_CUT = b"\n... cut here: the log is over 10 MiB ...\n"


def path_of(data_dir: Path, job_id: str, created_at: int) -> Path:
    """Where a job's output is; follows from the row, so no column holds it."""
    month = clock.from_ms(created_at).strftime("%Y-%m")
    return data_dir / "job-logs" / month / f"{job_id}.log"


class LogFile:
    """Appends to one job's file; over 10 MiB the first MiB and the newest part stay."""

    def __init__(self, path: Path, redact: Callable[[str], str] = str) -> None:
        self._path = path
        self._redact = redact
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        """Add output, colours and all but without secrets: so whole lines at a time."""
        data = self._rest + chunk
        cut = 1 + max(data.rfind(b"\n"), data.rfind(b"\r"))
        if cut == 0 and len(data) > CHUNK_BYTES:
            cut = len(data)
        self._rest = data[cut:]
        if cut:
            self.append(self._redact(data[:cut].decode(errors="replace")).encode())

    def end(self) -> None:
        """Add what is left of the last line."""
        if self._rest:
            self.add(b"\n")

    def append(self, chunk: bytes) -> None:
        """Add bytes as they are."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(chunk)
            size = file.tell()
        if size > CAP_BYTES:
            self._cut(size)

    def _cut(self, size: int) -> None:
        with self._path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(size - TAIL_BYTES)
            tail = file.read()
        self._path.write_bytes(head + _CUT + tail)


def read(path: Path, offset: int | None = None) -> tuple[bytes, int]:
    """Up to 64 KiB from `offset` (None: the last 64 KiB), and the offset to ask for next."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - CHUNK_BYTES) if offset is None else min(offset, size)
            file.seek(start)
            chunk = file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b"", 0
    return chunk, start + len(chunk)
