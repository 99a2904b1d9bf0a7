"""`make bench NAME=firmware`: a firmware file of over 1 GB from request to checked parts.

Against the MD5 of the unpacked bytes alone, and against the origin's order of steps; then at a link
of 100 MB/s. Files lie on a RAM disk where there is room, so that the disk is not what is measured;
the same run on the disk, synced, is printed beside it.
"""

import asyncio
import importlib.util
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.demo.fus.serve import running_fus_process
from bench.measure import Contestant, Row, compare, report

SIZE = 1_300_000_000
CONNECTIONS = 6
LINK = 100_000_000
ROUNDS = 3
PEERS = ("requests", "Crypto")


def main() -> None:
    """Run everything and print the table."""
    rows = asyncio.run(_rows())
    report("firmware", rows)


async def _rows() -> list[Row]:
    with _ram(5 * SIZE) as home, tempfile.TemporaryDirectory() as disk:
        shelf = ["--size", str(SIZE), "--folder", str(home / "shelf")]
        async with running_fus_process(*shelf, "--bake", "SM-S921B") as fus:
            given = json.dumps({"url": fus.url, "home": str(home)})
            on_disk = json.dumps({"url": fus.url, "home": disk})
            rows = await asyncio.to_thread(_free_link, given, on_disk)
        rate = LINK // CONNECTIONS
        async with running_fus_process(*shelf, "--rate", str(rate), "--bake", "SM-S921B") as fus:
            given = json.dumps({"url": fus.url, "home": str(home)})
            rows += await asyncio.to_thread(_slow_link, given)
    return [*rows, _decryption()]


def _free_link(given: str, on_disk: str) -> list[Row]:
    samples: dict[str, list[float]] = {"holdfast": [], "md5": [], "origin": []}
    with Contestant("bench.firmware_sides", "unpack", given) as side:
        unpacked = side.run("run")
    names = [name for name in samples if name != "origin" or _has_peers()]
    memory: list[float] = []
    late: list[float] = []
    for _ in range(ROUNDS):
        for name in names:
            with Contestant("bench.firmware_sides", name, given) as side:
                samples[name].append(side.run("run"))
                if name == "holdfast":
                    memory.append(side.run("memory_mib"))
                    late.append(side.run("late_p99_ms"))
    with Contestant("bench.firmware_sides", "holdfast", on_disk) as side:
        synced = side.run("run")
    rows = [
        _ratio("one pass against MD5 alone", samples, "md5", target=1.5),
        Row(name="unpacked bytes", value=unpacked / 1e9, unit="GB"),
        Row(name="the same on the disk, every byte synced", value=synced, unit="s"),
        Row(
            name="memory above idle",
            value=max(memory),
            unit="MiB",
            peer="limit",
            peer_value=150,
            ratio=round(max(memory) / 150, 3),
            target=1.0,
            better="lower",
        ),
        Row(name="event loop late, p99", value=max(late), unit="ms"),
    ]
    if samples["origin"]:
        flipped = {name: [1 / each for each in found] for name, found in samples.items() if found}
        rows.append(
            compare("origin's steps", "runs/s", flipped, ours="holdfast", peer="origin", target=2.5)
        )
    return rows


def _slow_link(given: str) -> list[Row]:
    with Contestant("bench.firmware_sides", "holdfast", given) as side:
        took = side.run("run")
        after = side.run("after_last_byte")
    return [
        Row(name="whole run at 100 MB/s", value=took, unit="s"),
        Row(
            name="ready after the last byte at 100 MB/s",
            value=after,
            unit="s",
            peer="limit",
            peer_value=0.5,
            ratio=round(after / 0.5, 3),
            target=1.0,
            better="lower",
        ),
    ]


def _decryption() -> Row:
    command = "openssl speed -elapsed -decrypt -seconds 2 -bytes 1048576 -evp aes-128-ecb"
    openssl = subprocess.run(  # noqa: S603 - a constant
        command.split(), capture_output=True, text=True, check=True
    )
    limit = float(re.findall(r"aes-128-ecb\s+([\d.]+)k", openssl.stdout, re.IGNORECASE)[-1]) * 1000
    with Contestant("bench.firmware_sides", "decrypt") as side:
        ours = [side.run("run") for _ in range(3)]
    samples = {"holdfast": [each / 1e9 for each in ours], "openssl speed": [limit / 1e9]}
    name = "decryption, one core"
    return compare(name, "GB/s", samples, ours="holdfast", peer="openssl speed", target=0.4)


def _ratio(name: str, samples: dict[str, list[float]], peer: str, *, target: float) -> Row:
    """Medians of seconds; a lower figure is better."""
    mine, theirs = statistics.median(samples["holdfast"]), statistics.median(samples[peer])
    return Row(
        name=name,
        value=round(mine, 2),
        unit="s",
        peer=peer,
        peer_value=round(theirs, 2),
        ratio=round(mine / theirs, 3),
        target=target,
        better="lower",
        samples={side: [round(v, 2) for v in samples[side]] for side in ("holdfast", peer)},
    )


def _has_peers() -> bool:
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if missing:
        sys.stdout.write("not measured: origin's steps (pip install requests pycryptodome)\n")
    return not missing


@contextmanager
def _ram(need: int) -> Iterator[Path]:
    """A folder in memory where there is room for `need` bytes, else one on the disk."""
    shm = Path("/dev/shm")  # noqa: S108 - removed below
    where = shm if shm.is_dir() and shutil.disk_usage(shm).free > need else None
    if where is None:
        sys.stdout.write("no room on a RAM disk: the disk is part of what is measured\n")
    with tempfile.TemporaryDirectory(dir=where) as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
