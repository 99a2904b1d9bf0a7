"""What `holdfast doctor` sees in the database file: sound, of this version, in time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw

from app.core.doctor import Finding
from app.core.i18n import _, fmt_number, fmt_span, ngettext
from app.core.settings import Settings
from db import clock, schema
from db.connection import fetch, fetch_value
from db.engine import DB
from jobs.why import STATES, situation

SHOWN = 3
AHEAD = timedelta(minutes=1)
WAITED_MS = 15 * 60_000
OLD = timedelta(days=7)

_NEWEST = (
    "SELECT max(at) FROM (SELECT * FROM (SELECT at FROM audit_log ORDER BY id DESC LIMIT 1)"
    " UNION ALL SELECT * FROM (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', createdAt / 1000.0,"
    " 'unixepoch') FROM queueJobs ORDER BY id DESC LIMIT 1))"
)


async def look(chosen: Settings) -> AsyncIterator[Finding]:
    """Every check of the open database."""
    yield await _asked(
        "integrity",
        lambda connection: [
            next(iter(row.values()))
            for row in fetch(connection, f"PRAGMA integrity_check({SHOWN})")
            if "ok" not in row.values()
        ],
        good=_("every page and index is sound"),
        hint=_("stop the server, keep the file, and restore the newest copy that is whole"),
    )
    yield await _asked(
        "foreign keys",
        lambda connection: list(fetch(connection, "PRAGMA foreign_key_check")),
        good=_("every row points to one that is there"),
        hint=_("somebody wrote with foreign keys off: compare with a copy"),
        say=_orphan,
    )
    yield await _asked(
        "schema",
        lambda connection: schema.differences(schema.shipped(), schema.snapshot(connection)),
        good=_("as this version makes it"),
        hint=_("run holdfast migrate; if it stays, somebody changed tables by hand"),
    )
    yield await _clock()
    yield await _jobs()
    yield await asyncio.to_thread(_backups, chosen.data_dir / "backups")


async def _asked(
    name: str,
    ask: Callable[[apsw.Connection], list[Any]],
    *,
    good: str,
    hint: str,
    say: Callable[[Any], str] = str,
) -> Finding:
    """One question whose answer is a list of faults; a file that cannot answer is a fault, too."""
    try:
        faults = [say(fault) for fault in await DB.read(ask)]  # the words are the reader's
    except apsw.Error as error:
        faults = [_("cannot be read: %(error)s", error=error)]
    told = faults[:SHOWN]
    if len(faults) > SHOWN:
        told.append(_("%(n)s more", n=fmt_number(len(faults) - SHOWN)))
    return Finding(
        name=name,
        state="bad" if faults else "ok",
        text="; ".join(told) or good,
        hint=hint if faults else "",
    )


def _orphan(row: dict[str, Any]) -> str:
    return _(
        "%(table)s row %(row)s points to no row of %(parent)s",
        table=row["table"],
        row=row["rowid"],
        parent=row["parent"],
    )


async def _clock() -> Finding:
    newest = await DB.value(_NEWEST)
    ahead = clock.parse(newest) - clock.now() if newest else timedelta(0)
    back = ahead > AHEAD
    return Finding(
        name="clock",
        state="bad" if back else "ok",
        text=_(
            "the newest row is %(span)s in the future: the clock went back", span=fmt_span(ahead)
        )
        if back
        else _("no row is from the future"),
        hint=_("set the clock right (timedatectl) before anything is due twice") if back else "",
    )


async def _jobs() -> Finding:
    def read(connection: apsw.Connection) -> tuple[int, int]:
        now = situation(connection)
        args = {**now.args, "long": now.now - WAITED_MS}
        sql = f"SELECT count(*) FROM queueJobs j WHERE {STATES['stalled']}"  # noqa: S608
        stalled = fetch_value(connection, sql, args)
        sql = f"SELECT count(*) FROM queueJobs j WHERE {STATES['ready']} AND j.runAt < :long"  # noqa: S608
        return int(stalled), int(fetch_value(connection, sql, args))

    stalled, waiting = await DB.read(read)
    said = []
    if stalled:
        said.append(
            ngettext(
                "%(n)s job runs on a worker that does not answer",
                "%(n)s jobs run on a worker that does not answer",
                stalled,
            )
        )
    if waiting:
        said.append(
            ngettext(
                "%(n)s job could have started a quarter of an hour ago",
                "%(n)s jobs could have started a quarter of an hour ago",
                waiting,
            )
        )
    return Finding(
        name="jobs",
        state="warn" if said else "ok",
        text="; ".join(said) or _("none is stuck"),
        hint=_("is the server running? Then look at: holdfast queue check") if said else "",
    )


def _backups(folder: Path) -> Finding:
    """Copies that migrations take of themselves do not count: they are none of today's rows."""
    files = [path for path in folder.glob("*") if path.is_file()] if folder.is_dir() else []
    times = [path.stat().st_mtime for path in files if not path.name.startswith("pre-")]
    if not times:
        return Finding(
            name="backups",
            state="warn",
            text=_("no backups yet"),
            hint=_(
                "stop the server and copy the whole data folder, or let your host take snapshots"
            ),
        )
    age = timedelta(seconds=clock.now().timestamp() - max(times))
    return Finding(
        name="backups",
        state="warn" if age > OLD else "ok",
        text=_("the newest is %(span)s old", span=fmt_span(age)),
        hint=_("take one today") if age > OLD else "",
    )
