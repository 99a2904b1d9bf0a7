"""System packages that tests need: one list, used by the tests and by `make test`.

A test asks `program("chromium")` and gets its path. When it is missing the test is skipped with
the command that installs it; under CI=true it fails, and a run with skips is not a good run.
`python -m tests.system` installs what is missing where it may: as root on Debian.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What a test calls it -> the Debian package, and a file or command that shows it is there.
PACKAGES = {
    "libatomic": ("libatomic1", "libatomic.so.1"),  # the browser's driver is linked to it
    "chromium": ("chromium", "chromium"),
    "caddy": ("caddy", "caddy"),
    "tinyproxy": ("tinyproxy", "tinyproxy"),
    "microsocks": ("microsocks", "microsocks"),
    "fonts": ("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
}


def program(name: str) -> Path:
    """Where it is installed. Missing: a skip for a developer, a failure in the pipeline."""
    found = find(name)
    if found:
        return found
    reason = f"{name} is missing: {install_line([name])}"
    if in_pipeline():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def find(name: str) -> Path | None:
    """The command, file or shared library of one package, or None."""
    proof = PACKAGES[name][1]
    if ".so." in proof:
        try:
            ctypes.CDLL(proof)
        except OSError:
            return None
        return Path(proof)
    if proof.startswith("/"):
        return Path(proof) if Path(proof).exists() else None
    command = shutil.which(proof)
    return Path(command) if command else None


def install_line(names: list[str]) -> str:
    """What a person types on Debian."""
    return "apt-get install " + " ".join(PACKAGES[name][0] for name in names)


def in_pipeline() -> bool:
    """CI=true, as every pipeline sets it."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the pipeline a skipped test was not shown, so the run is not good."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if in_pipeline() and reporter and reporter.stats.get("skipped"):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why a run without failures was not good."""
    skipped = len(terminalreporter.stats.get("skipped", []))
    if in_pipeline() and skipped:
        terminalreporter.write_line(f"{skipped} skipped: in the pipeline nothing may be", red=True)


def main() -> int:
    """Install what is missing, or say how."""
    missing = [name for name in PACKAGES if not find(name)]
    if not missing:
        return 0
    line = install_line(missing)
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or not apt:
        sys.stderr.write(f"Missing for some tests: {', '.join(missing)}. As root: {line}\n")
        return 0
    sys.stderr.write(f"{line}\n")
    packages = [PACKAGES[name][0] for name in missing]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends"]):
        command = [apt, *arguments, *(packages if arguments[0] == "install" else [])]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
