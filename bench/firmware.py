"""`make bench NAME=firmware`: a firmware file of over 1 GB from request to checked parts.

Against the MD5 of the unpacked bytes alone, and against the origin's order of steps; then at a link
of 100 MB/s. Files lie on a RAM disk where there is room, so that the disk is not what is measured;
the same run on the disk, synced, is printed beside it.
"""

import asyncio
import importlib.util
import json
import os
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
from bench.firmware_files import nginx, nginx_path, read_all
from bench.measure import Contestant, Row, compare, report

SIZE = 1_300_000_000
MIB = 1024 * 1024
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
            given = {"url": fus.url, "home": str(home)}
            rows = await asyncio.to_thread(_free_link, given, disk, fus.process.pid)
        rate = LINK // CONNECTIONS
        async with running_fus_process(*shelf, "--rate", str(rate), "--bake", "SM-S921B") as fus:
            rows += await asyncio.to_thread(_slow_link, fus.url, home, disk)
        file = max((home / "shelf").iterdir(), key=lambda path: path.stat().st_size)
        rows += await asyncio.to_thread(_sending, file)
    return [*rows, _decryption()]


def _free_link(given: dict[str, str], disk: str, server: int) -> list[Row]:
    told, on_disk = json.dumps(given), json.dumps({**given, "home": disk})
    names = ["holdfast", "md5", *(["origin"] if _has_peers() else [])]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    with Contestant("bench.firmware_sides", "unpack", told) as side:
        unpacked = side.run("run")
    for _ in range(ROUNDS):
        for name in names:
            _touch(Path(given["home"]))
            before = _cpu_of(server)
            with Contestant("bench.firmware_sides", name, told) as side:
                seconds[name].append(side.run("run"))
                cpu[name].append(side.run("cpu") + _cpu_of(server) - before)
    _touch(Path(given["home"]))
    with Contestant("bench.firmware_sides", "watched", told) as side:
        side.run("run")
        memory, late = side.run("memory_mib"), side.run("late_p99_ms")
        steps = {name: side.run(f"cpu_{name}") for name in ("receive", "unpack", "md5")}
    with Contestant("bench.firmware_sides", "holdfast", on_disk) as side:
        synced = side.run("run")
    rows = [
        _ratio("one pass against MD5 alone", seconds, "md5", target=1.5),
        _possible(cpu),
        Row(name="  of it: receive, CRC, decrypt, write", value=steps["receive"], unit="CPU s"),
        Row(name="  of it: read, inflate, CRC, write", value=steps["unpack"], unit="CPU s"),
        Row(name="  of it: MD5", value=steps["md5"], unit="CPU s"),
        Row(name="unpacked bytes", value=unpacked / 1e9, unit="GB"),
        Row(name="the same on the disk, every byte synced", value=synced, unit="s"),
        _under("memory above idle", memory, "MiB", 150),
        Row(name="event loop late, p99", value=late, unit="ms"),
    ]
    if "origin" in seconds:
        for what, found in (("origin's steps", seconds), ("origin's steps, CPU alone", cpu)):
            flipped = {name: [1 / each for each in found[name]] for name in ("holdfast", "origin")}
            goal = 2.5 if found is seconds else None
            rows.append(
                compare(what, "runs/s", flipped, ours="holdfast", peer="origin", target=goal)
            )
    return rows


def _touch(home: Path) -> None:
    """Have the host hand out memory for what the next contestant will write, and free it again.

    A virtual machine gives free memory back; to fetch it anew costs up to half a second per GB
    written, which would be counted against whoever comes after a pause.
    """
    piece = bytes(MIB)
    with tempfile.TemporaryFile(dir=home) as file:
        for _ in range(3 * SIZE // MIB):
            file.write(piece)


def _possible(cpu: dict[str, list[float]]) -> Row:
    """What two cores of their own could do at best: all CPU seconds, the server's too, halved."""
    mine, theirs = statistics.median(cpu["holdfast"]) / 2, statistics.median(cpu["md5"])
    return Row(
        name="CPU of program and stand-in over two cores",
        value=round(mine, 2),
        unit="s",
        peer="md5, CPU",
        peer_value=round(theirs, 2),
        ratio=round(mine / theirs, 3),
        better="lower",
    )


def _slow_link(url: str, home: Path, disk: str) -> list[Row]:
    rows = []
    for where, folder in (("", str(home)), (", on the disk", disk)):
        given = json.dumps({"url": url, "home": folder})
        with Contestant("bench.firmware_sides", "holdfast", given) as side:
            took = side.run("run")
            after = side.run("after_last_byte")
        rows.append(Row(name=f"whole run at 100 MB/s{where}", value=took, unit="s"))
        rows.append(_under(f"ready after the last byte at 100 MB/s{where}", after, "s", 0.5))
    return rows


def _sending(file: Path) -> list[Row]:
    """A finished file to one reader, ours and nginx in turn."""
    if nginx_path() is None:
        sys.stdout.write("not measured: nginx (apt-get install nginx-light)\n")
        return []
    samples: dict[str, list[float]] = {"holdfast": [], "nginx": []}
    given = json.dumps({"file": str(file)})
    with Contestant("bench.firmware_sides", "files", given) as side, nginx(file.parent) as port:
        mine = int(side.run("port"))
        for _ in range(ROUNDS):
            samples["holdfast"].append(read_all(mine, file.name) / 1e9)
            samples["nginx"].append(read_all(port, file.name) / 1e9)
    return [compare("finished file to one reader", "GB/s", samples, ours="holdfast", peer="nginx")]


def _under(name: str, value: float, unit: str, limit: float) -> Row:
    return Row(
        name=name,
        value=value,
        unit=unit,
        peer="limit",
        peer_value=limit,
        ratio=round(value / limit, 3),
        target=1.0,
        better="lower",
    )


def _cpu_of(process: int) -> float:
    """CPU seconds of a process so far."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


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
