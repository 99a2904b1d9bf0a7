"""Interleaved rounds of contestants in processes of their own, and the table they end in."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

RESULTS = Path(__file__).parent / "results"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table: ours, a peer or a limit, and their ratio. `better`: which way is up."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    target: float | None = None
    better: str = "higher"
    samples: Mapping[str, Sequence[float]] = {}


class Contestant:
    """A child process that runs a named case on request and answers with a rate or a time."""

    def __init__(self, module: str, *args: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", module, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, case: str) -> float:
        """The case's figure, once."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the contestant has no pipes")
        self._process.stdin.write(f"{case}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the contestant ended in the case {case}")
        return float(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def rounds(
    contestants: Mapping[str, Contestant], case: str, count: int = 7
) -> dict[str, list[float]]:
    """`count` rounds in which each runs once, in turn, so that a slow minute hits all of them."""
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for name, contestant in contestants.items():
        contestant.run(case)  # warm: caches, statements, branches
        samples[name].clear()
    for _ in range(count):
        for name, contestant in contestants.items():
            samples[name].append(contestant.run(case))
    return samples


def compare(
    name: str,
    unit: str,
    samples: Mapping[str, Sequence[float]],
    ours: str,
    peer: str,
    *,
    target: float | None = None,
) -> Row:
    """Medians side by side; a higher figure is better."""
    mine, theirs = statistics.median(samples[ours]), statistics.median(samples[peer])
    return Row(
        name=name,
        value=round(mine, 2),
        unit=unit,
        peer=peer,
        peer_value=round(theirs, 2),
        ratio=round(mine / theirs, 3),
        target=target,
        samples={side: [round(v, 2) for v in samples[side]] for side in (ours, peer)},
    )


def report(bench: str, rows: Sequence[Row]) -> None:
    """Print the table and write `bench/results/<bench>.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{bench}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    for row in rows:
        against = (
            f" against {row.peer_value:,.1f} ({row.peer})" if row.peer_value is not None else ""
        )
        ratio = f"  ratio {row.ratio:.2f}" if row.ratio is not None else ""
        goal = (
            f"  target {'>=' if row.better == 'higher' else '<='} {row.target}"
            if row.target
            else ""
        )
        met = ""
        if row.target and row.ratio is not None:
            good = row.ratio >= row.target if row.better == "higher" else row.ratio <= row.target
            met = "  ok" if good else "  MISSED"
        print(f"{row.name}: {row.value:,.1f} {row.unit}{against}{ratio}{goal}{met}")  # noqa: T201


def serve(cases: Mapping[str, Any]) -> None:
    """A contestant's loop: read the name of a case, run it, answer with its figure."""
    for line in sys.stdin:
        figure = cases[line.strip()]()
        print(json.dumps(figure), flush=True)  # noqa: T201
