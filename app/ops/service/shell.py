"""What stands around every page: counts in the menu, the bell, and what the search finds."""

import apsw

from app.core.area import Count, Hit, Shell
from app.core.live import Viewer
from app.core.notify import UNREAD_LIMIT
from app.ops.wording import state as words_of
from app.ops.wording import title
from db import clock
from db.connection import Row, fetch, fetch_value
from db.engine import DB

FOUND = 6
RECENT_MS = 7 * 86_400_000

_BELL = """
SELECT (SELECT count(*) FROM
         (SELECT 1 FROM notifications WHERE user_id = ?1 AND read_at IS NULL LIMIT ?2)) AS unread,
       (SELECT id FROM notifications WHERE user_id = ?1
         ORDER BY created_at DESC, id DESC LIMIT 1) AS newest,
       coalesce((SELECT shortcuts FROM userSettings WHERE userId = ?1), 1) AS shortcuts
"""
_RUNNING = """
SELECT substr(type, 1, instr(type, '.') - 1) AS area, count(*) AS n,
       sum(ownerUserId IS ?1) AS mine
FROM queueJobs WHERE state = 'running' GROUP BY 1
"""
_FAILED = """
SELECT count(*) FROM (SELECT 1 FROM queueJobs
WHERE state = 'failed' AND finishedAt > ? AND acknowledgedAt IS NULL LIMIT 100)
"""
_JOBS = """
SELECT id, coalesce(label, type) AS label, type, state
FROM (SELECT * FROM queueJobs ORDER BY id DESC LIMIT 20000)
WHERE (?1 OR ownerUserId = ?2) AND (label LIKE ?3 ESCAPE '!' OR type LIKE ?3 ESCAPE '!' OR id = ?4)
ORDER BY id DESC LIMIT ?5
"""


async def get_shell(viewer: Viewer) -> Shell:
    """The bell and the numbers of the menu; three short reads on one visit to the database."""
    is_admin = viewer.role == "admin"

    def read(connection: apsw.Connection) -> tuple[Row, list[Row], int]:
        bell = fetch(connection, _BELL, (viewer.id, UNREAD_LIMIT))[0]
        running = fetch(connection, _RUNNING, (viewer.id,))
        since = clock.ms() - RECENT_MS
        return bell, running, fetch_value(connection, _FAILED, (since,)) if is_admin else 0

    bell, running, failed = await DB.read(read)
    counts = {row["area"]: Count(number=row["mine"]) for row in running if row["mine"]}
    if is_admin:
        busy = sum(row["n"] for row in running)
        if failed or busy:
            counts["queue"] = Count(number=failed or busy, failed=bool(failed))
    return Shell(
        unread=bell["unread"],
        newest=bell["newest"] or "",
        shortcuts=bool(bell["shortcuts"]),
        counts=counts,
    )


async def set_shortcuts(user_id: str, on: bool) -> None:
    """Whether single keys do something on this person's pages."""
    await DB.execute(
        "INSERT INTO userSettings (userId, shortcuts) VALUES (?, ?)"
        " ON CONFLICT (userId) DO UPDATE SET shortcuts = excluded.shortcuts",
        (user_id, int(on)),
    )


async def find_jobs(viewer: Viewer, q: str) -> list[Hit]:
    """Jobs by name, type or number: one's own, for admins all."""
    everyone = viewer.role == "admin"
    rows = await DB.all(_JOBS, (everyone, viewer.id, like(q), q, FOUND))
    base = "/admin/queue/jobs" if everyone else "/jobs"
    return [
        Hit(
            title=title(row["label"]),
            text=words_of("ready" if row["state"] == "queued" else row["state"])[1],
            url=f"{base}/{row['id']}",
            icon="queue",
        )
        for row in rows
    ]


def like(q: str) -> str:
    """The pattern of a LIKE ... ESCAPE '!' that finds `q` anywhere."""
    for sign in "!%_":
        q = q.replace(sign, f"!{sign}")
    return f"%{q}%"
