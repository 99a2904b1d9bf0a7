"""People's own devices: what they are, what they run, whether to watch for updates."""

from datetime import timedelta
from typing import Any

import apsw
import msgspec

from app.core.errors import Conflict, Invalid, NotFound
from app.core.i18n import _
from app.firmware import imei as imeis
from app.firmware import settings, versions
from app.firmware.service import lookup, wishes
from db import clock
from db.engine import DB

AFTER = timedelta(hours=23)


class DeviceForm(msgspec.Struct, kw_only=True):
    """A device as typed. `answer`: what the phone said to AT+DEVCONINFO, in place of the rest."""

    nickname: str = ""
    model: str = ""
    csc: str = ""
    imei: str = ""
    serial: str = ""
    device_version: str = ""
    answer: str = ""
    watch: bool = False
    auto_fetch: bool = False


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device as its owner sees it. `imei` and `serial` are masked."""

    id: int
    name: str
    nickname: str
    model: str
    csc: str
    imei: str
    serial: str
    device_version: str
    watch: bool
    auto_fetch: bool
    last_checked_at: str | None
    latest_seen: str

    @property
    def has_update(self) -> bool:
        """Whether a newer version than the device's was seen."""
        return bool(self.latest_seen and self.latest_seen != self.device_version)


async def list_devices(user_id: str, *, limit: int = -1, offset: int = 0) -> list[Device]:
    """A person's devices, by name; all, or one page."""
    rows = await DB.all(
        "SELECT * FROM firmware_devices WHERE user_id = ?"
        " ORDER BY lower(coalesce(nickname, model)), id LIMIT ? OFFSET ?",
        (user_id, limit, offset),
    )
    return [_shown(row) for row in rows]


async def count_devices(user_id: str) -> int:
    """How many devices a person has."""
    sql = "SELECT count(*) FROM firmware_devices WHERE user_id = ?"
    return int(await DB.value(sql, (user_id,)))


async def get_device(user_id: str, device_id: int) -> Device:
    """One device of this person; NotFound for any other."""
    row = await DB.one(
        "SELECT * FROM firmware_devices WHERE id = ? AND user_id = ?",
        (min(device_id, 2**62), user_id),
    )
    if row is None:
        raise NotFound
    return _shown(row)


async def save_device(user_id: str, form: DeviceForm, device_id: int | None = None) -> int:
    """Add or change a device; its id. An empty IMEI keeps the stored one. Raises Invalid."""
    values = tidy(form)
    try:
        if device_id is not None:
            await get_device(user_id, device_id)
            await DB.execute(
                "UPDATE firmware_devices SET nickname=:nickname, model=:model, csc=:csc,"
                " imei=coalesce(:imei, imei), serial=coalesce(:serial, serial),"
                " device_version=:device_version, watch=:watch, auto_fetch=:auto_fetch"
                " WHERE id=:id AND user_id=:user",
                {**values, "id": device_id, "user": user_id},
            )
            return device_id
        return int(
            await DB.value(
                "INSERT INTO firmware_devices (user_id, nickname, model, csc, imei, serial,"
                " device_version, watch, auto_fetch) VALUES (:user, :nickname, :model, :csc,"
                " :imei, :serial, :device_version, :watch, :auto_fetch) RETURNING id",
                {**values, "user": user_id},
            )
        )
    except apsw.ConstraintError as error:
        raise Conflict(_("This device is in your list already.")) from error


async def keep_number(user_id: str, form: DeviceForm) -> int | None:
    """The device behind a look-up with an IMEI or serial, added if needed; None without one."""
    values = tidy(form)
    if not (values["imei"] or values["serial"]):
        return None
    found = await DB.value(
        "SELECT id FROM firmware_devices WHERE user_id = ? AND model = ? AND csc = ?"
        " AND (imei = ? OR (? IS NULL AND serial = ?))",
        (user_id, values["model"], values["csc"], values["imei"], values["imei"], values["serial"]),
    )
    return int(found) if found else await save_device(user_id, form)


async def delete_device(user_id: str, device_id: int) -> None:
    """Forget a device with its numbers."""
    await get_device(user_id, device_id)
    await DB.execute("DELETE FROM firmware_devices WHERE id = ?", (device_id,))


async def check_watched() -> int:
    """Ask for the lists of watched devices not asked for a day; fetch what is to be fetched."""
    rows = await DB.all(
        "SELECT DISTINCT model, substr(csc, 1, 3) AS csc FROM firmware_devices WHERE watch = 1"
        " AND (last_checked_at IS NULL OR last_checked_at < ?)",
        (clock.text(clock.now() - AFTER),),
    )
    for row in rows:
        await lookup.order_check(row["model"], row["csc"], owner=None, watch=True)
    await _fetch_new()
    return len(rows)


async def _fetch_new() -> None:
    """Order what was found for devices that fetch by themselves; once per version."""
    if not await settings.get("confirmed"):
        return
    rows = await DB.all(
        "SELECT d.* FROM firmware_devices d WHERE d.watch = 1 AND d.auto_fetch = 1"
        " AND d.latest_seen IS NOT NULL AND d.latest_seen <> coalesce(d.device_version, '')"
        " AND NOT EXISTS (SELECT 1 FROM firmware_requests r WHERE r.device_id = d.id"
        " AND r.wanted_version = d.latest_seen)"
    )
    for row in rows:
        csc = row["csc"][:3]
        await wishes.order(
            row["user_id"], row["model"], csc, row["latest_seen"], device_id=row["id"], watch=True
        )


def tidy(form: DeviceForm) -> dict[str, Any]:
    """The columns of a form; Invalid names every field that cannot be taken."""
    errors: dict[str, str] = {}
    values: dict[str, Any] = {}
    if form.answer.strip():
        told = imeis.parse_answer(form.answer)
        form = msgspec.structs.replace(
            form,
            model=told.model,
            csc=told.csc,
            imei=told.imei or form.imei,
            serial=told.serial or form.serial,
            device_version=told.version,
        )
    for name, tool in (
        ("model", imeis.tidy_model),
        ("csc", lambda text: imeis.tidy_csc(text)[0]),
        ("imei", imeis.tidy_imei),
        ("serial", imeis.tidy_serial),
        ("device_version", _tidy_version),
    ):
        try:
            values[name] = tool(getattr(form, name)) or None
        except Invalid as error:
            errors |= error.fields
    if errors:
        raise Invalid(**errors)
    nickname = form.nickname.strip()[:80] or None
    flags = {"watch": int(form.watch), "auto_fetch": int(form.auto_fetch)}
    return {**values, "nickname": nickname, **flags}


def look_at(form: DeviceForm) -> dict[str, str]:
    """What is wrong with a form so far, by field; nothing is kept, asked or written down."""
    try:
        tidy(form)
    except Invalid as error:
        return dict(error.fields)
    return {}


def _tidy_version(text: str) -> str:
    if not text.strip():
        return ""
    try:
        return versions.normalise(text)
    except ValueError as error:
        raise Invalid(device_version=_("A version needs all its parts: AP/CSC/CP.")) from error


def _shown(row: dict[str, Any]) -> Device:
    return Device(
        id=row["id"],
        name=row["nickname"] or row["model"],
        nickname=row["nickname"] or "",
        model=row["model"],
        csc=row["csc"],
        imei=imeis.mask(row["imei"]),
        serial=imeis.mask(row["serial"]),
        device_version=row["device_version"] or "",
        watch=bool(row["watch"]),
        auto_fetch=bool(row["auto_fetch"]),
        last_checked_at=row["last_checked_at"],
        latest_seen=row["latest_seen"] or "",
    )
