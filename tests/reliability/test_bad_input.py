"""Bad input at every door that changes something: it is refused in words and changes nothing.

The doors are those the program has; a new one is tried without being named here. One real server,
its queue paused so that nothing moves by itself; after each request all rows of all tables are
compared, but for those that every request touches (`TOUCHED`).
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import apsw
import httpx
import pytest

from db.keys import uuid7
from tests.reliability.conftest import student
from tests.reliability.doors import (
    BAD_IDS,
    BARE,
    DOORS,
    FORM,
    GOOD,
    LOOKS_ONLY,
    MAY_BE_EMPTY,
    NOBODYS,
    NOT_THERE,
    OTHER_SITES,
    SENT_BACK,
    SPOILED,
    UNHURRIED,
    WHOLE_BODIES,
    Town,
    Watch,
)
from tests.reliability.evidence import ask
from tests.serving import PASSWORD, Person, portal, serving

NO_SOCKETS = shutil.ignore_patterns("*.sock")  # a queue's socket is no file to copy


@pytest.fixture(scope="module")
def town(inhabited: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    data_dir = Path(shutil.copytree(inhabited, folder / "data", ignore=NO_SOCKETS))
    settle(data_dir)
    names = ("admin", "owner", "other", "expired", "stranger", "guest")
    with portal(folder) as outside, serving(data_dir, {**outside.env, **UNHURRIED}) as server:
        people = {name: Person(server.url) for name in names}
        try:
            people["admin"].sign_in().post("/admin/queue/pause")
            for number, name in ((1, "owner"), (2, "other"), (3, "expired")):
                people[name].sign_in(student(number), PASSWORD)
            link = people["admin"].invite()
            assert people["guest"].get(link).status_code == 303
            people["owner"].order_ticket()
            expire(data_dir, student(3))
            people["expired"].get("/account")  # what is over is put away when it is seen
            watch = Watch(data_dir)
            yield Town(server, watch, people, ids_in(data_dir, link))
            watch.close()
        finally:
            for person in people.values():
                person.http.close()


def settle(data_dir: Path) -> None:
    """Everybody may use firmware too, and no schedule comes due while we look."""
    connection = apsw.Connection(str(data_dir / "holdfast.db"))
    try:
        connection.execute(
            "UPDATE users SET flags = json_set(flags, '$.domains',"
            " json_array('tickets', 'firmware')) WHERE role = 'user'"
        )
        connection.execute("UPDATE job_schedules SET enabled = 0")
    finally:
        connection.close()


def expire(data_dir: Path, login: str) -> None:
    """End the person's session as time would."""
    connection = apsw.Connection(str(data_dir / "holdfast.db"))
    try:
        connection.set_busy_timeout(5000)
        connection.execute(
            "UPDATE sessions SET expiresAt = '2020-01-01T00:00:00.000Z'"
            " WHERE userId = (SELECT id FROM users WHERE login = ?)",
            (login,),
        )
    finally:
        connection.close()


def ids_in(data_dir: Path, link: str) -> dict[str, str]:
    job = ask(data_dir, "SELECT id FROM queueJobs WHERE type = 'tickets.download'")[0]["id"]
    short = hashlib.sha256(link.rpartition("/")[2].encode()).hexdigest()[:8]
    other = ask(data_dir, f"SELECT id FROM users WHERE login = '{student(2)}'")[0]["id"]
    return {
        "job_id": job,
        "short": short,
        "person": other,
        "person_id": other,
        "schedule": "accounts.sweep",
        "kind": "tickets.download",
        "key": "nvv",
    }


@pytest.mark.feature("X-40")
@pytest.mark.parametrize("door", DOORS)
def test_a_form_of_another_site_is_refused(town: Town, door: str) -> None:
    person = town.rightful(door)
    body = urlencode(GOOD.get(door, {}))
    for what, headers in OTHER_SITES.items():
        answer = town.refused(
            person, "POST", town.path(door), content=body, headers={**FORM, **headers}
        )
        assert answer.status_code == 403, what
        assert "did not come from Holdfast" in answer.text, what


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_method_is_refused(town: Town, door: str) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = town.refused(town.rightful(door), method, town.path(door))
        assert answer.status_code == 405, method
    # Nothing is changed by looking, whether or not there is a page to look at.
    assert town.refused(town.rightful(door), "GET", town.path(door)).status_code in (
        200,
        404,
        405,
        303,
    )


@pytest.mark.parametrize(
    "door", [d for d, access in DOORS.items() if access not in ("public", "anon_only")]
)
def test_who_is_not_or_no_longer_signed_in_is_sent_to_the_door(town: Town, door: str) -> None:
    body = urlencode(GOOD.get(door, {}))
    for who in ("stranger", "expired"):
        answer = town.refused(who, "POST", town.path(door), content=body, headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        part = {**FORM, "HX-Request": "true"}
        answer = town.refused(who, "POST", town.path(door), content=body, headers=part)
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize("door", [d for d, access in DOORS.items() if access == "admin"])
def test_an_admins_door_is_closed_to_others(town: Town, door: str) -> None:
    body = urlencode(GOOD.get(door, {}))
    answer = town.refused("owner", "POST", town.path(door), content=body, headers=FORM)
    assert answer.status_code == 403
    assert "admin" in answer.text


@pytest.mark.parametrize("door", [d for d in DOORS if "{" in d])
def test_what_is_anothers_or_nobodys_is_not_there(town: Town, door: str) -> None:
    names = re.findall(r"{(\w+)}", door)
    person = town.rightful(door)
    missing = town.path(door, **dict.fromkeys(names, uuid7()))
    answer = town.refused(person, "POST", missing)
    # A form may be read before what it is about is looked for.
    refused = (404,) if door in BARE and "{action}" not in door else (404, 422)
    assert answer.status_code in refused
    if DOORS[door] != "admin":
        others = town.refused("other", "POST", town.path(door))
        nobodys = town.refused("other", "POST", missing)
        assert others.status_code == nobodys.status_code == answer.status_code
        assert plain(others) == plain(nobodys), "another's and nobody's must look the same"
    for bad in BAD_IDS:
        answer = town.refused(person, "POST", town.path(door, **dict.fromkeys(names, bad)))
        assert answer.status_code in (400, *refused), f"{bad[:20]}: {answer.status_code}"


def plain(answer: httpx.Response) -> str:
    """The page without what is new in each: nonces and ids."""
    return re.sub(rf'nonce="[^"]*"|[0-9a-f-]{{36}}|{NOBODYS}', "", answer.text)


@pytest.mark.parametrize("door", [d for d in DOORS if d not in BARE])
def test_a_body_that_is_no_such_form_is_refused(town: Town, door: str) -> None:
    for what, (body, headers) in WHOLE_BODIES.items():
        if door in MAY_BE_EMPTY and what == "empty":
            continue
        answer = town.refused(
            town.rightful(door), "POST", town.path(door), content=body, headers=headers
        )
        closed: tuple[int, ...] = (
            (404,) if door in NOT_THERE else (200,) if door in LOOKS_ONLY else ()
        )
        closed += (303,) if door in SENT_BACK else ()
        wanted = (413,) if what == "too large" else (400, 413, 415, 422, 429)
        assert answer.status_code in wanted + closed, f"{what}: {answer.status_code}"
        if answer.status_code != 303:
            words = re.sub(r"<[^>]+>|\s+", "", answer.text)
            assert len(words) > 10, f"{what}: refused without a word"


@pytest.mark.parametrize("door", GOOD)
def test_one_bad_field_spoils_the_form(town: Town, door: str) -> None:
    for name in GOOD[door]:
        if name == "agree":  # a tick is a tick, whatever it says
            continue
        for what, bad in SPOILED.items():
            rest = urlencode({key: text for key, text in GOOD[door].items() if key != name})
            body = f"{rest}&{name}={bad}"
            answer = town.refused(
                town.rightful(door), "POST", town.path(door), content=body, headers=FORM
            )
            wanted = (400, 404) if name == "part" else (400, 413, 422, 429)
            assert answer.status_code in wanted, f"{name}, {what}: {answer.status_code}"


def test_the_comparison_sees_one_changed_cell(town: Town) -> None:
    """The control: a change that is one must be seen, by its table's name."""
    person = town.people["owner"]
    before = town.watch.look()
    person.post("/tickets/settings", agree="1", holder_name="Somebody New")
    after = town.watch.look()
    assert {table for table in after if after[table] != before[table]} == {"users"}
