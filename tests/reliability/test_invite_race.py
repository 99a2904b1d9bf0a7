"""Fifty people with one invite at the same moment, over HTTP, against one real server."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.reliability.evidence import Row, ask
from tests.serving import PASSWORD, Person, Server, serving

CROWD = 50
USED = "already used"
POINTS = {  # where the first of the crowd dies, and how many accounts there are then
    "invite_after_token_check": 0,
    "invite_after_user_insert": 0,
    "invite_after_token_mark": 0,
    "invite_before_commit": 0,
    "invite_after_commit": 1,
}


@contextmanager
def crowd_at_the_door(server: Server, size: int) -> Iterator[list[Person]]:
    """So many browsers that have followed the same link and stand before the form."""
    with Person(server.url).sign_in() as admin:
        link = admin.invite()
    people = [Person(server.url) for _ in range(size)]
    try:
        for person in people:
            assert person.get(link).status_code == 303
        yield people
    finally:
        for person in people:
            person.http.close()


def all_at_once(people: list[Person]) -> list[httpx.Response | None]:
    """Everyone sends a form with a name of their own; None where no answer came."""
    gate = threading.Barrier(len(people))

    def send(number: int) -> httpx.Response | None:
        gate.wait(30)
        try:
            return people[number].post(
                "/join", login=f"guest-{number}", email="", password=PASSWORD
            )
        except httpx.TransportError:
            return None

    with ThreadPoolExecutor(len(people)) as threads:
        return list(threads.map(send, range(len(people))))


def assert_one_of(people: list[Person], answers: list[httpx.Response | None]) -> None:
    """One is in, the others are told why not."""
    told = [answer for answer in answers if answer is not None]
    assert Counter(answer.status_code for answer in told) == {303: 1, 410: len(people) - 1}
    for answer in told:
        assert answer.status_code == 303 or USED in answer.text


def guests(data_dir: Path) -> list[Row]:
    """The accounts that came of the invite, with the invites that say so."""
    return ask(
        data_dir,
        "SELECT u.login, i.used_by = u.id AS marked, (SELECT count(*) FROM invite_tokens"
        "  WHERE used_by IS NOT NULL) AS used FROM users u"
        " LEFT JOIN invite_tokens i ON i.token = u.invite_token WHERE u.login LIKE 'guest-%'",
    )


def orphans(data_dir: Path) -> list[Row]:
    """Anything that belongs to nobody."""
    return [
        *ask(data_dir, "PRAGMA foreign_key_check"),
        *ask(data_dir, "SELECT id FROM sessions WHERE userId NOT IN (SELECT id FROM users)"),
    ]


@pytest.mark.feature("T-02")
def test_fifty_at_once_make_one_account(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, crowd_at_the_door(server, CROWD) as people:
        answers = all_at_once(people)
        assert_one_of(people, answers)
        accounts = guests(server.data_dir)
        assert [(row["marked"], row["used"]) for row in accounts] == [(1, 1)]
        assert orphans(server.data_dir) == []
        sessions = ask(
            server.data_dir,
            "SELECT 1 FROM sessions s JOIN users u ON u.id = s.userId WHERE u.login LIKE 'guest-%'",
        )
        assert len(sessions) == 1
        at = [answer is not None and answer.status_code == 303 for answer in answers].index(True)
        assert accounts[0]["login"] == f"guest-{at}"
        assert people[at].get("/account").status_code == 200
        assert server.stop() == 0


@pytest.mark.feature("T-02")
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_in_the_middle_of_the_race_changes_nothing(tmp_path: Path, point: str) -> None:
    """Whoever asks again after the restart, with the same form, finds one account in the end."""
    with serving(tmp_path / "data") as server:
        server.kill()
        server.start(HOLDFAST_FAILPOINT=f"{point}:1:kill")
        with crowd_at_the_door(server, 12) as people:
            answers = all_at_once(people)
            assert server.wait() == -signal.SIGKILL
            assert answers == [None] * len(people)
            server.start()
            assert len(guests(server.data_dir)) == POINTS[point]
            answers = all_at_once([person.move(server.url) for person in people])
            assert_one_of(people, answers)
        assert [(row["marked"], row["used"]) for row in guests(server.data_dir)] == [(1, 1)]
        assert orphans(server.data_dir) == []
        assert ask(server.data_dir, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
