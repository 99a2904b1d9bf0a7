"""The login that stands for all, guarded as a person's own: an admin's account locks as easily.

There is no row to count in, so the history is asked: what was refused, and how often the password
went out without a success after it.
"""

import json
from itertools import pairwise

from app.core.secret import SecretStr
from app.core.settings import get as setting
from app.tickets.client.classify import Kind
from app.tickets.client.driver import Credential
from app.tickets.outcomes import REFUSALS
from app.tickets.service.logins import POSTS, WINDOW
from db import clock
from db.engine import DB

KEYS = ("tickets.base_number", "tickets.base_password")

_SPOKE = """
SELECT outcome, downloaded_at FROM ticket_download_history WHERE trigger = 'base'
  AND (status IN ('success', 'duplicate') OR outcome IN (SELECT value FROM json_each(?)))
ORDER BY downloaded_at DESC, id DESC LIMIT 1
"""
_LATELY = """
SELECT status, steps_json FROM ticket_download_history
WHERE trigger = 'base' AND downloaded_at > ? ORDER BY downloaded_at DESC, id DESC
"""


async def find() -> Credential | None:
    """The base login; None where no admin gave one."""
    number, password = [await setting(key) for key in KEYS]
    if not number or not password or not isinstance(password, SecretStr):
        return None
    return Credential(number, password)


async def is_held() -> bool:
    """Whether nothing automatic may send it: it was refused, or sent twice in six hours in vain.

    Saving the number or the password lets it go again.
    """
    saved_at = await DB.value("SELECT max(updated_at) FROM configuration WHERE key IN (?, ?)", KEYS)
    since = str(saved_at or "")
    spoke = await DB.one(_SPOKE, (json.dumps(sorted(REFUSALS)),))
    if spoke and spoke["outcome"] in REFUSALS and spoke["downloaded_at"] > since:
        return True
    sent = 0
    lately = max(since, clock.text(clock.now() - WINDOW))
    for row in await DB.all(_LATELY, (lately,)):
        if row["status"] != "error":
            break
        sent += _sent_password(row["steps_json"])
    return sent >= POSTS


def _sent_password(steps_json: str | None) -> bool:
    steps = json.loads(steps_json or "[]")
    return any(
        before["kind"] == Kind.LOGIN and step["method"] == "POST"
        for before, step in pairwise(steps)
    )
