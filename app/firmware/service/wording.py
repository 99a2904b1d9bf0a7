"""Every outcome in words: what happened, and what the person can do about it."""

import msgspec

from app.core.area import Remedy
from app.core.i18n import _


class Words(msgspec.Struct, frozen=True):
    """`title`: what happened; `advice`: what to do, or nothing."""

    title: str
    advice: str = ""


def words(code: str | None, text: str | None = "") -> Words:  # noqa: PLR0911, PLR0912 - a table
    """The words for a stored `error_code`."""
    again = _("It is tried again by itself.")
    match code or "":
        case "fus_400":
            return Words(
                _("Samsung does not serve this version for this model and region (yet)."),
                _("Check model and region, or try again in some days."),
            )
        case "fus_f01":
            return Words(_("Samsung does not know this version."), _("Look the model up again."))
        case "fus_401":
            return Words(_("Samsung refused the permission it had given."), again)
        case "fus_408" | "imei_needed":
            return Words(
                _("Samsung does not accept this IMEI or serial number for this model."),
                _("Correct the number of the device and ask again."),
            )
        case "blocked":
            return Words(_("Samsung refuses this server's address at present."), again)
        case "throttled":
            return Words(_("Samsung asked for patience: too many requests."), again)
        case "stalled":
            return Words(_("No bytes come any more."), again)
        case "network":
            return Words(_("Samsung's servers cannot be reached."), again)
        case "unknown_device":
            return Words(
                _("Samsung does not know this model in this region."),
                _("Check how the model is written, or try another region of the same country."),
            )
        case "no_version" | "no_file":
            return Words(_("There is no full firmware for this model and region."))
        case "other_version":
            return Words(
                _("Samsung serves another version than the one asked for."),
                _("Look at both before you take it."),
            )
        case "keys_changed":
            return Words(
                _("Samsung changed the keys."), _("Update Holdfast or set new keys (admins).")
            )
        case "wrong_key":
            return Words(_("The key does not fit, nothing was downloaded."))
        case "unsafe_name":
            return Words(_("The file has an unsafe name and was not taken."), text or "")
        case "bad_size":
            return Words(_("The file has an impossible size and was not taken."), text or "")
        case "bad_archive":
            return Words(_("The archive is damaged."), text or "")
        case "bad_crc" | "bad_md5":
            return Words(_("A part is damaged, also when fetched a second time."), text or "")
        case "no_space":
            return Words(_("There is not enough room on the disk."), text or "")
        case "disk_full":
            return Words(
                _("The disk is full."), _("It goes on by itself when there is room again.")
            )
        case "unreadable":
            return Words(_("Samsung answered something unreadable."), again)
        case "poison":
            return Words(
                _("It stopped the server three times and was put aside."),
                _("Try again: it goes on at the bytes that are here."),
            )
        case "":
            return Words("")
    return Words(_("It did not work."), text or "")


def state_word(state: str) -> tuple[str, str]:
    """Look and word of a version's state."""
    table = {
        "new": ("planned", _("known")),
        "queued": ("queued", _("waiting")),
        "downloading": ("running", _("downloading")),
        "paused": ("held", _("paused")),
        "verifying": ("running", _("verifying")),
        "partial": ("held", _("partial")),
        "ready": ("success", _("ready")),
        "failed": ("failed", _("failed")),
        "evicted": ("off", _("evicted")),
    }
    return table.get(state, ("off", state))


def status_word(status: str) -> tuple[str, str]:
    """Look and word of a query's outcome."""
    table = {
        "ok": ("success", _("ok")),
        "error": ("failed", _("error")),
        "denied": ("failed", _("denied")),
        "unauthorized": ("failed", _("unauthorised")),
        "throttled": ("held", _("slowed down")),
        "unknown": ("planned", _("asked")),
    }
    return table.get(status, ("off", status))


def remedy(code: str) -> Remedy | None:
    """What helps against a job that failed with that code; None for a code that is not ours."""
    found = words(code)
    if code in ("", "poison") or found == words("?"):
        return None
    return Remedy(text=f"{found.title} {found.advice}".strip())
