"""What helps against the queue's own errors: one sentence, and the button that does it."""

from typing import Literal

import msgspec

from app.core.i18n import _

Act = Literal["", "retry", "limits", "delete", "worker"]


class Advice(msgspec.Struct, frozen=True):
    """`act`: what the button does."""

    text: str
    act: Act = ""


def known(code: str) -> Advice:
    """The remedy for the queue's own codes; for any other, what always holds."""
    words = {
        "timeout": Advice(
            _("It took too long. Give its type more time, or try again later."), "limits"
        ),
        "timeout_stuck": Advice(
            _("It took too long and did not stop. Look at the log before trying again."), "limits"
        ),
        "poison": Advice(
            _("The program died three times under it. Look at the log before trying again."),
            "retry",
        ),
        "worker_lost": Advice(_("The program ended while it ran. Trying again is safe."), "retry"),
        "bad_payload": Advice(
            _("It was written in a form this version cannot read. Delete it."), "delete"
        ),
        "expired": Advice(
            _("It was not started in time. Ask for it again if it is still wanted."), "retry"
        ),
        "forced": Advice(
            _("It was taken from its worker by hand. Make sure that nothing of it still runs."),
            "worker",
        ),
        "SerialBacklogFull": Advice(
            _("A thousand jobs for the same thing wait already. Try again once they are done."),
            "retry",
        ),
        "ProcessFailed": Advice(
            _("A program that it started ended badly. Its output below says more."), "retry"
        ),
        "FullError": Advice(_("The disk is full. Make room, then try again."), "retry"),
        "retry": Advice(_("It asked for another try. There is none left."), "retry"),
    }
    usual = Advice(_("Look at the error below. If what it names is mended, try again."), "retry")
    return words.get(code, usual)
