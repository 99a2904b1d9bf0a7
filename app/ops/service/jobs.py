"""Lists of jobs for people: by state, by words, one's own or all; and how many there are."""

from collections.abc import Mapping
from typing import Any

import apsw
import msgspec

from app.core.live import Viewer
from db.connection import Row, fetch, fetch_value
from db.engine import DB
from jobs.registry import REGISTRY
from jobs.why import HOLDER, SHOWN, STATES, Situation, situation

ROWS, OPEN_ROWS = 50, 50
COUNT_LIMIT = 10_000
LIVE_LIMIT = 50_000  # waiting jobs looked at for the numbers on the tabs

# What a list may be asked for: the row's own state, or the one that people see. Literal, so that
# the partial indexes serve it.
FILTERS = {"": "1", **STATES, "queued": "j.state='queued'", "running": "j.state='running'"}
QUEUED = ("ready", "waiting", "scheduled", "snoozed", "retrying")
RUNNING = ("running", "cancelling", "stalled")
ENDED = ("succeeded", "failed", "cancelled")


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list. `state` is the derived one of a person's eyes; times in milliseconds.

    `why`: what a waiting job waits for, `until` when that ends, if anybody knows.
    """

    id: str
    type: str
    label: str
    state: str
    progress: int | None
    message: str
    age_s: float
    attempts: int
    max_attempts: int
    owner: str
    can_cancel: bool
    can_retry: bool
    can_run: bool
    run_at: int
    why: str
    until: int | None


SELECT = f"""
SELECT j.*, coalesce(j.label, j.type) AS title, {SHOWN} AS shown, {HOLDER} AS holder,
  coalesce(u.login, '') AS owner
FROM queueJobs j LEFT JOIN users u ON u.id = j.ownerUserId
"""  # noqa: S608 - our words


async def list_open() -> list[JobRow]:
    """What runs and what waits, in the order in which it will be done."""
    return await read_rows(
        "WHERE j.state IN ('running', 'queued')"
        " ORDER BY j.state = 'queued', j.priority DESC, j.runAt, j.id LIMIT :limit",
        {"limit": OPEN_ROWS},
    )


async def list_jobs(
    viewer: Viewer,
    *,
    mine: bool,
    state: str = "",
    q: str = "",
    before: str = "",
    limit: int = ROWS,
) -> list[JobRow]:
    """Jobs older than the one of id `before`, newest first; `q` begins a type or is in a label."""
    where, args = matching(state=state, q=q, before=before, owner=_owner(viewer, mine))
    return await read_rows(
        f"WHERE {where} ORDER BY j.id DESC LIMIT :limit", {**args, "limit": limit}
    )


async def count_jobs(
    state: str = "", q: str = "", *, newest: str = "", after: str = "", owner: str = ""
) -> int:
    """How many jobs a filter names: up to the job `newest`, or those that came after `after`."""
    where, args = matching(state=state, q=q, newest=newest, after=after, owner=owner)

    def read(connection: apsw.Connection) -> int:
        now = situation(connection).args
        sql = f"SELECT count(*) FROM queueJobs j WHERE {where}"  # noqa: S608 - our words
        return int(fetch_value(connection, sql, {**now, **args}))

    return await DB.read(read)


async def count_newer(viewer: Viewer, top: str, *, mine: bool, state: str = "", q: str = "") -> int:
    """How many jobs of a list came after the one of id `top`."""
    return await count_jobs(state, q, after=top, owner=_owner(viewer, mine))


async def count_states(owner: str = "") -> dict[str, int]:
    """How many jobs are in each state a person sees; ended ones up to 10,000.

    Of one person only those that live: to count what ended for them would walk all there are.
    """
    own = " AND j.ownerUserId = :owner" if owner else ""
    live = f"""
    SELECT shown, count(*) AS n FROM (
      SELECT {SHOWN} AS shown FROM queueJobs j WHERE j.state = :live{own} LIMIT {LIVE_LIMIT})
    GROUP BY shown"""  # noqa: S608

    def read(connection: apsw.Connection) -> dict[str, int]:
        args = {**situation(connection).args, "owner": owner}
        found = dict.fromkeys(STATES, 0)
        for state in ("queued", "running"):
            # Spelt out: a partial index serves only a condition that is literal.
            sql = live.replace(":live", f"'{state}'")
            found |= {row["shown"]: row["n"] for row in fetch(connection, sql, args)}
        for state in () if owner else ENDED:
            some = f"SELECT 1 FROM queueJobs j WHERE {STATES[state]} LIMIT {COUNT_LIMIT}"  # noqa: S608
            found[state] = fetch_value(connection, f"SELECT count(*) FROM ({some})")  # noqa: S608
        return found

    return await DB.read(read)


async def read_rows(tail: str, args: Mapping[str, Any]) -> list[JobRow]:
    """The jobs that `tail` of the statement names."""

    def read(connection: apsw.Connection) -> list[JobRow]:
        now = situation(connection)
        rows = fetch(connection, SELECT + tail, {**now.args, **args})
        return [line(row, now) for row in rows]

    return await DB.read(read)


def line(row: Row, now: Situation) -> JobRow:
    """A row of `SELECT` as a line of a list."""
    ended = row["finishedAt"] is not None
    message = row["progressMessage"] if row["state"] == "running" else row["errorCode"]
    since = (row["startedAt"] or row["createdAt"]) if ended else row["createdAt"]
    reasons = now.reasons(row) if row["shown"] in ("waiting", "ready") else []
    return JobRow(
        id=row["id"],
        type=row["type"],
        label=row["title"],
        state=row["shown"],
        progress=row["progress"] if row["state"] == "running" else None,
        message=message or "",
        age_s=max(0.0, ((row["finishedAt"] or now.now) - since) / 1000),
        attempts=row["attempts"],
        max_attempts=row["maxAttempts"],
        owner=row["owner"],
        can_cancel=not ended and row["cancelRequestedAt"] is None,
        can_retry=row["state"] in ("failed", "cancelled"),
        can_run=row["state"] == "queued" and row["runAt"] > now.now,
        run_at=row["runAt"],
        why=reasons[0].why if reasons else "",
        until=reasons[0].until if reasons else None,
    )


def is_shared(type_: str) -> bool:
    """Whether several people may wait for jobs of this type, so that none of them cancels it."""
    handler = REGISTRY.handlers.get(type_)
    return handler is not None and handler.payload.SHARED


def matching(
    *,
    state: str = "",
    q: str = "",
    before: str = "",
    newest: str = "",
    after: str = "",
    owner: str = "",
) -> tuple[str, dict[str, Any]]:
    """The condition on `queueJobs j` of a filter, and its arguments beside a `Situation`'s."""
    where = [FILTERS.get(state, "1")]
    if before:
        where.append("j.id < :before")
    if newest:
        where.append("j.id <= :newest")
    if after:
        where.append("j.id > :after")
    if owner:
        where.append("j.ownerUserId = :owner")
    words = _qualifiers(q)
    where += [_QUALIFIED[name].replace(":v", f":v{at}") for at, (name, _) in enumerate(words)]
    args = {f"v{at}": value for at, (_name, value) in enumerate(words)}
    given = {"before": before, "newest": newest, "after": after, "owner": owner}
    return " AND ".join(where), {**args, **given}


def _qualifiers(q: str) -> list[tuple[str, str]]:
    """`type:tickets.download batch:… word` as conditions; a bare word looks in type and label."""
    found: list[tuple[str, str]] = []
    for word in q[:200].split():
        name, colon, value = word.partition(":")
        if colon and value and name in _QUALIFIED:
            found.append((name, value))
        else:
            safe = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            found.append(("", f"%{safe}%"))
    return found


_QUALIFIED = {
    "": "(j.type LIKE :v ESCAPE '\\' OR j.label LIKE :v ESCAPE '\\')",
    "type": "j.type = :v",
    "batch": "j.batchId = :v",
    "schedule": "j.scheduleId = :v",
    "subject": "j.subjectId = :v",
    "error": "j.errorCode = :v",
    "parent": "j.parentId = :v",
}


def _owner(viewer: Viewer, mine: bool) -> str:
    return viewer.id if mine or viewer.role != "admin" else ""
