"""What an admin looks at: the profile and whether it works, the disk, what the servers answered."""

import shutil
import time
from typing import Any

import msgspec

from app.core import settings as core
from app.core.errors import Upstream
from app.firmware import settings
from app.firmware.client import Client, Wish, newest
from app.firmware.outcomes import status_of_code
from app.firmware.service import records
from db import clock
from db.engine import DB

TEST_MODEL, TEST_CSC = "SM-S921B", "EUX"


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """How a test of the profile went. `code`: empty when all is well."""

    code: str
    detail: str
    ms: int


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Room: what firmware takes per model, what is free."""

    free: int
    total: int
    models: list[tuple[str, int]]


async def try_profile(model: str = TEST_MODEL, csc: str = TEST_CSC) -> Tested:
    """A nonce, the history, and one inform, as a download would ask. Never raises a fault."""
    began = time.monotonic()
    code = detail = ""
    try:
        profile = await settings.profile()
        async with Client(profile) as client:
            await client.nonce()
            if profile.protocol == "smart":
                latest = newest(await client.list_history(model, csc))
                if latest:
                    wish = Wish(model=model, csc=csc, version=latest.version)
                    detail = (await client.inform(wish)).filename
    except Upstream as error:
        code, detail = error.code or "network", error.message
    return Tested(code=code, detail=detail[:200], ms=round(1000 * (time.monotonic() - began)))


async def disk() -> Disk:
    """Sizes by model, the largest first."""
    rows = await DB.all(
        "SELECT coalesce(f.model, '?') AS model, sum(c.size_bytes) AS bytes FROM firmware f"
        " JOIN firmware_components c ON c.firmware_id = f.id AND c.present = 1"
        " GROUP BY 1 ORDER BY 2 DESC LIMIT 12"
    )
    usage = shutil.disk_usage(records.home())
    return Disk(
        free=usage.free,
        total=usage.total,
        models=[(row["model"], row["bytes"]) for row in rows],
    )


async def answers(days: int = 30) -> list[tuple[str, int]]:
    """How often each error code ended a job of ours, and how many ended well."""
    rows = await DB.all(
        "SELECT coalesce(errorCode, 'ok') AS code, count(*) AS n FROM queueJobs"
        " WHERE type IN ('firmware.check', 'firmware.resolve', 'firmware.fetch')"
        " AND finishedAt > ? GROUP BY 1 ORDER BY 2 DESC",
        (clock.ms() - days * 86_400_000,),
    )
    return [(row["code"], row["n"]) for row in rows]


async def answers_per_day(days: int = 30) -> list[dict[str, Any]]:
    """The same a day: `day`, `status` (the query log's words), `n`."""
    rows = await DB.all(
        "SELECT date(finishedAt / 1000, 'unixepoch') AS day, coalesce(errorCode, 'ok') AS code,"
        " count(*) AS n FROM queueJobs"
        " WHERE type IN ('firmware.check', 'firmware.resolve', 'firmware.fetch')"
        " AND finishedAt > ? GROUP BY 1, 2 ORDER BY 1",
        (clock.ms() - days * 86_400_000,),
    )
    return [{"day": r["day"], "status": status_of_code(r["code"]), "n": r["n"]} for r in rows]


async def keys_changed() -> bool:
    """Whether the last answer said that no known key fits."""
    value = await DB.value(
        "SELECT errorCode FROM queueJobs WHERE type IN ('firmware.resolve', 'firmware.fetch')"
        " AND finishedAt IS NOT NULL ORDER BY finishedAt DESC LIMIT 1"
    )
    return bool(value == "keys_changed")


async def values() -> dict[str, Any]:
    """Every firmware setting by its short name, with what a form needs to show it."""
    return {key.name.removeprefix("firmware."): await core.show(key.name) for key in settings.KEYS}


async def save(posted: dict[str, Any], actor: str, ip: str) -> None:
    """Store settings. Raises BadSetting for a value that does not fit."""
    for name, value in posted.items():
        await core.put(f"firmware.{name}", value, actor, ip=ip)
