"""The queue against its peers: `make bench NAME=queue`, after `pip install holdfast[bench]`.

Every contestant runs in a process of its own; rounds are interleaved, the median counts. Ours is
the whole product: change feed, hub with an open stream, statistics, FULL for every commit.
"""

import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence

from bench.measure import Contestant, Row, compare, report, rounds
from bench.queue_peers import MISSING

ROUNDS, FEW = 7, 3


def lower(
    name: str, samples: Mapping[str, Sequence[float]], ours: str, peer: str, target: float
) -> Row:
    """Medians in ms side by side; a lower figure is better."""
    row = compare(name, "ms", samples, ours=ours, peer=peer, target=target)
    mine, theirs = (statistics.median(samples[side]) for side in (ours, peer))
    return Row(
        name=name,
        value=round(mine, 4),
        unit="ms",
        peer=peer,
        peer_value=round(theirs, 4),
        ratio=round(mine / theirs, 3),
        target=target,
        better="lower",
        samples=row.samples,
    )


def spread(samples: Mapping[str, Sequence[float]]) -> None:
    """Say how far the rounds lie apart."""
    for name, values in samples.items():
        print(f"    {name}: {min(values):,.3f} .. {max(values):,.3f}")  # noqa: T201


def throughput(ours: Contestant, peers: Mapping[str, Contestant]) -> list[Row]:
    """5,000 no-op jobs, ten slots."""
    jobs = rounds({"holdfast": ours, **peers}, "jobs", ROUNDS)
    jobs |= rounds({"raw apsw": ours}, "raw", ROUNDS)
    spread(jobs)
    rows = []
    for peer, target in (
        ("huey", 2.0),
        ("procrastinate", 10.0),
        ("litequeue", 1.5),
        ("raw apsw", 1.0),
    ):
        print(f"    {peer}: {MISSING[peer]}")  # noqa: T201
        name = f"jobs/s at FULL, 10 slots, against {peer}"
        rows.append(compare(name, "jobs/s", jobs, ours="holdfast", peer=peer, target=target))
    full = rounds({"1,000,000 finished": ours}, "jobs_full", FEW)
    full |= {"empty table": jobs["holdfast"]}
    pair = {"ours": "1,000,000 finished", "peer": "empty table"}
    rows.append(compare("jobs/s with 1,000,000 finished rows", "jobs/s", full, target=0.85, **pair))
    return rows


def starts(ours: Contestant, procrastinate: Contestant) -> list[Row]:
    """From the call of `enqueue` to the handler's first line, and how fast one may ask."""
    waits = rounds({"holdfast": ours, "procrastinate": procrastinate}, "latency", FEW)
    waits["fsync"] = rounds({"fsync": ours}, "fsync", FEW)["fsync"]
    spread(waits)
    rest = statistics.median(waits["holdfast"]) - statistics.median(waits["fsync"])
    asked = rounds({"one at a time": ours}, "enqueue_1", ROUNDS)
    asked |= rounds({"50 tasks": ours}, "enqueue_50", ROUNDS)
    return [
        lower("enqueue to first line, p50", waits, "holdfast", "procrastinate", 0.5),
        Row(
            name="the same less one fsync",
            value=round(rest, 3),
            unit="ms",
            peer="limit of 1 ms",
            peer_value=1.0,
            ratio=round(rest, 3),
            target=2.0,
            better="lower",
        ),
        compare(
            "enqueues/s by 50 tasks",
            "enqueues/s",
            asked,
            ours="50 tasks",
            peer="one at a time",
            target=4,
        ),
    ]


def rescued(ours: Contestant) -> Row:
    """How long the boot takes to free what a killed worker held."""
    times = rounds({"ours": ours}, "rescue", FEW)
    return Row(
        name="20 jobs of a killed worker rescued at boot (aim 1,000)",
        value=round(statistics.median(times["ours"]), 2),
        unit="ms",
        better="lower",
        samples=times,
    )


def under_load() -> Row:
    """The whole program in a process of its own; printed, not a ratio."""
    command = [sys.executable, "-m", "bench.queue_pages"]
    times = [float(subprocess.check_output(command, text=True)) for _ in range(FEW)]  # noqa: S603
    return Row(
        name="enqueue to first line while pages are under load, p99 (aim 15)",
        value=statistics.median(times),
        unit="ms",
        better="lower",
        samples={"ours": times},
    )


def claims(ours: Contestant) -> list[Row]:
    """The claim statement alone, in each hard case, against an empty backlog."""
    words = {
        "finished": "1,000,000 finished rows",
        "saturated": "100,000 waiting of a full type",
        "future": "100,000 planned for later",
        "serial": "1,000 behind one serial key",
    }
    empty = rounds({"empty": ours}, "claim_empty", FEW)
    rows = []
    for case, what in words.items():
        hard = rounds({case: ours}, f"claim_{case}", FEW)
        rows.append(lower(f"claim p50, {what}", {**empty, **hard}, case, "empty", 4))
    return rows


def main() -> None:
    """Everything, then the table."""
    with (
        Contestant("bench.queue_ours") as ours,
        Contestant("bench.queue_peers", "huey") as huey,
        Contestant("bench.queue_peers", "litequeue") as litequeue,
        Contestant("bench.queue_peers", "procrastinate") as procrastinate,
    ):
        peers = {"huey": huey, "litequeue": litequeue, "procrastinate": procrastinate}
        rows = [
            *throughput(ours, peers),
            *starts(ours, procrastinate),
            *claims(ours),
            rescued(ours),
            under_load(),
        ]
    report("queue", rows)


if __name__ == "__main__":
    main()
