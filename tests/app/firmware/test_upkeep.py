"""Devices and watching, numbers that expire, retention, repair, verifying, taking over."""

from pathlib import Path

import apsw
import pytest

from app.core import settings
from app.demo.fus.serve import Fus
from app.firmware.service import (
    devices,
    importing,
    leaving,
    lookup,
    queries,
    records,
    upkeep,
    verifying,
)
from app.firmware.service.devices import DeviceForm
from db import clock
from db.engine import DB
from tests.app.firmware import site
from tests.app.house import House

pytestmark = pytest.mark.anyio

IMEI = "352976245060855"
LONG_AGO = "2020-01-01T00:00:00.000Z"


async def have(house: House, fus: Fus) -> tuple[str, str, int]:
    """Somebody, and a version that is ready."""
    await site.rested()
    await site.point_at(fus)
    user = await house.person("jana")
    version = await site.newest(user)
    await site.order(user, version)
    return user, version, (await site.fetched(version))["id"]


@pytest.mark.feature("F-43", "F-44", "F-45")
async def test_a_watched_device_hears_of_an_update_once_and_fetches_it(
    house_of: House, fus: Fus
) -> None:
    await site.point_at(fus)
    user = await house_of.person("jana")
    old = "S921BXXUACYJ8/S921BOXMACYJ8/S921BXXUACYJ8/S921BXXUACYJ8"
    form = DeviceForm(model="SM-S921B", csc="EUX", device_version=old, watch=True, auto_fetch=True)
    await devices.save_device(user, form)
    assert await devices.check_watched() == 1

    async def seen() -> bool:
        return bool(await DB.value("SELECT latest_seen FROM firmware_devices"))

    await site.until(seen)
    await devices.check_watched()
    version = await lookup.newest_version("SM-S921B", "EUX")
    assert version is not None
    await site.fetched(version)
    await devices.check_watched()
    assert await DB.value("SELECT count(*) FROM firmware_requests") == 1
    titles = await DB.all("SELECT title FROM notifications ORDER BY created_at")
    assert [row["title"].split()[0] for row in titles] == ["Update", "%(version)s"]


@pytest.mark.feature("F-50")
async def test_numbers_expire_and_go_with_the_account(house_of: House) -> None:
    await site.rested()
    user = await house_of.person("jana")
    form = DeviceForm(model="SM-S921B", csc="EUX", imei=IMEI)
    device = await devices.save_device(user, form)
    for name in ("old", "new"):
        await queries.note_asked(name, device, "A/B/C/D")
    await DB.execute("UPDATE imei_log SET created_at = ? WHERE request_id = 'old'", (LONG_AGO,))
    await DB.execute("UPDATE firmware_devices SET created_at = ?", (LONG_AGO,))
    assert await queries.forget_old(90) == 1
    kept = await DB.all("SELECT imei FROM imei_log ORDER BY request_id DESC")
    assert [row["imei"] for row in kept] == ["35297624*******", IMEI]
    assert await DB.value("SELECT imei FROM firmware_devices") is None
    exported = await leaving.export_account(user)
    assert IMEI.encode() not in b"".join(exported.values())
    async with DB.tx() as tx:
        await leaving.on_account_closed(tx, user)
    assert await DB.value("SELECT count(*) FROM firmware_devices") == 0
    assert await DB.value("SELECT count(*) FROM imei_log WHERE imei = ?", (IMEI,)) == 0


@pytest.mark.feature("F-46")
async def test_a_query_without_a_number_leaves_no_row(house_of: House) -> None:
    user = await house_of.person("jana")
    device = await devices.save_device(user, DeviceForm(model="SM-S921B", csc="EUX"))
    await queries.note_asked("q", device, "A/B/C/D")
    assert await DB.value("SELECT count(*) FROM imei_log") == 0


async def test_devices_of_others_are_not_there(house_of: House) -> None:
    jana, piet = await house_of.person("jana"), await house_of.person("piet")
    device = await devices.save_device(jana, DeviceForm(model="SM-S921B", csc="EUX"))
    browser = await house_of.browser(piet)
    assert (await browser.post(f"/firmware/devices/{device}/delete")).status_code == 404
    assert len(await devices.list_devices(jana)) == 1


@pytest.mark.feature("F-51")
async def test_retention_spares_what_is_pinned_or_newest(house_of: House, fus: Fus) -> None:
    _user, version, firmware_id = await have(house_of, fus)
    await DB.execute("UPDATE firmware SET last_used_at = ?", (LONG_AGO,))
    assert await upkeep.retain() == 0  # the newest of its target
    await settings.put("firmware.keep_latest_per_target", 0, None, actor_kind="system")
    await upkeep.pin(firmware_id, pinned=True)
    assert await upkeep.retain() == 0
    await upkeep.pin(firmware_id, pinned=False)
    assert await upkeep.retain() == 1
    assert await site.state_of(version) == "evicted"


@pytest.mark.feature("F-51")
async def test_the_archive_goes_before_the_parts(house_of: House, fus: Fus) -> None:
    _user, version, firmware_id = await have(house_of, fus)
    most = upkeep.used_bytes() - 1000
    await settings.put("firmware.max_bytes", most, None, actor_kind="system")
    assert await upkeep.retain() == 1
    assert not records.zip_file(firmware_id).exists()
    assert await site.state_of(version) == "ready"


async def test_repair_removes_files_of_nobody(house_of: House) -> None:
    await site.rested()
    orphan = records.home() / "77.zip.part"
    orphan.write_bytes(b"x")
    other = records.home() / "notes.txt"
    other.write_bytes(b"x")
    assert await upkeep.repair() == 1
    assert not orphan.exists()
    assert other.exists()


@pytest.mark.feature("F-52")
async def test_verifying_finds_a_flipped_byte(house_of: House, fus: Fus) -> None:
    user, version, firmware_id = await have(house_of, fus)
    part = (await records.list_parts(firmware_id))[0]
    path = records.parts_folder(firmware_id) / part.filename

    async def checked() -> bool:
        return bool(
            await DB.value(
                "SELECT min(state <> 'queued' AND state <> 'running') FROM queueJobs"
                " WHERE type = 'firmware.verify'"
            )
        )

    await verifying.order_verify(user, firmware_id)
    await site.until(checked)
    assert await site.state_of(version) == "ready"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    await verifying.order_verify(user, firmware_id)
    row = await site.fetched(version, "failed")
    assert part.filename in row["error_text"]


async def test_what_another_database_computes_is_not_taken_over(
    house_of: House, tmp_path: Path
) -> None:
    # A view is a program of whoever made the file, and need not end.
    connection = apsw.Connection(str(tmp_path / "firmware.db"))
    connection.execute(
        "CREATE VIEW imei_log AS SELECT 1 AS id, '350000000000006' AS imei, 'SM-S921B' AS model,"
        " 'EUX' AS csc, 'A/B/C/D' AS version_code, 'ok' AS status_fus,"
        " '2026-11-01 10:00:00' AS created_at;"
        "CREATE TABLE firmware (id INTEGER PRIMARY KEY, version_code TEXT, filename TEXT)"
    )
    connection.close()
    admin = await house_of.person("ada", role="admin")
    asked = await importing.order_import(
        str(tmp_path / "firmware.db"), "", dry_run=False, actor=admin
    )

    async def over() -> bool:
        return bool(await DB.value("SELECT finishedAt FROM queueJobs WHERE id = ?", (asked.id,)))

    await site.until(over)
    assert not await DB.value("SELECT count(*) FROM imei_log")


@pytest.mark.feature("F-62")
async def test_the_origins_database_is_taken_over_twice_without_doubles(
    house_of: House, tmp_path: Path
) -> None:
    source, folder = tmp_path / "firmware.db", tmp_path / "data"
    version = "S921BXXUACYJ8/S921BOXMACYJ8/S921BXXUACYJ8/S921BXXUACYJ8"
    connection = apsw.Connection(str(source))
    connection.execute(
        "CREATE TABLE firmware (id INTEGER PRIMARY KEY, version_code TEXT, filename TEXT,"
        " path TEXT, size_bytes INTEGER, logic_value_factory TEXT, latest_fw_version TEXT);"
        "CREATE TABLE imei_log (id INTEGER PRIMARY KEY, imei TEXT, model TEXT, csc TEXT,"
        " version_code TEXT, status_fus TEXT, created_at TEXT)"
    )
    connection.execute(
        "INSERT INTO firmware VALUES (1, ?, 'SM.zip.enc4', '/n/', 16, 'x', ?)", (version, version)
    )
    connection.execute(
        "INSERT INTO imei_log VALUES (1, ?, 'SM-S921B', 'EUX/FTM', ?, 'ok', '2026-11-01 10:00:00'),"
        " (2, ?, 'SM-S921B', 'EUX', 'broken', 'ok', '2026-11-01 10:00:00')",
        (IMEI, version, IMEI),
    )
    connection.close()
    part = folder / "decrypted" / "SM" / "AP_x.tar.md5"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"image")
    admin = await house_of.person("ada", role="admin")
    for _ in range(2):
        await importing.order_import(str(source), str(folder), dry_run=False, actor=admin)

        async def over() -> bool:
            live = "SELECT count(*) FROM queueJobs WHERE type = 'firmware.import' AND state IN"
            return not await DB.value(f"{live} ('queued', 'running')")

        await site.until(over)
    rows = await DB.all("SELECT version_code, state FROM firmware")
    assert rows == [{"version_code": version, "state": "ready"}]
    logged = await DB.all("SELECT csc, csc_all, status_fus FROM imei_log")
    assert logged == [{"csc": "EUX", "csc_all": "EUX/FTM", "status_fus": "ok"}]
    assert clock.parse(str(await DB.value("SELECT created_at FROM imei_log"))).year == 2026
    stored = records.parts_folder(int(await DB.value("SELECT id FROM firmware"))) / "AP_x.tar.md5"
    assert stored.read_bytes() == b"image"
