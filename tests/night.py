"""`make night MINUTES=30`: the tests about crashes, races and the queue, again and again.

Each round runs in a process of its own with another hypothesis seed and prints what ran and for how
long. A failure does not end the night: it is counted, its seed printed, and the exit code is 1.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a run by day does in small, in full: seconds of killing, rows, people in the rush.
AT_LENGTH = {"HOLDFAST_KILL_S": "60", "HOLDFAST_ROWS": "1000000", "HOLDFAST_RUSH": "500"}
FOLDERS = (
    "tests/reliability",
    "tests/db",
    "tests/jobs",
    "tests/app/firmware/night_large.py",
    "tests/app/tickets/test_rush.py",
)


def main() -> int:
    """Run rounds until the minutes are over; at least one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    end = time.monotonic() + 60 * parser.parse_args().minutes
    folders = [folder for folder in FOLDERS if (ROOT / folder).exists()]
    rounds = failed = 0
    while rounds == 0 or time.monotonic() < end:
        rounds += 1
        seconds, code, output = play(folders, seed=rounds)
        closing = re.findall(r"^.*\b(?:passed|failed|error)\b.*$", output, re.MULTILINE)
        say(f"round {rounds} (seed {rounds}): {seconds:.0f} s: {(closing or ['no tests ran'])[-1]}")
        if code:
            failed += 1
            say(output)
    say(f"{failed} of {rounds} rounds failed ({', '.join(folders)})")
    return 1 if failed else 0


def play(folders: list[str], seed: int) -> tuple[float, int, str]:
    """One run of the folders: seconds, exit code, everything it printed."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", f"--hypothesis-seed={seed}"]
    done = subprocess.run(
        [*command, *folders],
        cwd=ROOT,
        env={**AT_LENGTH, **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return time.monotonic() - started, done.returncode, done.stdout + done.stderr


def say(text: str) -> None:
    """Print at once: a night is watched through a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
