"""One server per data folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.core.lock import AlreadyRunning, Lock, holder

HOLD = (
    "import sys; from pathlib import Path; from app.core.lock import Lock;"
    "Lock(Path(sys.argv[1])).take(); print('held', flush=True); sys.stdin.read()"
)


def _hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_the_pid_of_the_first(data_dir: Path) -> None:
    with _hold(data_dir) as first:
        with pytest.raises(AlreadyRunning, match=f"already running, pid {first.pid}"):
            Lock(data_dir).take()
        assert holder(data_dir) == first.pid
        first.kill()


def test_the_lock_of_a_killed_process_is_free(data_dir: Path) -> None:
    with _hold(data_dir) as first:
        first.kill()
        first.wait()
    assert holder(data_dir) is None
    with Lock(data_dir):
        pass


def test_a_released_lock_can_be_taken_again(data_dir: Path) -> None:
    with Lock(data_dir):
        assert holder(data_dir) is not None
    assert holder(data_dir) is None
    with Lock(data_dir):
        with pytest.raises(AlreadyRunning):
            Lock(data_dir).take()
        with pytest.raises(AlreadyRunning):  # asking has not loosened it
            Lock(data_dir).take()
    assert (data_dir / "holdfast.lock").stat().st_mode & 0o777 == 0o600


def test_nobody_holds_a_folder_that_was_never_used(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
