"""How the queue's own words read to people: states, reasons, outcomes, times."""

from app.core.i18n import _, mark

# What the queue itself writes down in English; told by `_()` where an error is shown.
NOTED = (
    mark("cancelled on request"),
    mark("returned by shutdown"),
    mark("worker died while running this job"),
)


def title(label: str) -> str:
    """The name of a job, stored in English; what it is about (from the first digit on) stays."""
    words = label.split(" ")
    about = next((n for n, word in enumerate(words) if any(sign.isdigit() for sign in word)), 0)
    if not about or "%" in label:
        return _(label)
    known = " ".join([*words[:about], "%(name)s"])
    return _(known, name=" ".join(words[about:]))


def state(name: str) -> tuple[str, str]:
    """Look and word of a derived state."""
    words = {
        "queued": ("ready", _("queued")),
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


def happened(what: str, number: int) -> tuple[str, str]:
    """Look and word of one thing in a job's life; `number`: of the attempt."""
    words = {
        "created": ("ready", _("Asked for")),
        "running": ("running", _("Try %(n)s, running", n=number)),
        "succeeded": ("success", _("Try %(n)s, done", n=number)),
        "retrying": ("again", _("Try %(n)s failed, another follows", n=number)),
        "failed": ("failed", _("Try %(n)s failed", n=number)),
        "cancelled": ("off", _("Cancelled")),
        "snoozed": ("planned", _("Snoozed, no try used up")),
        "returned": ("held", _("Given back by a shutdown, no try used up")),
        "rescued": ("again", _("Rescued: its worker had died")),
        "dropped": ("off", _("Older entries were dropped")),
    }
    look, word = words.get(what, ("held", what))
    if what == "failed" and not number:
        word = _("Failed")
    return look, word


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


def lane(name: str) -> str:
    """What a lane is for."""
    words = {
        "heavy": _("ordinary work"),
        "io": _("light work"),
        "long": _("long transfers"),
    }
    return words.get(name, name)


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
