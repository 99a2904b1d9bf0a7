"""Each guard taken out in turn: the matrix must go red, else it would not notice its loss."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from app.accounts.service import sessions, tokens
from app.firmware.service import devices as firmware_devices
from app.ops.service import job
from app.tickets.service import devices, library
from app.web import auth, bearer, origin
from app.web.auth import Bearer, Principal, SessionMiddleware
from tests.app.house import running
from tests.app.matrix import ACTORS, DOORS, Door, Town, strangeness, survey
from tests.app.mutants import mutated, reworded

pytestmark = pytest.mark.anyio

Mutant = Callable[[], AbstractContextManager[None]]


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


def of(*words: str) -> list[Door]:
    """Doors that only look, whose path or access has one of these: enough to see the guard by."""
    return [
        door
        for door in DOORS
        if door.method == "GET" and any(word in door.path or word in door.access for word in words)
    ]


def without(function: Any, old: str, new: str) -> Mutant:
    return lambda: mutated(function, old, new)


def both(one: Mutant, other: Mutant) -> Mutant:
    """Where one guard stands behind another, the loss of either alone is none."""

    @contextmanager
    def together() -> Iterator[None]:
        with one(), other():
            yield

    return together


def asking(module: Any, name: str, old: str, new: str) -> Mutant:
    return lambda: reworded(module, name, old, new)


IS_ADMIN = Principal.is_admin.fget  # type: ignore[attr-defined]
GUARDS: dict[str, tuple[Mutant, tuple[str, ...]]] = {
    "nobody needs an account": (
        without(
            auth._guard_person,
            "if user is None:\n        raise SignInNeeded",
            "if user is None: return",
        ),
        ("/account", "/admin"),
    ),
    "everybody is an admin": (without(IS_ADMIN, 'self.role == "admin"', "True"), ("/admin",)),
    "admin pages are for users": (
        without(auth._guard_person, 'kind != "admin" or not user.is_admin', "False"),
        ("/admin",),
    ),
    "a domain is nobody's": (
        without(auth._guard_person, "domain and domain not in user.domains", "False"),
        ("user:",),
    ),
    "domains of a person are not read": (
        without(sessions._domains, "for name in enabled if name in allowed", "for name in enabled"),
        ("user:",),
    ),
    "the proof never grows old": (
        without(auth.is_fresh, "< FRESH", "< FRESH * 1000"),
        ("/admin", "/account/security"),
    ),
    "no page asks for a fresh proof": (
        without(auth._guard_person, "fresh or kind", "kind"),
        ("/account/security",),
    ),
    "the strangers' door is open to all": (
        without(
            auth._guard_person, "if user is not None:\n            raise AlreadySignedIn", "pass"
        ),
        ("/login", "/join"),
    ),
    "half a sign-in is a whole one": (
        without(SessionMiddleware.__call__, "visit.auth_level > 0", "visit.auth_level >= 0"),
        ("/account",),
    ),
    "a session never ends": (
        without(sessions.read_session, 'row["expiresAt"] <= clock.text(now) or ', ""),
        ("/account",),
    ),
    "a disabled account goes on": (
        without(sessions.read_session, 'or not row["is_active"] ', ""),
        ("/account",),
    ),
    "any token opens the API": (
        without(Bearer.may, "if scope not in self.scopes:\n        return False", "pass"),
        ("/api/v1",),
    ),
    "a token may more than its owner": (
        without(Bearer.may, "place in _ACCOUNT_SCOPES or place in self.user.domains", "True"),
        ("/api/v1",),
    ),
    "an admin's scope for everybody": (
        without(Bearer.may, "return self.user.is_admin", "return True"),
        ("/api/v1",),
    ),
    "a token of a disabled person lives": (
        both(
            asking(tokens, "_READ", "u.is_active = 1 AND ", ""),
            without(sessions.read_owner, 'not row["is_active"] or ', ""),
        ),
        ("/api/v1",),
    ),
    "the API asks for no token": (
        without(
            auth.guard,
            "if not isinstance(bearer, Bearer):\n            raise TokenNeeded",
            "return",
        ),
        ("/api/v1",),
    ),
    "a token opens pages": (asking(bearer, "PLACES", "/metrics", "/"), ("/account",)),
}


@pytest.mark.feature("X-30")
@pytest.mark.parametrize("name", GUARDS)
async def test_without_this_guard_the_matrix_is_red(town: Town, name: str) -> None:
    mutant, words = GUARDS[name]
    some = of(*words)
    with mutant():
        wrong = await survey(town, ACTORS, some, enough=1)
    assert wrong, f"{name}: nobody noticed"


OWNERS: dict[str, tuple[Mutant, str]] = {
    "tickets": (
        without(library.own_row, "id = ? AND user_id = ?", "id = ? AND ? IS NOT NULL"),
        "{ticket_id}",
    ),
    "jobs": (
        without(job.visible, "(:owner IS NULL OR j.ownerUserId = :owner)", ":owner IS NOT NULL"),
        "/jobs/{job_id}",
    ),
    "devices of tickets": (
        without(devices.get_device, "id = ? AND user_id = ?", "id = ? AND ? IS NOT NULL"),
        "{profile_id}",
    ),
    "devices of firmware": (
        without(firmware_devices.get_device, "id = ? AND user_id = ?", "id = ? AND ? <> ''"),
        "/firmware/devices/{device_id}",
    ),
    "tokens": (
        without(tokens.revoke_token, "id = ? AND user_id = ?", "id = ? AND ? <> ''"),
        "{token}",
    ),
}


@pytest.mark.feature("X-30")
@pytest.mark.parametrize("name", OWNERS)
async def test_without_the_owner_in_the_query_the_matrix_is_red(town: Town, name: str) -> None:
    mutant, place = OWNERS[name]
    some = [door for door in DOORS if place in door.path]
    with mutant():
        assert await strangeness(town, "other", some, enough=1), f"{name}: nobody noticed"


@pytest.mark.feature("X-40")
async def test_without_the_check_of_origins_a_foreign_form_is_taken(town: Town) -> None:
    door = next(door for door in DOORS if door.path == "/admin/invites" and door.method == "POST")
    evil = "https://evil.example"
    assert (await town.knock(door, "admin", Origin=evil)).status_code == 403
    blind = mutated(origin.Origin._fault, "if not origins:", "return ''\n    if not origins:")
    with blind:
        assert (await town.knock(door, "admin", Origin=evil)).status_code == 200


async def test_with_every_guard_in_its_place_the_same_doors_are_green(town: Town) -> None:
    """The control: red above is the doing of the mutation."""
    words = {word for _, some in GUARDS.values() for word in some}
    assert await survey(town, ACTORS, of(*words)) == []
    await town.plant()
    assert await strangeness(town, "other") == []
