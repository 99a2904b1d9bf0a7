"""The features plugin itself, tried on small projects in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LIST = """
[T]
title = "Things"
T-01 = { when = "now", title = "opens" }
T-02 = { when = "now", title = "closes", note = "softly" }
T-03 = { when = "later", title = "sings" }
"""

TESTS = """
import pytest

@pytest.mark.feature("T-01")
@pytest.mark.parametrize("side", ["left", "right"])
def test_opens(side):
    pass

@pytest.mark.feature("T-02")
def test_closes():
    assert {closes}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "features.toml").write_text(LIST)
    (tests / "test_things.py").write_text(TESTS.format(closes=True))
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.features", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [*command, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(project: Path) -> dict[str, str]:
    """Id -> last cell, as docs/features.md has it."""
    lines = (project / "docs" / "features.md").read_text().splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| T-")]
    return {cells[0]: cells[-1] for cells in table}


def test_a_full_run_writes_what_passed_and_the_same_bytes_again(project: Path) -> None:
    assert run(project).returncode == 0
    first = (project / "docs" / "features.md").read_text()
    assert rows(project) == {
        "T-01": "`test_things.py::test_opens`",
        "T-02": "`test_things.py::test_closes`",
        "T-03": "not yet",
    }
    assert "## Things: 2 of 2 shown" in first
    assert "closes (softly)" in first
    assert run(project, "tests").returncode == 0
    assert (project / "docs" / "features.md").read_text() == first


def test_two_processes_write_the_same_page(project: Path) -> None:
    (project / "tests" / "test_more.py").write_text(TESTS.format(closes=True))
    assert run(project).returncode == 0
    alone = (project / "docs" / "features.md").read_text()
    (project / "docs" / "features.md").unlink()
    assert run(project, "-p", "xdist", "-n", "2", "--dist", "loadfile").returncode == 0
    assert (project / "docs" / "features.md").read_text() == alone


def test_a_failing_test_takes_its_row_back(project: Path) -> None:
    (project / "tests" / "test_things.py").write_text(TESTS.format(closes=False))
    assert run(project).returncode == 1
    assert rows(project)["T-02"] == "not yet: failing `test_things.py::test_closes`"


@pytest.mark.parametrize(
    "arguments",
    [["-k", "opens"], ["tests/test_things.py"], ["--collect-only"], ["-m", "not feature"]],
    ids=lambda arguments: arguments[0].strip("-/").replace("/", "-"),
)
def test_a_narrowed_run_leaves_the_page_alone(project: Path, arguments: list[str]) -> None:
    run(project, *arguments)
    assert not (project / "docs").exists()


def test_a_run_stopped_by_its_first_failure_leaves_the_page_alone(project: Path) -> None:
    (project / "tests" / "test_first.py").write_text("def test_no():\n    assert False\n")
    assert run(project, "-x").returncode == 1
    assert not (project / "docs").exists()


def test_an_unknown_id_fails_the_collection(project: Path) -> None:
    strange = TESTS.format(closes=True).replace("T-02", "T-99")
    (project / "tests" / "test_things.py").write_text(strange)
    done = run(project)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_things.py::test_closes: T-99" in done.stdout + done.stderr
