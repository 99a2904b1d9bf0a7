"""What a server left behind, read from its files alone: nothing of the program is asked.

`faults` is what the kill tests hold true. It says everything it finds wrong, so that a planted
wrong can show that it looks.
"""

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

Row = dict[str, Any]

POSTS = 2  # automatic password posts of one person without a success between
WAITING = ("queued", "running")


def ask(data_dir: Path, sql: str, args: Sequence[Any] = ()) -> list[Row]:
    """Rows of the file beside a running server, which is not kept from writing."""
    connection = apsw.Connection(
        str(data_dir / "holdfast.db"), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=0
    )
    connection.set_busy_timeout(5000)
    try:
        return _rows(connection, sql, args)
    finally:
        connection.close()


def ask_copy(data_dir: Path, sql: str, args: Sequence[Any] = ()) -> list[Row]:
    """Rows of a dead server's file, read from a copy: what the next start finds stays untouched."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            source = data_dir / f"holdfast.db{suffix}"
            if source.exists():
                shutil.copy(source, folder)
        return ask(Path(folder), sql, args)


def faults(data_dir: Path, posts: Mapping[str, int]) -> list[str]:
    """Everything wrong with a drained server's tickets; `posts`: the portal's count per login."""
    return [*_sound(data_dir, posts), *_ticket_faults(data_dir)]


def round_faults(data_dir: Path, posts: Mapping[str, int], rounds: int) -> list[str]:
    """The same after `rounds` changes of the base ticket: each was noted once, one fan-out went
    with it, and everybody who opted in has each version, nobody else any."""
    fans = ask(
        data_dir,
        "SELECT payloadJson ->> 'hash' AS hash FROM queueJobs WHERE type = 'tickets.fan_out'",
    )
    noted = ask(
        data_dir,
        "SELECT count(*) AS n FROM ticket_download_history"
        " WHERE trigger = 'base' AND outcome = 'new'",
    )[0]["n"]
    state = ask(data_dir, "SELECT base_ticket_hash AS hash FROM base_ticket_state")[0]["hash"]
    found = _sound(data_dir, posts)
    if noted != rounds:
        found.append(f"{rounds} changes, {noted} noted")
    if len({row["hash"] for row in fans}) != rounds or len(fans) != rounds:
        found.append(f"{rounds} changes, {len(fans)} fan-outs")
    if not fans or fans[-1]["hash"] != state:
        found.append("the last fan-out is not of the ticket that is known")
    for row in ask(
        data_dir,
        "SELECT login, auto_download_enabled AS opted_in, (SELECT count(*) FROM tickets t"
        "  WHERE t.user_id = u.id AND t.status = 'success') AS n FROM users u ORDER BY login",
    ):
        wanted = rounds if row["opted_in"] else 0
        if row["n"] != wanted:
            found.append(f"{row['login']}: {row['n']} of {wanted} versions")
    return found


def _sound(data_dir: Path, posts: Mapping[str, int]) -> list[str]:
    """What must hold whatever was done: file, folders, jobs, and posts of passwords."""
    found = [
        f"integrity: {row['integrity_check']}"
        for row in ask(data_dir, "PRAGMA integrity_check")
        if row["integrity_check"] != "ok"
    ]
    found += [f"foreign key: {row}" for row in ask(data_dir, "PRAGMA foreign_key_check")]
    return [
        *found,
        *_folder_faults(data_dir),
        *_job_faults(data_dir),
        *(f"{login}: {n} password posts" for login, n in posts.items() if n > POSTS),
    ]


def is_drained(data_dir: Path) -> bool:
    """Whether no job waits for anything but its time of day."""
    soon = "type LIKE 'tickets.%' OR runAt < (unixepoch() + 60) * 1000"
    return not ask(
        data_dir,
        f"SELECT 1 FROM queueJobs WHERE state = 'running' OR state = 'queued' AND ({soon}) LIMIT 1",
    )


def kept_folders(data_dir: Path) -> set[str]:
    """`<user>/<folder>` of everything below tickets/, half-written ones too."""
    return {
        f"{folder.parent.name}/{folder.name}" for folder in (data_dir / "tickets").glob("*/*")
    } | {f".../{folder.name}" for folder in (data_dir / "tickets").glob(".*")}


def _folder_faults(data_dir: Path) -> list[str]:
    """The disk against the rows, both ways, and each document against its hash."""
    rows = ask(data_dir, "SELECT file_path, content_hash FROM tickets")
    named = {"/".join(row["file_path"].split("/")[1:3]) for row in rows}
    there = kept_folders(data_dir)
    found = [f"folder without a row: {folder}" for folder in sorted(there - named)]
    found += [f"row without a folder: {folder}" for folder in sorted(named - there)]
    for row in rows:
        file = data_dir / row["file_path"]
        if not file.exists():
            continue
        if hashlib.sha256(file.read_bytes()).hexdigest() != row["content_hash"]:
            found.append(f"other bytes than the row says: {row['file_path']}")
        found += [
            f"empty: {part}" for part in sorted(file.parent.iterdir()) if not part.stat().st_size
        ]
    return found


def _ticket_faults(data_dir: Path) -> list[str]:
    """Who asked has one ticket, and one line that says it was new and leads to it."""
    found = []
    asked = ask(
        data_dir, "SELECT DISTINCT ownerUserId AS id FROM queueJobs WHERE type = 'tickets.download'"
    )
    tickets = Counter(row["user_id"] for row in ask(data_dir, "SELECT user_id FROM tickets"))
    lines = ask(
        data_dir,
        "SELECT h.user_id FROM ticket_download_history h"
        " JOIN tickets t ON t.id = h.ticket_id AND t.ticket_version = h.ticket_version"
        " JOIN queueJobs j ON j.id = h.job_id"
        " WHERE h.outcome = 'new' AND h.status = 'success'",
    )
    news = Counter(row["user_id"] for row in lines)
    for user in sorted({row["id"] for row in asked} | set(tickets)):
        if tickets[user] != 1:
            found.append(f"{user}: {tickets[user]} tickets")
        if news[user] != 1:
            found.append(f"{user}: {news[user]} attempts that say the ticket was new")
    return found


def _job_faults(data_dir: Path) -> list[str]:
    """Every run asked for has ended well, and each attempt that died is told in its history."""
    jobs = ask(
        data_dir,
        "SELECT id, state, attempts, crashes, lastError, lockedBy, (SELECT count(*) FROM job_events"
        "  WHERE job_id = queueJobs.id AND metadata ->> 'healReason' = 'orphaned') AS told"
        " FROM queueJobs WHERE type IN"
        " ('tickets.download', 'tickets.check_base', 'tickets.fan_out')",
    )
    found = []
    for job in jobs:
        if job["state"] in WAITING or job["lockedBy"]:
            found.append(f"stuck: {job}")
        elif job["state"] != "succeeded":
            found.append(f"not succeeded: {job}")
        if job["crashes"] != job["told"]:
            found.append(f"{job['crashes']} deaths, {job['told']} told: {job}")
        if job["attempts"] < 1 + job["crashes"]:
            found.append(f"attempts went missing: {job}")
    return found


def _rows(connection: apsw.Connection, sql: str, args: Sequence[Any]) -> list[Row]:
    cursor = connection.execute(sql, args)
    return [
        dict(zip([column[0] for column in cursor.get_description()], row, strict=True))
        for row in cursor
    ]
