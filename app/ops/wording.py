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
