"""What the firmware jobs are told. No IMEI is ever in here: `device_id` leads to it."""

from typing import ClassVar

from app.core.i18n import mark
from jobs.payload import Payload

RATE = "fus"
ASKED, WATCH = 85, 20


class Check(Payload, frozen=True, kw_only=True):
    """Ask which versions there are for a model and region."""

    TYPE: ClassVar[str] = "firmware.check"
    PRIORITY: ClassVar[int] = ASKED
    MAX_ATTEMPTS: ClassVar[int] = 4
    TIMEOUT_S: ClassVar[float] = 120
    model: str
    csc: str
    device_id: int | None = None
    query_id: str | None = None

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.model}:{self.csc}:{self.device_id or ''}"

    def rate_key(self) -> str:
        return RATE

    def label(self) -> str:
        return mark("Look up %(name)s") % {"name": f"{self.model} {self.csc}"}


class Resolve(Payload, frozen=True, kw_only=True):
    """Ask what the server offers for one version, and look into it."""

    TYPE: ClassVar[str] = "firmware.resolve"
    SHARED: ClassVar[bool] = True
    PRIORITY: ClassVar[int] = ASKED
    MAX_ATTEMPTS: ClassVar[int] = 5
    TIMEOUT_S: ClassVar[float] = 180
    model: str
    csc: str
    version: str
    device_id: int | None = None
    take_served: bool = False

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.model}:{self.csc}:{self.version}"

    def rate_key(self) -> str:
        return RATE

    def label(self) -> str:
        return mark("Ask for %(name)s") % {"name": self.version.partition("/")[0]}


class Fetch(Payload, frozen=True, kw_only=True):
    """Download, check, decrypt and unpack what people asked for of one version."""

    TYPE: ClassVar[str] = "firmware.fetch"
    SHARED: ClassVar[bool] = True
    PRIORITY: ClassVar[int] = 60
    MAX_ATTEMPTS: ClassVar[int] = 5
    TIMEOUT_S: ClassVar[float] = 0  # the stall rule ends it, not the clock
    firmware_id: int
    version: str

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.version}"

    def serial_key(self) -> str:
        return f"fw:{self.version}"

    def subject(self) -> tuple[str, str]:
        return ("firmware", str(self.firmware_id))

    def label(self) -> str:
        return mark("Fetch %(name)s") % {"name": self.version.partition("/")[0]}


class Verify(Payload, frozen=True, kw_only=True):
    """Read every stored part again and compare."""

    TYPE: ClassVar[str] = "firmware.verify"
    PRIORITY: ClassVar[int] = 40
    MAX_ATTEMPTS: ClassVar[int] = 1
    TIMEOUT_S: ClassVar[float] = 3600
    firmware_id: int
    version: str

    def dedupe_key(self) -> str:
        return f"{self.TYPE}:{self.firmware_id}"

    def serial_key(self) -> str:
        return f"fw:{self.version}"

    def subject(self) -> tuple[str, str]:
        return ("firmware", str(self.firmware_id))

    def label(self) -> str:
        return mark("Verify %(name)s") % {"name": self.version.partition("/")[0]}


class Cleanup(Payload, frozen=True, kw_only=True):
    """Evict, repair, let IMEIs expire, look after watched devices."""

    TYPE: ClassVar[str] = "firmware.cleanup"
    PRIORITY: ClassVar[int] = 5
    TIMEOUT_S: ClassVar[float] = 600

    def dedupe_key(self) -> str:
        return self.TYPE

    def label(self) -> str:
        return mark("Firmware upkeep")


class Import(Payload, frozen=True, kw_only=True):
    """Take over the database and files of nanosamfw. Both are paths on the server."""

    TYPE: ClassVar[str] = "firmware.import"
    PRIORITY: ClassVar[int] = 50
    MAX_ATTEMPTS: ClassVar[int] = 2
    TIMEOUT_S: ClassVar[float] = 6 * 3600
    database: str
    folder: str = ""
    dry_run: bool = False

    def dedupe_key(self) -> str:
        return self.TYPE

    def label(self) -> str:
        return mark("Import firmware")
