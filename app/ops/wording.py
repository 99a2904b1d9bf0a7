"""How a job's derived state reads to people."""

from app.core.i18n import _


def state(name: str) -> tuple[str, str]:
    """Look and word of a derived state."""
    words = {
        "ready": ("ready", _("ready")),
        "scheduled": ("planned", _("scheduled")),
        "snoozed": ("planned", _("snoozed")),
        "waiting": ("held", _("waiting")),
        "retrying": ("again", _("retrying")),
        "running": ("running", _("running")),
        "cancelling": ("stopping", _("cancelling")),
        "stalled": ("failed", _("stalled")),
        "succeeded": ("success", _("done")),
        "failed": ("failed", _("failed")),
        "cancelled": ("off", _("cancelled")),
    }
    return words.get(name, ("held", name))


def reason(why: str) -> str:
    """Why a waiting job does not run."""
    words = {
        "unknown_type": _("no handler in this version"),
        "paused": _("the queue is paused"),
        "type_paused": _("its type is paused"),
        "scheduled": _("planned for later"),
        "type_limit": _("its type runs as often as allowed"),
        "lane_full": _("all slots are taken"),
        "serial": _("another job of the same thing runs"),
        "rate": _("the service takes no more calls now"),
        "suspect_running": _("a job that crashed before runs alone"),
    }
    return words.get(why, why)


def remedy(code: str) -> str:
    """What helps against an error, in one sentence; empty where nothing is known."""
    words = {
        "timeout": _("It took too long. Give its type more time, or try again later."),
        "timeout_stuck": _(
            "It took too long and did not stop. Look at the log before trying again."
        ),
        "poison": _("The program died three times under it. Look at the log before trying again."),
        "worker_lost": _("The program ended while it ran. Trying again is safe."),
        "bad_payload": _("It was written in a form this version cannot read. Delete it."),
        "expired": _("It was not started in time. Ask for it again if it is still wanted."),
        "forced": _("It was taken from its worker by hand."),
    }
    return words.get(code, "")


def outcome(name: str) -> tuple[str, str]:
    """Look and word of what became of a firing."""
    words = {
        "enqueued": ("success", _("asked for")),
        "skipped_overlap": ("held", _("skipped, the last one still ran")),
        "skipped_late": ("held", _("skipped, too late")),
        "deduped": ("held", _("was there already")),
        "manual": ("ready", _("by hand")),
    }
    return words.get(name, ("held", name))


def times(cron: str, every_s: int) -> str:
    """When a schedule fires, in words where there are simple ones."""
    if every_s:
        return (
            _("every %(n)s minutes", n=every_s // 60)
            if every_s < 7200
            else _("every %(n)s hours", n=every_s // 3600)
        )
    fields = cron.split()
    if cron == "@reboot":
        return _("at each start")
    if len(fields) == 5 and fields[2:] == ["*", "*", "*"]:
        minute, hour = fields[:2]
        if minute.isdigit() and hour.isdigit():
            return _("every day at %(time)s", time=f"{int(hour):02d}:{int(minute):02d}")
        if minute.isdigit() and hour == "*":
            return _("every hour at minute %(n)s", n=int(minute))
        if minute.startswith("*/") and minute[2:].isdigit() and hour == "*":
            return _("every %(n)s minutes", n=int(minute[2:]))
    return cron
