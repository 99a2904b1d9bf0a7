"""S14: whatever name is asked for, no file is opened that is not the program's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT, clean_environment

SECRET = "a-lantern-that-nobody-hung-here"


@pytest.mark.feature("X-41")
def test_no_name_opens_a_file_elsewhere(database: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "secret.txt"
    secret.write_text(SECRET)
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.opened", str(database.parent), str(secret)],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["elsewhere"] == []
    assert found["told"] == []
    assert secret.read_text() == SECRET
    assert sorted(outside.iterdir()) == [secret]
    assert found["control"] >= 6, "a server that believes any name opens it, and is seen"
    assert found["asked"] > 1000
    assert found["heard"] > 20, "and the program does open files meanwhile"
    assert found["refused"] > 10
