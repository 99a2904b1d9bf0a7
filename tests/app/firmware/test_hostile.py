"""Archives that lie, and archives that are merely unusual: each ends in the state it should."""

from typing import Any

import pytest

from app.demo.fus.serve import Fus
from app.firmware.service import records
from db.engine import DB
from tests.app.firmware import site
from tests.app.house import House

pytestmark = pytest.mark.anyio


async def outcome(house: House, fus: Fus, **params: Any) -> tuple[str, str]:
    """State of the version (or of the request, where no version is known) and the code."""
    await site.point_at(fus)
    user = await house.person("jana")
    version = await site.newest(user)
    name = params.pop("scenario", "archive")
    fus.scenario(name, **params)
    await site.order(user, version)

    async def ended() -> str:
        state = await DB.value("SELECT status FROM firmware_requests")
        return "" if state == "queued" else str(state)

    status = await site.until(ended, 30)
    code = await DB.value(
        "SELECT errorCode FROM queueJobs WHERE state = 'failed' ORDER BY finishedAt DESC LIMIT 1"
    )
    return status, code or ""


@pytest.mark.feature("F-39")
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("bad_member_crc", "bad_crc"),
        ("damaged", "bad_crc"),
        ("no_end", "bad_archive"),
        ("not_zip", "wrong_key"),
        ("wrong_key", "wrong_key"),
        ("odd_size", "bad_size"),
        ("bomb", "bad_archive"),
        ("lying_bomb", "bad_crc"),
        ("overlap", "bad_archive"),
        ("many", "bad_archive"),
        ("hostile_name", "unsafe_name"),
        ("duplicate", "bad_archive"),
        ("foreign", "other_version"),
    ],
)
async def test_a_bad_archive_fails_and_leaves_no_part(
    house_of: House, fus: Fus, kind: str, code: str
) -> None:
    status, found = await outcome(house_of, fus, kind=kind)
    assert (status, found) == ("failed", code)
    left = [path for path in records.home().iterdir() if not path.name.endswith(".part")]
    assert left == []


@pytest.mark.feature("F-34")
@pytest.mark.parametrize("kind", ["stored", "zip64", "descriptors", "pit", "no_md5", "bad_padding"])
async def test_an_unusual_archive_is_taken(house_of: House, fus: Fus, kind: str) -> None:
    assert await outcome(house_of, fus, kind=kind) == ("ready", "")


@pytest.mark.feature("F-14", "F-34")
async def test_an_old_phones_enc2_file_is_fetched_and_right(house_of: House, fus: Fus) -> None:
    await site.point_at(fus)
    user = await house_of.person("jana")
    version = await site.newest(user, "GT-I9300", "DBT")
    await site.order(user, version, model="GT-I9300", csc="DBT")
    row = await site.fetched(version)
    assert row["enc_version"] == 2
    parts = await records.list_parts(row["id"])
    assert parts
    assert all(part.md5_ok for part in parts)


async def test_an_unsafe_file_name_is_refused(house_of: House, fus: Fus) -> None:
    status = await outcome(house_of, fus, scenario="binary_name")
    assert status == ("failed", "unsafe_name")


@pytest.mark.parametrize("size", [0, 17, 70 * 1024**3])
async def test_impossible_sizes_are_refused(house_of: House, fus: Fus, size: int) -> None:
    status, code = await outcome(house_of, fus, scenario="binary_size", size=size)
    assert status == "failed"
    assert code in ("bad_size", "no_file")


@pytest.mark.feature("F-48")
@pytest.mark.parametrize(
    ("said", "code"), [("400", "fus_400"), ("408", "fus_408"), ("F01", "fus_f01")]
)
async def test_refusals_are_permanent_and_named(
    house_of: House, fus: Fus, said: str, code: str
) -> None:
    assert await outcome(house_of, fus, scenario="status", code=said) == ("failed", code)
