"""Firmware: the checks of its document, and two log rows per query."""

from typing import Any

import apsw
import pytest

from tests.db.constraints.rows import VERSION, a_firmware, a_user, insert


@pytest.mark.parametrize(
    "values",
    [
        {"version_code": "A/B/C"},
        {"version_code": "A/B/C/D/E"},
        {"downloaded": 2},
        {"decrypted": -1},
        {"extracted": 7},
        {"state": "gone"},
        {"enc_version": 3},
        {"crc32": 2**32},
    ],
)
def test_a_bad_firmware_is_refused(live: apsw.Connection, values: dict[str, Any]) -> None:
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        a_firmware(live, **values)


def test_a_version_and_a_device_stand_once(live: apsw.Connection) -> None:
    a_firmware(live)
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        a_firmware(live)
    device = {"user_id": a_user(live), "model": "SM-S911B", "csc": "DBT"}
    insert(live, "firmware_devices", **device)
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(live, "firmware_devices", **device)
    insert(live, "firmware_devices", **device, imei="356938035643809")


@pytest.mark.parametrize(
    "values", [{"csc": "DB"}, {"csc": "EUX/FTM"}, {"status_fus": "failed"}, {"status_upgrade": "x"}]
)
def test_a_bad_query_is_refused(live: apsw.Connection, values: dict[str, Any]) -> None:
    row = {"imei": "1", "model": "SM-S911B", "csc": "DBT", "version_code": VERSION}
    insert(live, "imei_log", **row)
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        insert(live, "imei_log", **{**row, **values})


def test_a_query_is_asked_once_and_answered_once(live: apsw.Connection) -> None:
    row = {"imei": "1", "model": "SM-S911B", "csc": "DBT", "version_code": VERSION}
    for status, again in (("unknown", "unknown"), ("denied", "ok")):
        insert(live, "imei_log", request_id="r1", status_fus=status, **row)
        with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
            insert(live, "imei_log", request_id="r1", status_fus=again, **row)
