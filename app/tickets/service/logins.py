"""A person's portal login: kept sealed, shown masked, and guarded against being locked out.

The first refusal of a password stops everything automatic until the person acts. Under that
stands a hard cap, counted in the row before each post: two password posts per login and six hours
without a success between them, so that a program which dies again and again uses up no tries.
"""

from datetime import timedelta

import msgspec

from app.core import vault
from app.core.errors import Invalid
from app.core.i18n import _
from app.core.ring import VaultError
from app.tickets.client.driver import Credential
from app.tickets.outcomes import Fault, Outcome
from db import clock
from db.engine import DB

POSTS = 2
WINDOW = timedelta(hours=6)
PASSWORD_LIMIT = 512

# How an outcome of the login reads in `last_login_status`; what is missing says nothing about it.
LOGIN_STATUS = {
    Outcome.WRONG_PASSWORD: "wrong_password",
    Outcome.LOGIN_LOOP: "wrong_password",
    Outcome.ACCOUNT_LOCKED: "locked",
    Outcome.PASSWORD_EXPIRED: "password_expired",
    Outcome.MFA_REQUIRED: "mfa_required",
    Outcome.CONSENT_REQUIRED: "consent_required",
    Outcome.TERMS_REQUIRED: "terms_required",
    Outcome.CAPTCHA: "captcha",
    Outcome.JS_CHALLENGE: "captcha",
    Outcome.MAINTENANCE: "unreachable",
    Outcome.PORTAL_5XX: "unreachable",
    Outcome.TIMEOUT: "unreachable",
    Outcome.NETWORK: "unreachable",
    Outcome.TLS_ERROR: "unreachable",
    Outcome.PROXY_ERROR: "unreachable",
}
BLOCKING = {
    Outcome.WRONG_PASSWORD,
    Outcome.LOGIN_LOOP,
    Outcome.ACCOUNT_LOCKED,
    Outcome.PASSWORD_EXPIRED,
}


class LoginCard(msgspec.Struct, frozen=True):
    """A portal login as its owner sees it. The password is never among it."""

    uk_number: str
    saved_at: str
    status: str | None
    error: str | None
    last_login_at: str | None
    blocked_at: str | None
    block_reason: str | None
    revision: int

    @property
    def is_blocked(self) -> bool:
        return self.blocked_at is not None


class StoredLogin(msgspec.Struct, frozen=True):
    """A portal login as a run needs it. `credential` is None where the vault cannot open it."""

    credential: Credential | None
    revision: int
    blocked: bool


async def save_login(user_id: str, uk_number: str, password: str) -> None:
    """Keep a portal login, sealed; it counts as new: unblocked, its failures forgotten.

    An empty password keeps the stored one. Raises Invalid with every field that does not fit.
    """
    uk_number = uk_number.strip()
    stored = await DB.one("SELECT uk_number FROM user_credentials WHERE user_id = ?", (user_id,))
    errors = _faults(uk_number, password, stored is not None)
    if errors:
        raise Invalid(**errors)
    uk_number = uk_number or str(stored and stored["uk_number"])
    if not password:
        await DB.execute(
            "UPDATE user_credentials SET uk_number = ?2, revision = revision + 1"
            " WHERE user_id = ?1",
            (user_id, uk_number),
        )
        return
    sealed = vault.seal("user_credentials", "uk_password_encrypted", user_id, password)
    await DB.execute(
        "INSERT INTO user_credentials (user_id, uk_number, uk_password_encrypted) VALUES (?, ?, ?)"
        " ON CONFLICT (user_id) DO UPDATE SET uk_number = excluded.uk_number,"
        " uk_password_encrypted = excluded.uk_password_encrypted, revision = revision + 1,"
        " failure_streak = 0, blocked_at = NULL, block_reason = NULL, posts_since_ok = 0,"
        " posts_window_start = NULL, last_login_status = NULL, last_login_error = NULL",
        (user_id, uk_number, sealed),
    )


async def remove_login(user_id: str) -> None:
    """Forget the portal login at once."""
    await DB.execute("DELETE FROM user_credentials WHERE user_id = ?", (user_id,))


async def find_login(user_id: str) -> LoginCard | None:
    """The login for its owner's eyes, the number masked; None where none is kept."""
    row = await DB.one(
        "SELECT uk_number, updated_at AS saved_at, last_login_status AS status,"
        " last_login_error AS error, last_login_at, blocked_at, block_reason, revision"
        " FROM user_credentials WHERE user_id = ?",
        (user_id,),
    )
    if row is None:
        return None
    return msgspec.convert({**row, "uk_number": masked(row["uk_number"])}, LoginCard)


async def keeper() -> str:
    """Who runs this server, as the consent to storing a login must say: the setup admin's name."""
    name = await DB.value("SELECT login FROM users WHERE is_setup_admin = 1")
    return str(name or "")


async def open_login(user_id: str) -> StoredLogin | None:
    """The login for a run; None where none is kept."""
    row = await DB.one(
        "SELECT uk_number, uk_password_encrypted, revision, blocked_at FROM user_credentials"
        " WHERE user_id = ?",
        (user_id,),
    )
    if row is None:
        return None
    sealed = row["uk_password_encrypted"]
    try:
        password = vault.open("user_credentials", "uk_password_encrypted", user_id, sealed)
    except VaultError:
        return StoredLogin(None, row["revision"], blocked=row["blocked_at"] is not None)
    credential = Credential(row["uk_number"], password)
    return StoredLogin(credential, row["revision"], blocked=row["blocked_at"] is not None)


async def can_open(user_id: str) -> bool:
    """Whether the vault opens what is stored; otherwise its owner must enter it again."""
    stored = await open_login(user_id)
    return stored is None or stored.credential is not None


async def count_post(user_id: str, *, automatic: bool) -> None:
    """Count a password post before it is sent; raises Fault if an automatic one is too many."""
    now = clock.text()
    window = clock.text(clock.now() - WINDOW)
    allowed = await DB.execute(
        "UPDATE user_credentials SET last_attempt_at = ?2,"
        " posts_window_start ="
        " CASE WHEN posts_window_start > ?3 THEN posts_window_start ELSE ?2 END,"
        " posts_since_ok = CASE WHEN posts_window_start > ?3 THEN posts_since_ok ELSE 0 END + 1"
        " WHERE user_id = ?1"
        " AND (NOT ?4 OR posts_since_ok < ?5 OR coalesce(posts_window_start, '') <= ?3)",
        (user_id, now, window, automatic, POSTS),
    )
    if not allowed:
        raise Fault(
            Outcome.CREDENTIAL_BLOCKED,
            "the password was sent twice without an answer; not again for six hours",
        )


async def note_good_login(user_id: str, revision: int) -> None:
    """The portal took the password. Joins the open transaction; an older revision says nothing."""
    await DB.execute(
        "UPDATE user_credentials SET last_login_status = 'ok', last_login_error = NULL,"
        " last_login_at = ?3, failure_streak = 0, posts_since_ok = 0, posts_window_start = NULL,"
        " blocked_at = NULL, block_reason = NULL WHERE user_id = ?1 AND revision = ?2",
        (user_id, revision, clock.text()),
    )


async def note_bad_login(user_id: str, revision: int, fault: Fault) -> None:
    """What a run learned of the login; a refusal blocks it. Joins the open transaction."""
    status = LOGIN_STATUS.get(fault.outcome)
    if status is None:
        return
    blocks = fault.outcome in BLOCKING
    await DB.execute(
        "UPDATE user_credentials SET last_login_status = ?3, last_login_error = ?4,"
        " failure_streak = failure_streak + 1,"
        " blocked_at = CASE WHEN ?5 THEN ?6 ELSE blocked_at END,"
        " block_reason = CASE WHEN ?5 THEN ?3 ELSE block_reason END"
        " WHERE user_id = ?1 AND revision = ?2",
        (user_id, revision, status, str(fault)[:200], blocks, clock.text()),
    )


def masked(uk_number: str) -> str:
    """All but the last four signs hidden; of a short number all but the last two."""
    shown = 4 if len(uk_number) > 4 else 2
    return "•" * (len(uk_number) - shown) + uk_number[-shown:]


def _faults(uk_number: str, password: str, stored: bool) -> dict[str, str]:
    errors: dict[str, str] = {}
    if not uk_number and not stored:
        errors["uk_number"] = _("Enter your UK number.")
    elif uk_number and not 2 <= len(uk_number) <= 64:
        errors["uk_number"] = _("A UK number has 2 to 64 characters.")
    elif not uk_number.isprintable():
        errors["uk_number"] = _("The UK number holds a character that cannot be typed.")
    if not password and not stored:
        errors["uk_password"] = _("Enter the password of your university account.")
    elif len(password) > PASSWORD_LIMIT or "\0" in password:
        errors["uk_password"] = _(
            "A password has at most %(n)s characters and no NUL.", n=PASSWORD_LIMIT
        )
    return errors
