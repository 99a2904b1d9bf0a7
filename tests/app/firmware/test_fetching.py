"""Whole downloads: the program, its worker and the stand-in over real HTTP."""

import hashlib
import zipfile
from typing import Any

import pytest

from app.demo.fus.serve import Fus
from app.firmware.service import asking, library, records, upkeep, wishes
from db.engine import DB
from tests.app.firmware import site
from tests.app.firmware.test_lines import large
from tests.app.house import House

pytestmark = pytest.mark.anyio

__all__ = ["large"]


async def ready(house: House, fus: Fus, **more: Any) -> tuple[str, str]:
    user = await house.person("jana", flags='{"domains": ["firmware"]}')
    await site.point_at(fus, **more)
    return user, await site.newest(user)


@pytest.mark.feature("F-26", "F-27", "F-28", "F-32", "F-33", "F-35")
async def test_one_pass_brings_verified_parts_and_no_byte_twice(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    await site.order(user, version)
    row = await site.fetched(version)
    assert (row["downloaded"], row["decrypted"], row["extracted"]) == (1, 1, 1)
    assert row["content_md5"]
    archive = records.zip_file(row["id"])
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.testzip() is None
        for part in await records.list_parts(row["id"]):
            data = (records.parts_folder(row["id"]) / part.filename).read_bytes()
            assert data == zipped.read(part.filename)
            body, _, line = data.rpartition(b"\0")
            tar = body + b"\0"
            assert hashlib.md5(tar, usedforsecurity=False).hexdigest() == part.md5sum
            assert line.startswith((part.md5sum or "").encode())
            assert part.md5_ok == 1
    stats = site.file_stats(fus)
    assert (stats["bytes"], stats["again"]) == (row["size_bytes"], 0)


@pytest.mark.feature("F-40", "F-41")
async def test_five_people_share_one_download(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    people = [user, *[await house_of.person(f"p{n}") for n in range(4)]]
    for person in people:
        await site.order(person, version)
    row = await site.fetched(version)
    states = await DB.all("SELECT status FROM firmware_requests")
    assert [each["status"] for each in states] == ["ready"] * 5
    assert site.file_stats(fus)["bytes"] == row["size_bytes"]
    informs = fus.stats()["requests"]["/NF_SmartDownloadBinaryInform.do"]
    late = await house_of.person("late")
    await site.order(late, version)
    assert (
        await DB.value("SELECT status FROM firmware_requests WHERE user_id = ?", (late,)) == "ready"
    )
    assert fus.stats()["requests"]["/NF_SmartDownloadBinaryInform.do"] == informs


@pytest.mark.feature("F-36")
async def test_chosen_parts_alone_are_fetched_and_the_rest_later(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    await site.order(user, version, parts=("BL", "CSC"))
    row = await site.fetched(version, "partial")
    parts = await records.list_parts(row["id"])
    assert {part.part for part in parts if part.present} == {"BL", "CSC"}
    assert (row["downloaded"], row["extracted"]) == (0, 0)
    assert site.file_stats(fus)["bytes"] < row["size_bytes"] / 3
    await site.order(user, version)
    row = await site.fetched(version)
    stats = site.file_stats(fus)
    assert stats["again"] == 0
    assert stats["bytes"] == row["size_bytes"]


@pytest.mark.feature("F-23")
async def test_a_token_that_expires_mid_way_costs_nothing(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario("expire", times=1, after=900_000)
    await site.order(user, version)
    row = await site.fetched(version)
    assert site.file_stats(fus)["again"] <= 6 * 256 * 1024
    assert row["error_code"] is None


@pytest.mark.feature("F-24")
@pytest.mark.parametrize("name", ["ignore_range"])
async def test_a_server_that_ignores_ranges_is_read_from_the_start(
    house_of: House, fus: Fus, name: str
) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario(name)
    await site.order(user, version)
    row = await site.fetched(version)
    assert records.zip_file(row["id"]).stat().st_size <= row["size_bytes"]


@pytest.mark.feature("F-24")
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("wrong_range", {"times": 2}),
        ("no_content_range", {"times": 2}),
        ("overrun", {"after": 5000}),
        ("short_range", {"after": 300_000}),
    ],
)
async def test_a_range_that_is_not_the_one_asked_for_is_never_written(
    house_of: House, fus: Fus, name: str, params: dict[str, int]
) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario(name, **params)
    await site.order(user, version)

    async def done() -> bool:
        await site.hurry()
        return await site.state_of(version) == "ready"

    if name == "overrun":  # never the range asked for: nothing is taken, and it stays put off
        await site.until(lambda: DB.value("SELECT 1 FROM queueJobs WHERE lastError LIKE 'asked%'"))
        fus.scenario("ok")
    await site.until(done, 30)
    row = await site.fetched(version)
    with zipfile.ZipFile(records.zip_file(row["id"])) as zipped:
        assert zipped.testzip() is None


@pytest.mark.feature("F-25")
async def test_a_block_page_is_never_written_into_the_file(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario("block_page", times=1, at="bytes", status=200)
    await site.order(user, version)

    async def blocked() -> bool:
        code = await DB.value("SELECT errorCode FROM queueJobs WHERE type = 'firmware.resolve'")
        return bool(code == "retry")

    await site.until(blocked)
    await site.hurry()
    row = await site.fetched(version)
    with zipfile.ZipFile(records.zip_file(row["id"])) as zipped:
        assert zipped.testzip() is None


@pytest.mark.feature("F-29")
async def test_a_damaged_range_is_fetched_once_more(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario("corrupt", times=1, offset=900_000)
    await site.order(user, version)
    await site.fetched(version)
    stats = site.file_stats(fus)
    assert 0 < stats["again"] < stats["once"]


@pytest.mark.parametrize(
    ("name", "params", "code"),
    [
        ("corrupt", {"offset": 900_000}, "bad_crc"),
        ("wrong_crc", {}, "bad_crc"),
        ("archive", {"kind": "bad_md5"}, "bad_md5"),
    ],
)
@pytest.mark.feature("F-29")
async def test_lasting_damage_ends_as_failed(
    house_of: House, fus: Fus, name: str, params: dict[str, Any], code: str
) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario(name, **params)
    await site.order(user, version)
    row = await site.fetched(version, "failed")
    assert row["error_code"] == code
    assert not records.parts_folder(row["id"]).exists()
    assert await DB.value("SELECT status FROM firmware_requests") == "failed"


@pytest.mark.feature("F-37")
async def test_another_served_version_is_shown_not_taken(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario("served_version")
    await site.order(user, version)

    async def refused() -> bool:
        return bool(await DB.value("SELECT status FROM firmware_requests") == "failed")

    await site.until(refused)
    assert await asking.mismatches(user, site.MODEL, site.CSC)
    assert not fus.stats()["files"]


@pytest.mark.feature("F-42")
async def test_a_download_is_paused_and_goes_on_at_its_bytes(house_of: House, fus: Fus) -> None:
    user, version = await ready(house_of, fus)
    fus.scenario("slow", rate=400_000)
    await site.order(user, version)
    row = await site.fetched(version, "downloading")

    async def some() -> bool:
        return bool((await library.get_card(user, row["id"])).done > 300_000)

    await site.until(some)
    await wishes.pause(user, row["id"], admin=False)
    row = await site.fetched(version, "paused")

    async def ended() -> bool:
        live = "SELECT count(*) FROM queueJobs WHERE type = 'firmware.fetch' AND state = 'running'"
        return bool(await DB.value(live) == 0)

    await site.until(ended)
    assert await DB.value("SELECT bytes_done FROM firmware") >= 300_000
    await wishes.resume(user, row["id"])
    await site.fetched(version, seconds=60)
    assert site.file_stats(fus)["again"] <= 6 * 256 * 1024


async def test_little_room_is_used_without_the_archive_and_none_is_refused(
    house_of: House, fus: Fus
) -> None:
    user, version = await ready(house_of, fus, min_free_mib=10**9)
    await site.order(user, version)
    row = await site.fetched(version)
    assert row["zip_present"] == 0
    assert len(list(records.parts_folder(row["id"]).iterdir())) == 5


@pytest.mark.feature("F-38")
async def test_in_little_room_a_pause_loses_what_was_let_go_and_no_more(
    house_of: House, large: Fus
) -> None:
    user, version = await ready(house_of, large, min_free_mib=10**9)
    large.scenario("slow", rate=700_000)
    await site.order(user, version)
    row = await site.fetched(version, "downloading")

    async def some() -> bool:
        return bool((await library.get_card(user, row["id"])).done > 6_000_000)

    await site.until(some)
    await wishes.pause(user, row["id"], admin=False)

    async def ended() -> bool:
        live = "SELECT count(*) FROM queueJobs WHERE type = 'firmware.fetch' AND state = 'running'"
        return bool(await DB.value(live) == 0)

    await site.until(ended)
    part = records.part_file(row["id"])
    held = int(await DB.value("SELECT sum(done) FROM firmware_segments"))
    assert part.stat().st_blocks * 512 < held
    large.scenario("ok")
    await wishes.resume(user, row["id"])
    row = await site.fetched(version)
    assert row["zip_present"] == 0
    assert all(part.md5_ok for part in await records.list_parts(row["id"]))
    lines = [str(line) for line in await DB.all("SELECT message FROM job_events")]
    assert not [line for line in lines if "damaged" in line]
    assert site.file_stats(large)["again"] < held


async def test_a_full_disk_pauses_and_goes_on_by_itself(house_of: House, fus: Fus) -> None:
    from db import failpoints

    user, version = await ready(house_of, fus)
    failpoints.arm("firmware_write:2:enospc")
    await site.order(user, version)
    row = await site.fetched(version, "paused")
    assert row["error_code"] == "disk_full"
    await site.hurry()
    await site.fetched(version)
    lines = [str(line) for line in await DB.all("SELECT message FROM job_events")]
    assert not [line for line in lines if "damaged" in line], "a half-written block was kept"


@pytest.mark.feature("F-51")
async def test_eviction_removes_files_first_and_repair_says_so_after_a_crash(
    house_of: House, fus: Fus
) -> None:
    user, version = await ready(house_of, fus)
    await site.order(user, version)
    row = await site.fetched(version)
    from db import failpoints

    failpoints.arm("firmware_evicted:raise")
    with pytest.raises(failpoints.FailpointHit):
        await upkeep.evict(row["id"])
    assert await site.state_of(version) == "ready"
    assert await upkeep.repair() == 1
    assert await site.state_of(version) == "evicted"
    failpoints.arm("")
    await site.order(user, version)
    await site.fetched(version)
