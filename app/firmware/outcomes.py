"""What can come of a talk with the servers, each with what the query log calls it."""

from typing import Final

import msgspec

from app.core.errors import Upstream


class Kind(msgspec.Struct, frozen=True):
    """`status`: the word of the query log; `retry`: whether later may be different."""

    status: str
    retry: bool


KINDS: Final = {
    "fus_400": Kind("error", False),
    "fus_401": Kind("unauthorized", True),
    "fus_405": Kind("error", False),
    "fus_408": Kind("denied", False),
    "fus_f01": Kind("error", False),
    "fus_s01": Kind("error", False),
    "fus_other": Kind("error", False),
    "no_file": Kind("error", False),
    "unsafe_name": Kind("error", False),
    "bad_size": Kind("error", False),
    "other_version": Kind("error", False),
    "unknown_device": Kind("error", False),
    "no_version": Kind("error", False),
    "blocked": Kind("denied", True),
    "throttled": Kind("throttled", True),
    "stalled": Kind("throttled", True),
    "unreadable": Kind("error", True),
    "keys_changed": Kind("error", False),
    "network": Kind("error", True),
    "wrong_key": Kind("error", False),
    "bad_archive": Kind("error", False),
    "bad_crc": Kind("error", False),
    "bad_md5": Kind("error", False),
    "disk_full": Kind("error", True),
    "no_space": Kind("error", False),
    "imei_needed": Kind("error", False),
}


class Fault(Upstream):
    """A talk with the servers, or a file they sent, that ended badly. `code` is one of KINDS.

    `fus`: the server's own status, `after_s`: when it said to come back.
    """

    def __init__(
        self, code: str, detail: str = "", *, fus: str = "", after_s: float | None = None
    ) -> None:
        kind = KINDS[code]
        super().__init__(detail or code, retry=kind.retry, code=code)
        self.status_fus = kind.status
        self.fus = fus
        self.after_s = after_s


def status_of(error: BaseException) -> str:
    """The word of the query log for any error."""
    return error.status_fus if isinstance(error, Fault) else "error"


def status_of_code(code: str) -> str:
    """The same for a stored code; "ok" is what it is."""
    return code if code == "ok" else KINDS[code].status if code in KINDS else "error"


def from_status(status: str) -> Fault:
    """The fault behind a `Status` of the server's XML."""
    code = f"fus_{status.strip().lower()}"
    return Fault(code if code in KINDS else "fus_other", fus=status[:20])
