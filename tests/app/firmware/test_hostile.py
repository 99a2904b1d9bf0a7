"""Archives that lie, and archives that are merely unusual: each ends in the state it should."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.demo.fus.serve import Fus
from app.firmware.service import records
from db.engine import DB
from tests.app.firmware import site
from tests.app.house import House, running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def street(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One program for all archives of this file: what one leaves is cleared before the next."""
    folder = tmp_path_factory.mktemp("street") / "data"
    folder.mkdir(mode=0o700)
    async with running(Path(shutil.copy(migrated, folder / "holdfast.db"))) as house:
        await house.person("jana")
        await site.rested()
        yield house


async def afresh(house: House, fus: Fus) -> str:
    """No version, no request, no job and no file; somebody to ask for one."""
    for table in ("firmware_requests", "firmware", "firmware_versions", "queueJobs"):
        await DB.execute(f"DELETE FROM {table}")
    for path in records.home().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    await site.point_at(fus)
    return str(await DB.value("SELECT id FROM users"))


async def outcome(house: House, fus: Fus, **params: Any) -> tuple[str, str]:
    """State of the version (or of the request, where no version is known) and the code."""
    user = await afresh(house, fus)
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
    street: House, fus: Fus, kind: str, code: str
) -> None:
    status, found = await outcome(street, fus, kind=kind)
    assert (status, found) == ("failed", code)
    left = [path for path in records.home().iterdir() if not path.name.endswith(".part")]
    assert left == []


@pytest.mark.feature("F-34")
@pytest.mark.parametrize("kind", ["stored", "zip64", "descriptors", "pit", "no_md5", "bad_padding"])
async def test_an_unusual_archive_is_taken(street: House, fus: Fus, kind: str) -> None:
    assert await outcome(street, fus, kind=kind) == ("ready", "")


@pytest.mark.feature("F-14", "F-34")
async def test_an_old_phones_enc2_file_is_fetched_and_right(street: House, fus: Fus) -> None:
    user = await afresh(street, fus)
    version = await site.newest(user, "GT-I9300", "DBT")
    await site.order(user, version, model="GT-I9300", csc="DBT")
    row = await site.fetched(version)
    assert row["enc_version"] == 2
    parts = await records.list_parts(row["id"])
    assert parts
    assert all(part.md5_ok for part in parts)


async def test_an_unsafe_file_name_is_refused(street: House, fus: Fus) -> None:
    status = await outcome(street, fus, scenario="binary_name")
    assert status == ("failed", "unsafe_name")


@pytest.mark.parametrize("size", [0, 17, 70 * 1024**3])
async def test_impossible_sizes_are_refused(street: House, fus: Fus, size: int) -> None:
    status, code = await outcome(street, fus, scenario="binary_size", size=size)
    assert status == "failed"
    assert code in ("bad_size", "no_file")


@pytest.mark.feature("F-48")
@pytest.mark.parametrize(
    ("said", "code"), [("400", "fus_400"), ("408", "fus_408"), ("F01", "fus_f01")]
)
async def test_refusals_are_permanent_and_named(
    street: House, fus: Fus, said: str, code: str
) -> None:
    assert await outcome(street, fus, scenario="status", code=said) == ("failed", code)
