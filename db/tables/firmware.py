"""Firmware: versions and their files, queries by IMEI, watched devices, who waits for what."""

from enum import StrEnum

from piccolo.columns import Integer, Serial, Text
from piccolo.table import Table

from db import clock
from db.engine import DB


class FirmwareState(StrEnum):
    """What lies on disk now, or is being done about it."""

    NEW = "new"
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    VERIFYING = "verifying"
    PARTIAL = "partial"
    READY = "ready"
    FAILED = "failed"
    EVICTED = "evicted"


class FusStatus(StrEnum):
    """How the servers answered a query; `unknown`: only the version list was asked so far."""

    OK = "ok"
    ERROR = "error"
    DENIED = "denied"
    UNAUTHORIZED = "unauthorized"
    THROTTLED = "throttled"
    UNKNOWN = "unknown"


class RequestStatus(StrEnum):
    """Where somebody's wish for a version stands."""

    QUEUED = "queued"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Firmware(Table, tablename="firmware", db=DB):
    """One version. The three flags are milestones; `state` is what lies on disk now."""

    id: Serial
    version_code = Text(help_text="PDA/CSC/PHONE/DATA")
    filename = Text()
    path = Text()
    size_bytes = Integer(help_text="of the encrypted file")
    logic_value_factory = Text()
    latest_fw_version = Text(help_text="the version as the key is made of it")
    downloaded = Integer()
    decrypted = Integer()
    extracted = Integer()
    created_at = Text(default=clock.text)
    updated_at = Text(default=clock.text)
    state = Text(default="new", choices=FirmwareState)
    crc32 = Integer(null=True, default=None)
    enc_version = Integer(default=4)
    binary_nature = Integer(default=1)
    model = Text(null=True, default=None)
    csc = Text(null=True, default=None)
    model_type = Text(null=True, default=None)
    os_name = Text(null=True, default=None)
    display_name = Text(null=True, default=None)
    released_at = Text(null=True, default=None)
    bytes_done = Integer()
    zip_present = Integer()
    content_md5 = Text(null=True, default=None)
    last_used_at = Text(null=True, default=None)
    pinned = Integer()
    error_code = Text(null=True, default=None)
    error_text = Text(null=True, default=None)


class ImeiLog(Table, tablename="imei_log", db=DB):
    """Half of a query: `unknown` when the version was found, the outcome later."""

    id: Serial
    imei = Text(secret=True, help_text="shown masked")
    model = Text()
    csc = Text()
    version_code = Text()
    status_fus = Text(default="unknown", choices=FusStatus)
    status_upgrade = Text(default="unknown")
    created_at = Text(default=clock.text)
    upgrade_at = Text(null=True, default=None)
    csc_all = Text(null=True, default=None)
    user_id = Text(null=True, default=None)
    firmware_id = Integer(null=True, default=None)
    request_id = Text(null=True, default=None)
    device_version = Text(null=True, default=None)
    serial_number = Text(null=True, default=None, secret=True)
    lock_status = Text(null=True, default=None)
    aid = Text(null=True, default=None)
    cc = Text(null=True, default=None)
    fus_code = Text(null=True, default=None)
    anonymised_at = Text(null=True, default=None)


class FirmwareComponent(Table, tablename="firmware_components", db=DB):
    """A part of a version; `present` is what lies on disk now."""

    id: Serial
    firmware_id = Integer()
    filename = Text()
    part = Text()
    size_bytes = Integer()
    packed_size = Integer(null=True, default=None)
    zip_offset = Integer(null=True, default=None)
    method = Integer(null=True, default=None)
    zip_crc32 = Integer(null=True, default=None)
    md5sum = Text(null=True, default=None, help_text="what the footer says")
    md5sum_file = Text(null=True, default=None, help_text="of the whole file, footer included")
    md5_ok = Integer(null=True, default=None)
    present = Integer()
    created_at = Text(default=clock.text)


class FirmwareSegment(Table, tablename="firmware_segments", db=DB):
    """Progress of one piece of a download."""

    firmware_id = Integer(primary_key=True)
    idx = Integer(primary_key=True)
    start = Integer()
    length = Integer()
    done = Integer()
    crc32 = Integer()


class FirmwareTarget(Table, tablename="firmware_targets", db=DB):
    """A model and region that a version serves."""

    firmware_id = Integer(primary_key=True)
    model = Text(primary_key=True)
    csc = Text(primary_key=True)
    last_seen = Text(default=clock.text)


class FirmwareDevice(Table, tablename="firmware_devices", db=DB):
    """Somebody's own device."""

    id: Serial
    user_id = Text()
    nickname = Text(null=True, default=None)
    model = Text()
    csc = Text()
    imei = Text(null=True, default=None, secret=True)
    serial = Text(null=True, default=None, secret=True)
    device_version = Text(null=True, default=None)
    watch = Integer()
    auto_fetch = Integer()
    last_checked_at = Text(null=True, default=None)
    latest_seen = Text(null=True, default=None)
    created_at = Text(default=clock.text)


class FirmwareRequest(Table, tablename="firmware_requests", db=DB):
    """Who waits for what."""

    id: Serial
    user_id = Text()
    firmware_id = Integer(null=True, default=None)
    device_id = Integer(null=True, default=None)
    model = Text()
    csc = Text()
    wanted_version = Text(null=True, default=None)
    parts = Text(default="all")
    query_id = Text(null=True, default=None, help_text="the pair of imei_log rows it belongs to")
    status = Text(default="queued", choices=RequestStatus)
    job_id = Text(null=True, default=None)
    created_at = Text(default=clock.text)
    finished_at = Text(null=True, default=None)


class FirmwareVersion(Table, tablename="firmware_versions", db=DB):
    """A version the servers listed."""

    model = Text(primary_key=True)
    csc = Text(primary_key=True)
    version_code = Text(primary_key=True)
    sequence = Integer(null=True, default=None)
    os_name = Text(null=True, default=None)
    opened_at = Text(null=True, default=None)
    kind = Text(default="stable")
    source = Text()
    seen_at = Text(default=clock.text)


TABLES: list[type[Table]] = [
    Firmware,
    ImeiLog,
    FirmwareComponent,
    FirmwareSegment,
    FirmwareTarget,
    FirmwareDevice,
    FirmwareRequest,
    FirmwareVersion,
]
