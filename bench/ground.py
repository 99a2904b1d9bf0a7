"""The ground's figures: the engine against its peers, a list page against its bare template.

`make bench NAME=ground`. Needs wrk (Debian's package) and aiosqlite (Piccolo's stock engine).
"""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench.measure import Contestant, Row, compare, report, rounds

OURS, STOCK, RAW, BARE = "holdfast", "piccolo stock", "raw apsw", "template alone"
ROUNDS = 7
WRK_ROUNDS, WRK_S, CONNECTIONS = 5, 3, 32
SESSIONS, LOOKS, STALL_WRITERS, STALL_S = 1, 3000, 50, 3.0


def engines() -> list[Row]:
    """Reads and writes against Piccolo's stock engine and a raw apsw loop."""
    with (
        Contestant("bench.engines", "holdfast") as ours,
        Contestant("bench.engines", "stock") as stock,
        Contestant("bench.engines", "raw") as raw,
    ):
        sides = {OURS: ours, STOCK: stock, RAW: raw}
        read = rounds(sides, "read", ROUNDS)
        write = rounds(sides, "write", ROUNDS)
        long = rounds(sides, "read_1000", ROUNDS)
    return [
        compare("single-row reads", "reads/s", read, OURS, STOCK, target=5),
        compare("single-row writes at FULL, 50 tasks", "writes/s", write, OURS, STOCK, target=8),
        compare("1,000-row reads", "reads/s", long, OURS, STOCK, target=1.5),
        compare("single-row reads, raw", "reads/s", read, OURS, RAW),
        compare("single-row writes, raw, a commit each", "writes/s", write, OURS, RAW),
        compare("1,000-row reads, raw", "reads/s", long, OURS, RAW),
    ]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], url: str, env: dict[str, str]) -> Iterator[tuple[int, float]]:
    """A server process; its pid and the seconds until its first answer."""
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own modules
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(url)
                break
            if time.perf_counter() - began > 30:
                raise RuntimeError(f"{command} does not answer")
            time.sleep(0.01)
        yield process.pid, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


async def fill(folder: Path) -> str:
    """A migrated data folder with a person who has 50 jobs; the token of their session."""
    from app.accounts.service import sessions
    from app.accounts.service.sessions import Caller
    from db import clock
    from db.engine import DB
    from db.keys import uuid7
    from db.migrate import migrate

    migrate(folder / "holdfast.db", folder / "backups")
    await DB.open(folder / "holdfast.db")
    user_id = uuid7()
    await DB.execute(
        "INSERT INTO users (id, login, is_setup_admin, role) VALUES (?, 'owner', 1, 'admin')",
        (user_id,),
    )
    now = clock.ms()
    async with DB.tx():
        for _ in range(50):
            await DB.execute(
                "INSERT INTO queueJobs (id, type, state, runAt, ownerUserId, label, attempts,"
                " createdAt, updatedAt, startedAt, finishedAt) VALUES (?1, 'tickets.download',"
                " 'succeeded', ?2, ?3, 'Download semester ticket', 1, ?2, ?2, ?2, ?2 + 2000)",
                (uuid7(), now, user_id),
            )
    token = await sessions.start_session(user_id, Caller())
    await DB.close()
    return token


def wrk(url: str, token: str) -> float:
    """Requests a second with 32 connections; raises if any answer was not a 200."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("apt-get install wrk")
    answer = subprocess.run(  # noqa: S603
        [program, "-t1", f"-c{CONNECTIONS}", f"-d{WRK_S}s", "-H", f"Cookie: holdfast={token}", url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in answer or "Socket errors" in answer:
        raise RuntimeError(answer)
    found = re.search(r"Requests/sec:\s+([\d.]+)", answer)
    if found is None:
        raise RuntimeError(answer)
    return float(found[1])


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def pages(folder: Path, token: str) -> list[Row]:
    """The signed-in list page, side by side with its template alone."""
    port, bare = free_port(), free_port()
    env = {
        "HOLDFAST_DATA_DIR": str(folder),
        "HOLDFAST_PORT": str(port),
        "HOLDFAST_LOG_LEVEL": "warning",
    }
    ours, theirs = f"http://127.0.0.1:{port}/jobs", f"http://127.0.0.1:{bare}/constant"
    samples: dict[str, list[float]] = {OURS: [], BARE: []}
    with (
        running([sys.executable, "-m", "app", "serve"], ours, env) as (pid, start_s),
        running([sys.executable, "-m", "bench.constant", str(bare)], theirs, env) as _,
    ):
        idle = resident_mb(pid)
        page = httpx.get(ours, cookies={"holdfast": token})
        if page.text.count("Download semester ticket") < 50:
            raise RuntimeError(f"not the list page: {page.status_code}")
        for _ in range(WRK_ROUNDS):
            samples[OURS].append(wrk(ours, token))
            samples[BARE].append(wrk(theirs, token))
    return [
        compare("signed-in list page, 50 rows", "requests/s", samples, OURS, BARE, target=0.4),
        Row(name="start to first answer", value=round(start_s * 1000), unit="ms", better="lower"),
        Row(name="resident memory, idle", value=round(idle, 1), unit="MB", better="lower"),
    ]


async def inside(folder: Path, token: str) -> list[Row]:
    """The session look-up alone, and how long the loop stalls while 50 writers commit."""
    from app.accounts.service import sessions
    from db.engine import DB

    await DB.open(folder / "holdfast.db")
    await sessions.read_session(token)
    began = time.perf_counter()
    for _ in range(LOOKS):
        await sessions.read_session(token)
    look_us = (time.perf_counter() - began) / LOOKS * 1e6

    stop = time.monotonic() + STALL_S

    async def write() -> int:
        done = 0
        while time.monotonic() < stop:
            await DB.execute(
                "INSERT INTO configuration (id, key) VALUES (?1, ?1)", (secrets.token_hex(8),)
            )
            done += 1
        return done

    stalls: list[float] = []

    async def tick() -> None:
        while time.monotonic() < stop:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            stalls.append((time.perf_counter() - before - 0.001) * 1000)

    *written, _ = await asyncio.gather(*(write() for _ in range(STALL_WRITERS)), tick())
    await DB.close()
    stalls.sort()
    rate = sum(count or 0 for count in written) / STALL_S
    return [
        Row(name="session look-up", value=round(look_us, 1), unit="us", better="lower"),
        Row(
            name=f"event-loop stall p99 while 50 writers commit {rate:,.0f}/s",
            value=round(stalls[int(len(stalls) * 0.99)], 2),
            unit="ms",
            better="lower",
            samples={"p50": [round(statistics.median(stalls), 3)], "max": [round(stalls[-1], 2)]},
        ),
    ]


def main() -> None:
    """All rows, printed and written to `bench/results/ground.json`."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    try:
        token = asyncio.run(fill(folder))
        rows = engines() + pages(folder, token) + asyncio.run(inside(folder, token))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report("ground", rows)


if __name__ == "__main__":
    main()
