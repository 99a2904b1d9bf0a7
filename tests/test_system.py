"""A missing system package: a skip that says how for a developer, a failure in the pipeline."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TESTS = """
import pytest
from tests.system import program

def test_browser():
    program("chromium")

def test_whim():
    {body}
"""


def run(
    folder: Path, *, pipeline: bool, body: str = "pass", path: str = "/nowhere"
) -> tuple[int, str]:
    (folder / "test_things.py").write_text(TESTS.format(body=body))
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "tests.system"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment |= {"PATH": path, "CI": "true" if pipeline else ""}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_developer_is_told_what_to_install(tmp_path: Path) -> None:
    code, output = run(tmp_path, pipeline=False)
    assert code == 0
    assert "1 passed, 1 skipped" in output
    assert "apt-get install chromium" in output


def test_the_pipeline_fails_and_names_the_line(tmp_path: Path) -> None:
    code, output = run(tmp_path, pipeline=True)
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert "apt-get install chromium" in output


@pytest.mark.parametrize(("pipeline", "expected"), [(True, 1), (False, 0)])
def test_in_the_pipeline_no_test_may_skip(tmp_path: Path, pipeline: bool, expected: int) -> None:
    tool = tmp_path / "chromium"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    body = "pytest.skip('not today')"
    code, output = run(tmp_path, pipeline=pipeline, body=body, path=str(tmp_path))
    assert "1 passed, 1 skipped" in output
    assert code == expected


def test_without_root_nothing_is_installed_and_the_line_is_shown() -> None:
    person = os.geteuid() or 65534
    code = f"import os, tests.system; os.setuid({person}); raise SystemExit(tests.system.main())"
    environment = {**os.environ, "PATH": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "As root: apt-get install chromium" in done.stderr
