"""The firmware domain's keys of `configuration`."""

from typing import Any

from app.core import settings
from app.core.settings import key
from app.firmware import keys
from app.firmware.client import Profile

FOTA = "https://fota-cloud-dn.ospserver.net/firmware/{csc}/{model}/version.xml"
PROTOCOLS = ("smart", "kies")

KEYS = (
    key("firmware.profile.fota_url", FOTA, "Address of the update lists"),
    key("firmware.profile.fus_url", "https://neofussvr.sslcs.cdngc.net/", "Control server"),
    key(
        "firmware.profile.cloud_url",
        "https://cloud-neofussvr.samsungmobile.com/",
        "Byte server; https falls back to http",
    ),
    key("firmware.profile.protocol", "smart", "How to speak with Samsung", choices=PROTOCOLS),
    key("firmware.profile.smart_key", keys.SMART_KEY, "Key of the smart protocol, hex"),
    key("firmware.profile.kies_keys", keys.KIES_KEYS, "Key pairs of the kies protocol"),
    key("firmware.confirmed", False, "An admin confirmed: own or managed devices only"),
    key("firmware.connections", 6, "Connections for all downloads together", low=1, high=8),
    key("firmware.min_free_mib", 2048, "Room that stays free on the disk, MiB", low=0),
    key("firmware.max_bytes", 0, "Most that firmware may take; 0: 60 % of the volume", low=0),
    key("firmware.keep_days", 30, "Days a version is kept after its last use", low=1, high=3650),
    key("firmware.keep_zip", True, "Keep the archive beside its parts"),
    key("firmware.keep_encrypted", False, "Keep the encrypted file too"),
    key("firmware.keep_latest_per_target", 1, "Newest versions of a target kept", low=0, high=9),
    key("firmware.imei_retention_days", 90, "Days IMEIs are kept", low=1, high=3650),
)
settings.declare(*KEYS)


async def get(name: str) -> Any:
    """The value in force of `firmware.<name>`."""
    return await settings.get(f"firmware.{name}")


async def profile() -> Profile:
    """Where the servers are, as set."""
    names = ("fota_url", "fus_url", "cloud_url", "protocol", "smart_key", "kies_keys")
    return Profile(**{name: await get(f"profile.{name}") for name in names})
