"""kill -9 in the middle of fetching tickets: no half ticket, no lost run, no third password post.

Real servers, each on its own copy of one inhabited data folder; real portals beside them.
"""

import random
import shutil
import signal
import time
from collections import ChainMap, Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from tests.reliability.conftest import STUDENTS, student
from tests.reliability.evidence import ask, ask_copy, faults, is_drained
from tests.serving import (
    PASSWORD,
    Person,
    PortalProcess,
    Server,
    admin_env,
    portal,
    until,
)

SEED = 20261120
KILLS, HITS, LANES = 30, 20, 3
ANSWER_S = 0.18  # a first run asks eleven answers of the portal: 2 s in all
RUN_S = 2.0

LIVES = 4
Place = tuple[int, str, int]  # whose run dies, where, and in which passage

# Where a run can die, and in which of its passages. The second is a run that replaces a ticket.
POINTS = (
    ("ticket_before_post", 1),
    ("ticket_fetched", 1),
    ("ticket_temp_written", 1),
    ("ticket_renamed", 1),
    ("ticket_renamed", 2),
    ("ticket_stored", 1),
    ("ticket_before_commit", 1),
    ("ticket_before_commit", 2),
    ("ticket_committed", 1),
    ("ticket_committed", 2),
    ("ticket_replaced", 1),
    ("ticket_fault_recorded", 1),
    ("queue_after_claim", 1),
    ("queue_before_finish", 1),
    ("queue_mid_tx", 1),
    ("queue_after_effect", 1),
)

LOOK_S = 0.1  # between looks at a server's file, each of which costs the server's processor

NO_SOCKETS = shutil.ignore_patterns("*.sock")  # a queue's socket is no file to copy
STATES = "SELECT state, crashes FROM queueJobs WHERE type = 'tickets.download' ORDER BY id DESC"


def order(server: Server, number: int) -> None:
    """The student signs in and presses the button."""
    with Person(server.url) as person:
        person.sign_in(student(number), PASSWORD).order_ticket()


def drained(server: Server) -> None:
    over = until(
        lambda: (not server.alive and "dead") or (is_drained(server.data_dir) and "drained"),
        f"{server.data_dir} to be drained",
        limit_s=60,
        pause_s=LOOK_S,
    )
    assert over == "drained", f"it died while it was to drain:\n{server.log()[-2000:]}"


def posts(outside: PortalProcess, *numbers: int) -> Counter[str]:
    """How often the portal was sent each student's password."""
    counts = Counter(outside.stats()["password_posts_by_user"])
    return Counter({login: counts[login] for login in (f"uk{number:06}" for number in numbers)})


def house_of(inhabited: Path, folder: Path, outside: PortalProcess) -> Server:
    """A server of its own on a copy of the inhabited folder. Not started."""
    data_dir = Path(shutil.copytree(inhabited, folder / "data", ignore=NO_SOCKETS))
    return Server(data_dir, {**admin_env(folder), **outside.env})


def die_in_turn(server: Server, outside: PortalProcess, places: list[Place]) -> dict[Place, str]:
    """A life for each place, which ends there. The next one rescues that run, and is looked at
    before it comes to its own end; what was wrong, by place.

    A run that is rescued passes the points once more, so a life is told to end one passage later.
    """
    wrong: dict[Place, str] = {}
    behind: Place | None = None
    sent: Counter[str] = Counter()
    for place in [*places, None]:
        before = ask_copy(server.data_dir, STATES)
        deaths = int(behind is not None and before[0]["state"] == "running")
        if place is None:
            server.start()
        else:
            _number, point, passage = place
            again = deaths if behind and passes_again(point, behind) else 0
            server.start(HOLDFAST_FAILPOINT=f"{point}:{passage + again}:kill")
        if behind is not None:
            drained(server)
            found = faults(server.data_dir, posts(outside, behind[0]) - sent)
            crashes = ask(server.data_dir, STATES)[0]["crashes"]
            if crashes != deaths:
                found.append(f"{deaths} deaths, {crashes} counted")
            if found:
                wrong[behind] = str(found)
        if place is not None:
            sent = die_at(server, outside, place)
            if ask_copy(server.data_dir, STATES)[0]["state"] not in {"running", "succeeded"}:
                wrong[place] = "the run was not hit"
        behind = place
    if server.stop() != 0:
        wrong[places[-1]] = "did not stop well"
    return wrong


def passes_again(point: str, behind: Place) -> bool:
    """Whether the rescued run of `behind` passes the point: only a second one replaces a ticket."""
    return behind[2] == 2 if point == "ticket_replaced" else point != "ticket_fault_recorded"


def die_at(server: Server, outside: PortalProcess, place: Place) -> Counter[str]:
    """Order until the armed server is dead; the posts before the last order."""
    number, point, _passage = place
    if point == "ticket_fault_recorded":
        outside.scenario("error_500", user=f"uk{number:06}", times=1, at="ticket")
    sent: Counter[str] = Counter()
    with suppress(httpx.TransportError):  # it may die before the answer is out
        for _ in range(2):  # the second run replaces the ticket of the first
            if not server.alive:
                break
            sent = posts(outside, number)
            order(server, number)
            until(
                lambda: not server.alive or is_drained(server.data_dir),
                f"{point} or an end",
                pause_s=LOOK_S,
            )
    assert server.wait() == -signal.SIGKILL
    return sent


@pytest.mark.feature("T-33", "Q-05")
def test_a_kill_at_any_point_of_a_run_leaves_one_whole_ticket(
    inhabited: Path, tmp_path: Path, running_portal: PortalProcess
) -> None:
    def play(lane: int) -> dict[Place, str]:
        server = house_of(inhabited, tmp_path / f"lane-{lane}", running_portal)
        try:
            return die_in_turn(server, running_portal, places[lane::LANES])
        finally:
            server.kill()

    places = [(number, *place) for number, place in enumerate(POINTS, start=1)]
    assert len(places) <= STUDENTS  # each has a student, because the portal counts by login
    with ThreadPoolExecutor(LANES) as threads:
        wrong = dict(ChainMap(*threads.map(play, range(LANES))))
    assert wrong == {}


@pytest.mark.feature("T-33")
def test_a_kill_between_a_commit_and_its_news_loses_neither(
    inhabited: Path, tmp_path: Path, running_portal: PortalProcess
) -> None:
    """Which commit it is depends on how writes meet, so a row of them is tried on one folder.

    In each life one student asks for a first ticket, and one for a ticket that replaces another.
    """
    server = house_of(inhabited, tmp_path / "commits", running_portal)
    half = LIVES
    hit = 0
    try:
        server.start()
        for number in range(half + 1, 2 * half + 1):
            order(server, number)
        drained(server)
        assert server.stop() == 0
        for number in range(1, half + 1):
            server.spawn(HOLDFAST_FAILPOINT=f"changes_before_handover:{8 + 2 * number}:kill")
            with suppress(AssertionError, httpx.TransportError):  # it may die at any commit
                server.until_ready()
                order(server, number)
                order(server, half + number)
                until(lambda: not server.alive or is_drained(server.data_dir), "an end", limit_s=5)
            died = not server.alive
            server.kill()
            states = ask_copy(server.data_dir, STATES)
            hit += died and any(row["state"] == "running" for row in states)
        server.start()
        drained(server)
        found = faults(server.data_dir, {})
        assert server.stop() == 0
    finally:
        server.kill()
    print(f"{hit} lives ended between a commit and its news while a run was under way")  # noqa: T201
    assert found == []
    assert hit


@pytest.mark.feature("T-33", "Q-05", "Q-06")
def test_kills_at_random_times_of_a_slow_run_leave_one_whole_ticket_each(
    inhabited: Path, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    times = [rng.uniform(0, RUN_S) for _ in range(KILLS)]
    print(f"seed {SEED}, kills after", *(f"{at:.2f}" for at in times))  # noqa: T201
    with ThreadPoolExecutor(LANES) as threads:
        lanes = [
            threads.submit(random_kills, inhabited, tmp_path / f"lane-{lane}", times[lane::LANES])
            for lane in range(LANES)
        ]
    hits = sum(lane.result()[0] for lane in lanes)
    found = [fault for lane in lanes for fault in lane.result()[1]]
    print(f"{hits} of {KILLS} kills hit a running job")  # noqa: T201
    assert found == []
    assert hits >= HITS


def random_kills(inhabited: Path, folder: Path, times: list[float]) -> tuple[int, list[str]]:
    """One kill for each time, each with two students of its own; kills that hit, and faults."""
    folder.mkdir()
    hits = 0
    found: list[str] = []
    with portal(folder) as outside:
        server = house_of(inhabited, folder, outside)
        try:
            server.start()
            for turn, at in enumerate(times):
                pair = (2 * turn + 1, 2 * turn + 2)
                outside.scenario("slow", seconds=ANSWER_S, also=["terms", "consent"])
                for number in pair:
                    order(server, number)
                time.sleep(at)
                server.kill()
                before = ask_copy(server.data_dir, STATES)
                hits += any(row["state"] == "running" for row in before)
                outside.scenario("ok")
                server.start()
                found += rescued_before_serving(server, before)
                drained(server)
                found += faults(server.data_dir, posts(outside, *range(1, pair[1] + 1)))
            if server.stop() != 0:
                found.append("did not stop well")
        finally:
            server.kill()
    return hits, [f"{folder.name}: {fault}" for fault in found]


def rescued_before_serving(server: Server, before: list[dict[str, Any]]) -> list[str]:
    """The dead life's jobs were healed when the new worker came, before the first answer."""
    orphans = sum(row["state"] == "running" for row in before)
    healed = ask(
        server.data_dir,
        "SELECT j.healedAt - w.startedAt AS ms FROM queueJobs j JOIN queue_workers w"
        " WHERE j.healedAt >= w.startedAt",
    )
    print("rescued after", *(f"{row['ms']} ms" for row in healed))  # noqa: T201
    return [] if len(healed) == orphans else [f"{orphans} orphans, {len(healed)} healed at boot"]


def test_the_witness_sees_each_kind_of_damage(
    inhabited: Path, tmp_path: Path, running_portal: PortalProcess
) -> None:
    """The control of all the above: what is planted here must be found there."""
    server = house_of(inhabited, tmp_path / "good", running_portal)
    try:
        server.start()
        order(server, 1)
        order(server, 2)
        drained(server)
        assert server.stop() == 0
    finally:
        server.kill()
    good = server.data_dir
    assert faults(good, {"uk000001": 2}) == []
    assert "password posts" in str(faults(good, {"uk000001": 3}))
    for name, (plant, sign) in DAMAGE.items():
        data_dir = Path(shutil.copytree(good, tmp_path / name, ignore=NO_SOCKETS))
        plant(data_dir)
        assert sign in str(faults(data_dir, {})), name


def write(sql: str) -> Callable[[Path], None]:
    """Plant by SQL, past the program's own triggers."""

    def plant(data_dir: Path) -> None:
        connection = apsw.Connection(str(data_dir / "holdfast.db"))
        try:
            names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            for (name,) in names.fetchall():
                connection.execute(f'DROP TRIGGER "{name}"')
            connection.execute(sql)
        finally:
            connection.close()

    return plant


def a_document(data_dir: Path) -> Path:
    return next((data_dir / "tickets").glob("*/*/raw.html"))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "orphan": (
        lambda at: (a_document(at).parents[1] / "0123456789abcdef").mkdir(),
        "without a row",
    ),
    "half-written": (lambda at: (a_document(at).parents[1] / ".0.tmp").mkdir(), "without a row"),
    "lost-folder": (lambda at: shutil.rmtree(a_document(at).parent), "without a folder"),
    "other-bytes": (lambda at: a_document(at).write_text("half"), "other bytes"),
    "doubled": (
        write(
            "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status)"
            " SELECT user_id, 'again', content_hash, file_path, status FROM tickets LIMIT 1"
        ),
        "2 tickets",
    ),
    "lost-ticket": (
        write("DELETE FROM tickets WHERE id = (SELECT min(id) FROM tickets)"),
        "0 tickets",
    ),
    "lost-line": (
        write("DELETE FROM ticket_download_history WHERE outcome = 'new'"),
        "0 attempts",
    ),
    "stuck": (
        write(
            "UPDATE queueJobs SET state = 'queued', finishedAt = NULL"
            " WHERE type = 'tickets.download'"
        ),
        "stuck",
    ),
    "untold": (write("UPDATE queueJobs SET crashes = 1"), "1 deaths, 0 told"),
    "corrupt": (
        write(
            "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'tickets_newest'"
        ),
        "integrity",
    ),
}
