"""kill -9 around the base check and its fan-out: no change lost, none told twice, everybody served.

Each round the portal shows another ticket and an admin asks for a look; the server dies somewhere
between the click and the last person's new ticket, and the next life ends what was begun.
"""

import random
import shutil
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import apsw
import httpx
import pytest

from tests.reliability.conftest import NO_SOCKETS, student
from tests.reliability.evidence import ask, ask_copy, is_drained, round_faults
from tests.serving import Person, PortalProcess, Server, admin_env, portal, until

SEED = 20261128
POINTS = ("base_before_commit", "base_committed", "fan_out_queued")
KILLS, LANES = 9, 2
ANSWER_S = 0.05  # the base check takes 0.6 s of answers, four people at two a time 1.3 s more
ROUND_S = 1.9
PEOPLE = 4
BASE = 9000

RUNNING = "SELECT type FROM queueJobs WHERE state = 'running' AND type LIKE 'tickets.%'"
ENDED = "SELECT count(*) AS n FROM queueJobs WHERE type = 'tickets.check_base' AND state IN"


def house_of(inhabited: Path, folder: Path, outside: PortalProcess) -> Server:
    """A server on a copy of the inhabited folder where four people opted in. Not started."""
    data_dir = Path(shutil.copytree(inhabited, folder / "data", ignore=NO_SOCKETS))
    names = ", ".join(f"'{student(number)}'" for number in range(1, PEOPLE + 1))
    write(data_dir, f"UPDATE users SET auto_download_enabled = 1 WHERE login IN ({names})")
    base = {
        "HOLDFAST_TICKETS_BASE_NUMBER": f"uk{BASE:06}",
        "HOLDFAST_TICKETS_BASE_PASSWORD": f"pw-{BASE}",
    }
    return Server(data_dir, {**admin_env(folder), **outside.env, **base})


def write(data_dir: Path, sql: str) -> None:
    """As `sqlite3` would, past the program's own triggers."""
    connection = apsw.Connection(str(data_dir / "holdfast.db"))
    try:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        for (name,) in names.fetchall() if sql.startswith("DELETE") else ():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(sql)
    finally:
        connection.close()


class Rounds:
    """One house, one portal, one change of the ticket after the other."""

    def __init__(self, inhabited: Path, folder: Path, outside: PortalProcess) -> None:
        folder.mkdir(exist_ok=True)
        self.outside = outside
        self.server = house_of(inhabited, folder, outside)
        self.played = 0
        self.struck: Counter[str] = Counter()
        self._admin = Person("http://localhost")
        self._posts: Counter[str] = Counter()

    def begin(self) -> None:
        """The first look: nobody has a ticket, so everybody gets one."""
        self.server.start()
        self._admin.move(self.server.url).sign_in()
        self._change()
        self._drained()
        self._posts = Counter(self.outside.stats()["password_posts_by_user"])

    def play(self, way: str | float) -> list[str]:
        """A change, a look, a death at the point or after the seconds, the life after it; what is
        wrong then.
        """
        if isinstance(way, str):
            assert self.server.stop() == 0
            self.server.start(HOLDFAST_FAILPOINT=f"{way}:1:kill")
        self._change()
        if isinstance(way, float):
            time.sleep(way)
            self.server.kill()
        assert self.server.wait() == -signal.SIGKILL
        self.struck.update({row["type"] for row in ask_copy(self.server.data_dir, RUNNING)})
        self.server.start()
        self._drained()
        posts = Counter(self.outside.stats()["password_posts_by_user"])
        sent, self._posts = posts - self._posts, posts
        return round_faults(self.server.data_dir, sent, self.played)

    def end(self) -> None:
        self._admin.http.close()
        self.server.kill()

    def _change(self) -> None:
        self.played += 1
        text = f"Fassung {self.played}"
        self.outside.scenario("changed", text=text, also=["slow"], seconds=ANSWER_S)
        self._admin.move(self.server.url)
        with suppress(httpx.TransportError):  # it may die before the answer is out
            assert self._admin.post("/admin/tickets/check").status_code == 303

    def _drained(self) -> None:
        until(
            lambda: is_drained(self.server.data_dir),
            "everybody to be served",
            limit_s=60,
            pause_s=0.1,
        )


@pytest.mark.feature("T-28", "T-33")
def test_kills_around_a_base_check_and_its_fan_out_serve_everybody_once(
    inhabited: Path, tmp_path: Path
) -> None:
    """At each named point, and at a random time of each ninth of the way to the last new ticket."""
    rng = random.Random(SEED)
    times = [(n + rng.random()) / KILLS * ROUND_S for n in range(KILLS)]
    print(f"seed {SEED}, kills after", *(f"{at:.2f}" for at in times))  # noqa: T201
    ways: list[str | float] = [*POINTS, *times]

    def lane(number: int) -> tuple[Counter[str], list[str]]:
        folder = tmp_path / f"lane-{number}"
        folder.mkdir()
        with portal(folder) as outside:
            rounds = Rounds(inhabited, folder, outside)
            try:
                rounds.begin()
                found = [f"{way}: {it}" for way in ways[number::LANES] for it in rounds.play(way)]
            finally:
                rounds.end()
        return rounds.struck, found

    with ThreadPoolExecutor(LANES) as threads:
        ends = list(threads.map(lane, range(LANES)))
    struck = sum((end[0] for end in ends), Counter[str]())
    print(f"hit while running: {dict(struck)}")  # noqa: T201
    assert [fault for end in ends for fault in end[1]] == []
    assert struck["tickets.check_base"] >= 2
    assert struck["tickets.fan_out"] >= 1
    assert struck["tickets.download"] >= 2


def test_the_witness_of_rounds_sees_each_kind_of_damage(
    inhabited: Path, tmp_path: Path, running_portal: PortalProcess
) -> None:
    """The control of both: what is planted here must be found there."""
    rounds = Rounds(inhabited, tmp_path / "good", running_portal)
    try:
        rounds.begin()
        assert rounds.server.stop() == 0
    finally:
        rounds.end()
    good = rounds.server.data_dir
    assert round_faults(good, {}, 1) == []
    assert "1 noted" in str(round_faults(good, {}, 2))
    assert ask(good, f"{ENDED} ('succeeded')")[0]["n"] == 1
    for name, (sql, sign) in DAMAGE.items():
        data_dir = Path(shutil.copytree(good, tmp_path / name, ignore=NO_SOCKETS))
        write(data_dir, sql)
        assert sign in str(round_faults(data_dir, {}, 1)), name


DAMAGE = {
    "lost fan-out": ("DELETE FROM queueJobs WHERE type = 'tickets.fan_out'", "0 fan-outs"),
    "lost change": (
        "DELETE FROM ticket_download_history WHERE trigger = 'base'",
        "1 changes, 0 noted",
    ),
    "forgotten person": (
        "DELETE FROM tickets WHERE id = (SELECT min(id) FROM tickets)",
        "0 of 1 versions",
    ),
    "another ticket": (
        "UPDATE base_ticket_state SET base_ticket_hash = 'x'",
        "not of the ticket that is known",
    ),
    "served without asking": (
        "UPDATE users SET auto_download_enabled = 0 WHERE login = 'student-1'",
        "student-1: 1 of 0 versions",
    ),
}
