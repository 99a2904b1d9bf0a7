"""The child processes of jobs: noted before they may exec, ended with their job or at next boot.

A build or an encoder outlives `kill -9` of its worker. Linux's parent-death signal would not help:
it fires when the thread that started the child ends.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from jobs.lease import folder

TERM_S = 10.0
ORPHAN_S = 2.0
MARK = "HOLDFAST_JOB"

# The child is a shell that waits for one line, so its group is on disk before the program begins.
# A worker that dies in between closes the pipe, and nothing was ever started.
_GATE = 'read -r go || exit 125; exec "$@" </dev/null'


def plain_environment() -> dict[str, str]:
    """Ours without what is meant for us alone: keys, passwords, and where they lie."""
    private = ("HOLDFAST_", "CREDENTIALS_DIRECTORY")
    return {name: text for name, text in os.environ.items() if not name.startswith(private)}


class Note(msgspec.Struct, frozen=True):
    """One process group; `start` is the kernel's start time of its leader, so reuse is noticed."""

    group: int
    start: int
    job: str


class Children:
    """The process groups of one worker, and the file that names them."""

    def __init__(self, data_dir: Path, worker_id: str) -> None:
        self._path = _notes_path(data_dir, worker_id)
        self._live: dict[int, Note] = {}

    async def run(
        self,
        job_id: str,
        argv: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str] | None,
        sink: Callable[[bytes], None],
        term_s: Callable[[], float],
    ) -> int:
        """Run a program in a group of its own, its output to `sink`; returns its exit status.

        When the task is cancelled the group gets SIGTERM, and SIGKILL `term_s()` seconds later.
        """
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _GATE, "sh", *argv),
            cwd=cwd,
            env={**(plain_environment() if env is None else env), MARK: job_id},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._note(Note(process.pid, _start_time(process.pid), job_id))
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(b"go\n")
            process.stdin.close()
            while chunk := await process.stdout.read(65536):
                sink(chunk)
            return await process.wait()
        except asyncio.CancelledError:
            _signal(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(term_s()):
                    await process.wait()
            raise
        finally:
            _signal(process.pid, signal.SIGKILL)  # whatever of the group is left
            await process.wait()
            self._forget(process.pid)

    def close(self) -> None:
        """Remove the file; every group has ended."""
        self._path.unlink(missing_ok=True)

    def _note(self, note: Note) -> None:
        self._live[note.group] = note
        self._save()

    def _forget(self, group: int) -> None:
        self._live.pop(group, None)
        self._save()

    def _save(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.encode(list(self._live.values())))
        fresh.replace(self._path)


def end_orphans(data_dir: Path, worker_id: str) -> int:
    """Kill the groups a dead worker left; returns how many. Waits for their end, 2 s at most."""
    path = _notes_path(data_dir, worker_id)
    try:
        notes = msgspec.json.decode(path.read_bytes(), type=list[Note])
    except FileNotFoundError:
        return 0
    except msgspec.DecodeError:  # torn by the same death: nothing may exec before its note is whole
        notes = []
    orphans = [note for note in notes if _is_theirs(note)]
    for note in orphans:
        _signal(note.group, signal.SIGKILL)
    deadline = time.monotonic() + ORPHAN_S
    while any(_members(note.group) for note in orphans) and time.monotonic() < deadline:
        time.sleep(0.005)
    path.unlink(missing_ok=True)
    return len(orphans)


def _notes_path(data_dir: Path, worker_id: str) -> Path:
    return folder(data_dir) / f"{worker_id}.children"


def _is_theirs(note: Note) -> bool:
    """Whether the group is the noted one: by its leader's start time, or our mark on a member."""
    if _start_time(note.group) == note.start:
        return True
    mark = f"{MARK}={note.job}".encode()
    return any(mark in _environment(pid) for pid in _members(note.group))


def _members(group: int) -> list[int]:
    """The processes of a group that still live (a zombie does not)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _start_time(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; the name before may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
