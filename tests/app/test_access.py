"""Every route against every kind of person, generated from what each route declares."""

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copy

import pytest
from litestar import Litestar, get

from app.web.auth import require_access_declared
from db.engine import DB
from tests.app.house import running
from tests.app.matrix import (
    ACTORS,
    DOORS,
    MALFORMED,
    MISSING,
    OWNED,
    Door,
    Town,
    may,
    strangeness,
    survey,
)

pytestmark = pytest.mark.anyio

WITH_IDS = [door for door in DOORS if door.names]


@pytest.fixture(scope="module")
async def founded(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    folder.chmod(0o700)
    async with running(Path(copy(migrated, folder / "holdfast.db")), rate_writes=0) as house:
        yield await Town.founded(house)


@pytest.fixture
async def town(founded: Town) -> Town:
    await founded.plant()
    return founded


@pytest.mark.feature("X-30")
@pytest.mark.parametrize("actor", ACTORS)
async def test_every_route_lets_in_whom_it_declares(town: Town, actor: str) -> None:
    assert await survey(town, [actor]) == []


@pytest.mark.feature("X-30")
async def test_no_id_makes_a_difference_to_who_may_come_in(town: Town) -> None:
    """What is missing and what is no id at all, for every kind of caller."""
    assert await survey(town, ACTORS, WITH_IDS, MISSING) == []
    no_id = dict.fromkeys(OWNED, "1;--")
    assert await survey(town, ACTORS, WITH_IDS, no_id, shapeless=True) == []


@pytest.mark.feature("X-30")
@pytest.mark.parametrize("actor", ["other", "admin", "token_other"])
async def test_what_is_another_persons_looks_like_what_never_was(town: Town, actor: str) -> None:
    """Status and body of another's id are those of an id that never existed."""
    assert await strangeness(town, actor) == []


async def test_the_owner_is_shown_what_is_theirs(town: Town) -> None:
    """The control: the words that must not leak are really on the owner's pages."""
    shown = [
        door
        for door in DOORS
        if door.method == "GET" and town.secret in (await town.knock(door, "user")).text
    ]
    assert {door.path for door in shown} >= {
        *("/tickets", "/jobs", "/jobs/{job_id}", "/", "/notifications", "/account/tokens"),
        *("/account/security", "/tickets/devices", "/tickets/devices/{profile_id}"),
    }


@pytest.mark.parametrize("actor", ["anonymous", "other", "admin", "token"])
async def test_pages_know_get_and_post_only(town: Town, actor: str) -> None:
    wrong: list[tuple[object, ...]] = []
    for path in sorted({door.path for door in DOORS}):
        for method in ("PUT", "PATCH", "DELETE"):
            answer = await town.knock(Door(method, path, ""), actor)
            if answer.status_code != 405:
                wrong.append((method, path, answer.status_code))
        head = await town.knock(Door("HEAD", path, ""), actor)
        if head.status_code >= 500 or head.content:
            wrong.append(("HEAD", path, head.status_code))
    assert not wrong


@pytest.mark.feature("X-40")
async def test_no_door_takes_a_change_from_another_site(town: Town) -> None:
    """Whoever is asked for, and also where nothing else would have stopped them."""
    wrong: list[tuple[object, ...]] = []
    for door in DOORS:
        if door.method == "POST" and not door.path.startswith("/api/"):
            answer = await town.knock(door, "admin", Origin="https://evil.example")
            if answer.status_code != 403 or "did not come from Holdfast" not in answer.text:
                wrong.append((door, answer.status_code))
    assert not wrong


@pytest.mark.parametrize("malformed", MALFORMED)
async def test_a_malformed_id_is_no_such_thing(town: Town, malformed: str) -> None:
    ids = dict.fromkeys(OWNED, malformed)
    wrong: list[tuple[object, ...]] = []
    for door in WITH_IDS:
        if may("user", door) == "in":
            answer = await town.knock(door, "user", ids)
            if answer.status_code not in (400, 404, 405, 422):
                wrong.append((door, answer.status_code))
    assert not wrong


async def test_a_route_without_declared_access_is_refused_at_start() -> None:
    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return ""

    with pytest.raises(ValueError, match="/forgotten"):
        require_access_declared(Litestar([forgotten], openapi_config=None))


async def test_the_list_of_doors_is_not_empty(town: Town) -> None:
    assert len(DOORS) > 150
    assert sum("/admin/" in door.path for door in DOORS) > 40
    assert len(WITH_IDS) > 20
    assert await DB.value("SELECT count(*) FROM tickets WHERE holder_name = ?", (town.secret,)) == 1
