"""The ticket drivers side by side, a rush against the portal's own limit, and the text work.

`python -m bench.tickets` prints the table; with arguments it is one contestant.
"""

import asyncio
import os
import resource
import sys
import tempfile
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.core.secret import SecretStr
from app.demo.portal.serve import Portal, running_portal
from app.tickets.client import browser, chromium, http
from app.tickets.client.driver import Credential, Policy
from app.tickets.paper import canonical
from app.tickets.paper.page import Page
from app.tickets.paper.validate import Rules, validate
from app.tickets.profiles import HONEST
from bench.measure import Contestant, Row, compare, report, rounds, serve
from db import clock

MARKERS = ("NVV-Semesterticket",)
CHROMIUM = os.environ.get("HOLDFAST_TICKETS_BROWSER_PATH", "/usr/bin/chromium")
PEOPLE = 500
PACE_S = 0.2  # the limit of the rush: five logins a second, so that it ends within two minutes
WORKS = {"http": 20, "browser": 3}


def main() -> None:
    """All figures."""
    rows: list[Row] = []
    with _Portal() as portal:
        place = (portal.sp_url, portal.idp_host)
        pair = {name: Contestant("bench.tickets", name, *place) for name in ("http", "browser")}
        with pair["http"], pair["browser"]:
            times = rounds(pair, "time", 5)
            memory = rounds(pair, "memory", 1)
            grown = rounds(pair, "grown", 1)
        rows += [_smaller("login and fetch", "ms", times, 1 / 40)]
        rows += [_smaller("peak memory, whole process", "MiB", memory, 1 / 20)]
        rows += [_smaller("memory a run adds to the program", "MiB", grown, 1 / 20)]
    rows += asyncio.run(_rush())
    rows += _text()
    report("tickets", rows)


def _smaller(name: str, unit: str, samples: dict[str, list[float]], target: float) -> Row:
    row = compare(name, unit, samples, ours="http", peer="browser", target=target)
    return Row(**{key: getattr(row, key) for key in row.__struct_fields__} | {"better": "lower"})


class _Portal:
    """The stand-in in a thread of its own, so that contestants reach it over real sockets."""

    def __enter__(self) -> Portal:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

        async def run() -> None:
            async with running_portal() as self._running:
                ready.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(run(),))
        self._thread.start()
        ready.wait()
        return self._running

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


# ---- contestants ----


def contestant(driver: str, sp_url: str, idp_host: str) -> None:
    """One driver in a process of its own: `time` is ms a login, `memory` its peak in MiB.

    `grown` is that peak without what the process took before its first run.
    """
    loop = asyncio.new_event_loop()
    idle = _tree_mib(os.getpid())
    number = 0

    async def fetch() -> None:
        nonlocal number
        number = number % 9000 + 1
        login = Credential(f"uk{number:06}", SecretStr(f"pw-{number}"))
        policy = Policy(
            portal_url=f"{sp_url}/", idp_hosts=(idp_host,), markers=MARKERS, auto_consent=True
        )
        if driver == "http":
            await http.fetch(login, HONEST, policy, _quiet)
        else:
            await browser.fetch(login, HONEST, policy, _quiet, path=CHROMIUM)

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(WORKS[driver]):
            loop.run_until_complete(fetch())
        return (time.perf_counter() - began) * 1000 / WORKS[driver]

    def grown() -> float:
        return max(memory() - idle, 0.1)

    def memory() -> float:
        peak = 0.0

        async def watched() -> None:
            nonlocal peak
            task = asyncio.ensure_future(fetch())
            while not task.done():
                peak = max(peak, await asyncio.to_thread(_tree_mib, os.getpid()))
                await asyncio.sleep(0.02)
            await task

        for _ in range(WORKS[driver]):
            loop.run_until_complete(watched())
        return peak

    serve({"time": measure, "memory": memory, "grown": grown})
    loop.run_until_complete(chromium.close())
    loop.close()


async def _quiet(_step: str) -> None:
    return


def _tree_mib(pid: int) -> float:
    """Proportional memory of a process and all it started: pages shared are counted once."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    waiting, total = [pid], 0
    while waiting:
        each = waiting.pop()
        waiting += children.get(each, [])
        with suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


# ---- the first of the month ----


async def _rush() -> list[Row]:
    """500 people through the real queue, against the time the portal's limit dictates."""
    from app.asgi import create_app
    from app.core import settings
    from app.tickets.service import choices, logins, rounds
    from app.tickets.service.choices import Choices
    from db.engine import DB
    from db.keys import uuid7
    from jobs import rates

    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        given = {"data_dir": Path(folder) / "data", "log_level": "error"}
        app = create_app(settings.load(given, {}), {})
        async with running_portal(0.01) as portal, app.litestar.lifespan():
            for name, value in (("portal_url", portal.sp_url), ("idp_hosts", (portal.idp_host,))):
                await settings.put(f"tickets.{name}", value, None, actor_kind="system")
            await rates.put("nvv", 1, per_s=PACE_S)
            await DB.execute("UPDATE queueSettings SET paused = 1")
            for number in range(1, PEOPLE + 1):
                user_id = uuid7()
                await DB.execute(
                    "INSERT INTO users (id, login, auto_download_enabled) VALUES (?, ?, 1)",
                    (user_id, f"student{number}"),
                )
                await logins.save_login(user_id, f"uk{number:06}", f"pw-{number}")
                await choices.save_choices(user_id, Choices(auto_consent=True, auto_download=True))
            began = time.perf_counter()
            await rounds.queue(await rounds.opted_in())
            queued_s = time.perf_counter() - began
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            await DB.execute("UPDATE queueSettings SET paused = 0")
            began = time.perf_counter()
            left = "SELECT count(*) FROM queueJobs WHERE type = 'tickets.download' AND state IN"
            while await DB.value(f"{left} ('queued', 'running')"):  # noqa: ASYNC110 - from outside
                await asyncio.sleep(0.1)
            took = time.perf_counter() - began
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
            served = await DB.value("SELECT count(DISTINCT user_id) FROM tickets")
            starts = [line["elapsed_s"] for line in portal.log() if line["kind"] == "start"]
            wrong = portal.stats()["wrong_logins"]
    dictated = (PEOPLE - 1) * PACE_S
    gaps = sorted(later - earlier for earlier, later in pairwise(starts))
    return [
        Row(
            name=f"{PEOPLE} people served",
            value=round(took, 1),
            unit="s",
            peer="the limit dictates",
            peer_value=dictated,
            ratio=round(took / dictated, 3),
            target=1.1,
            better="lower",
        ),
        Row(name="people with a ticket", value=float(served), unit=f"of {PEOPLE}"),
        Row(name="refused logins", value=float(wrong), unit="logins", better="lower"),
        Row(name="median gap between logins", value=gaps[len(gaps) // 2] * 1000, unit="ms"),
        Row(name=f"queueing {PEOPLE}", value=round(queued_s * 1000), unit="ms", better="lower"),
        Row(name="memory grown in the rush", value=round(grown, 1), unit="MiB", better="lower"),
    ]


# ---- text ----


def _text() -> list[Row]:
    """A page of 1 MiB: a table of prose, 8,000 elements, a date in one row of twenty."""
    said = "Mit dem Ticket fahren Sie in allen Bussen, Trams und Regiozügen. " * 6
    prose = f"<tr><td>Zone {{n}}</td><td>{said}</td></tr>\n"
    dated = f"<tr><td>Fahrplan</td><td>Neu seit 13.12.2026, Linie {{n}}. {said}</td></tr>\n"
    lines = [(dated if n % 20 == 0 else prose).format(n=n) for n in range(3_000)]
    head = "<h1>NVV-Semesterticket</h1><p>Name: Test Person</p><p>Gültig von 01.11.2026 bis"
    body = f"{head} 30.11.2026</p><table>{''.join(lines)}"[: 1 << 20]
    raw = f"<html><body>{body}</body></html>".encode()
    rules = Rules(portal_url="https://t.example/", markers=MARKERS, today=clock.now().date())
    headers = {"content-type": "text/html; charset=utf-8"}
    works: dict[str, Any] = {
        "canonical text": canonical.canonical,
        "validation": lambda page: validate(page, rules, {}),
    }
    rows = []
    for name, work in works.items():
        spent = []
        for _ in range(20):
            page = Page("https://t.example/", raw, headers=headers)
            began = time.perf_counter()
            work(page)
            spent.append(time.perf_counter() - began)
        best = sorted(spent)[len(spent) // 2]
        rows.append(Row(name=name, value=round(len(raw) / best / 1e6, 1), unit="MB/s"))
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        contestant(*sys.argv[1:4])
    else:
        main()
