"""How outcomes read to people: a look, a word, one sentence, and where to go next."""

from typing import NamedTuple

from app.core.area import Remedy
from app.core.i18n import _
from app.tickets.outcomes import Outcome


class Wording(NamedTuple):
    """`look`: one of the nine looks of a state; `advice`: which page helps, if one does."""

    look: str
    word: str
    text: str
    advice: str = ""


def wording(outcome: Outcome) -> Wording:
    """The words for an outcome in the reader's language."""
    return _words().get(outcome) or Wording(
        "failed", _("failed"), _("The run failed: %(code)s.", code=outcome.value)
    )


def _words() -> dict[Outcome, Wording]:
    again = _("Holdfast tries again by itself; the ticket you have stays.")
    return {
        Outcome.OK: Wording("success", _("login works"), ""),
        Outcome.NEW: Wording("success", _("new"), _("A new version was stored.")),
        Outcome.DUPLICATE: Wording(
            "success", _("unchanged"), _("The portal shows the same ticket.")
        ),
        Outcome.REFRESHED: Wording("success", _("refreshed"), _("The same ticket, fetched anew.")),
        Outcome.MISSING_CREDENTIALS: Wording(
            "held", _("no login"), _("Store your login at the university first."), "login"
        ),
        Outcome.CREDENTIAL_BLOCKED: Wording(
            "held",
            _("stopped"),
            _("The password is not sent again for now, so that your account is not locked."),
            "login",
        ),
        Outcome.USER_INACTIVE: Wording("off", _("skipped"), _("The account is switched off.")),
        Outcome.OPTED_OUT: Wording("off", _("skipped"), _("Fetching by itself is switched off.")),
        Outcome.WRONG_PASSWORD: Wording(
            "failed",
            _("wrong password"),
            _("Password refused. We stopped so that your account is not locked."),
            "login",
        ),
        Outcome.LOGIN_LOOP: Wording(
            "failed",
            _("wrong password"),
            _("The portal asked for the password again without a reason. We stopped there."),
            "login",
        ),
        Outcome.ACCOUNT_LOCKED: Wording(
            "failed", _("locked"), _("The university has locked the account for now."), "login"
        ),
        Outcome.PASSWORD_EXPIRED: Wording(
            "failed",
            _("password expired"),
            _("Set a new password at the university, then store it here."),
            "login",
        ),
        Outcome.MFA_REQUIRED: Wording(
            "failed",
            _("second factor"),
            _("The university asks for a second factor; only you have it."),
        ),
        Outcome.CONSENT_REQUIRED: Wording(
            "failed",
            _("consent needed"),
            _("The university asks what it may release. Decide in the settings."),
            "consent",
        ),
        Outcome.TERMS_REQUIRED: Wording(
            "failed",
            _("terms of use"),
            _("The university shows new terms of use. Decide in the settings."),
            "consent",
        ),
        Outcome.CAPTCHA: Wording(
            "failed",
            _("robot check"),
            _("The portal asks for a robot check, which Holdfast leaves alone."),
        ),
        Outcome.JS_CHALLENGE: Wording(
            "failed",
            _("robot check"),
            _("The portal asks for a robot check, which Holdfast leaves alone."),
        ),
        Outcome.NEEDS_JAVASCRIPT: Wording(
            "failed", _("needs a browser"), _("The portal draws this ticket by script.")
        ),
        Outcome.PORTAL_CHANGED: Wording(
            "failed", _("portal changed"), _("The portal shows a page that Holdfast does not know.")
        ),
        Outcome.NOT_A_TICKET: Wording(
            "failed", _("not a ticket"), _("What came was not a ticket. It was kept apart.")
        ),
        Outcome.FOREIGN_TICKET: Wording(
            "failed", _("not your ticket"), _("The ticket names somebody else. It was kept apart.")
        ),
        Outcome.MAINTENANCE: Wording(
            "again", _("maintenance"), _("The portal is being worked on.") + " " + again
        ),
        Outcome.PORTAL_5XX: Wording(
            "again", _("portal fault"), _("The portal has a fault.") + " " + again
        ),
        Outcome.TIMEOUT: Wording(
            "again", _("too slow"), _("The portal did not answer in time.") + " " + again
        ),
        Outcome.NETWORK: Wording(
            "again", _("no connection"), _("The portal could not be reached.") + " " + again
        ),
        Outcome.RATE_LIMITED: Wording(
            "again", _("rate limited"), _("The portal asked for a pause.") + " " + again
        ),
        Outcome.STALE_REQUEST: Wording(
            "again", _("sign-in lost"), _("The university lost the sign-in.") + " " + again
        ),
        Outcome.STORAGE_ERROR: Wording(
            "failed", _("could not save"), _("Could not save the ticket.") + " " + again
        ),
        Outcome.TLS_ERROR: Wording(
            "failed", _("unsafe connection"), _("The portal's certificate is not right.")
        ),
        Outcome.FORBIDDEN_HOST: Wording(
            "failed",
            _("unknown host"),
            _("The portal sent us to a host no admin has confirmed; the password stayed here."),
        ),
        Outcome.TOO_LARGE: Wording(
            "failed", _("too large"), _("The portal's answer was too large.")
        ),
        Outcome.PROXY_ERROR: Wording(
            "failed", _("proxy fault"), _("The proxy of your device does not answer as it should.")
        ),
        Outcome.NOT_HTML: Wording(
            "failed", _("no page"), _("The portal answered with something that is no page.")
        ),
        Outcome.TOO_MANY_HOPS: Wording(
            "failed", _("going in circles"), _("The portal sent us in circles. We stopped there.")
        ),
        Outcome.BROWSER_MISSING: Wording(
            "failed",
            _("no browser"),
            _("The browser driver is not installed on this server."),
        ),
        Outcome.BROWSER_CRASHED: Wording(
            "again", _("browser fault"), _("The browser stopped.") + " " + again
        ),
    }


def remedy(code: str) -> Remedy | None:
    """What helps against a job that failed with that code; None for a code that is not ours."""
    try:
        words = wording(Outcome(code))
    except ValueError:
        return None
    advice = {"login": _("Enter the login again"), "consent": _("Decide about consent")}
    page = "tickets_settings" if words.advice else ""
    return Remedy(text=words.text, word=advice.get(words.advice, ""), url=page)
