"""What the queue itself noted about a job: each attempt, each wait, each rescue, as one history."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from db.connection import Row

RESCUED = ("orphaned", "lease_expired", "poison")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, newest first in a list of them; times in milliseconds.

    `what`: created, running, succeeded, retrying, failed, cancelled, snoozed, returned, rescued,
    dropped. `number`: which attempt; 0 where it was none.
    """

    what: str
    at: int
    number: int = 0
    took_ms: int | None = None
    text: str = ""
    code: str = ""
    stack: str = ""
    worker: str = ""


def attempts(row: Row, said: Sequence[Row], *, with_stacks: bool) -> list[Attempt]:
    """The life of `row`, newest first, from its own columns and what the queue said (newest first).

    A plain success costs no entry: it follows from the row.
    """
    found = [_noted(event, with_stacks) for event in said]
    if row["state"] == "running":
        found.insert(0, Attempt(what="running", at=row["startedAt"], number=row["attempts"]))
    elif row["state"] == "succeeded":
        took = row["finishedAt"] - row["startedAt"] if row["startedAt"] else None
        found.insert(
            0,
            Attempt(what="succeeded", at=row["finishedAt"], number=row["attempts"], took_ms=took),
        )
    elif row["finishedAt"] and not any(each.at == row["finishedAt"] for each in found):
        # Cancelled while it waited, or released by hand: no attempt ended, so none was noted.
        text = row["lastError"] or "" if row["state"] == "failed" else ""
        found.insert(0, Attempt(what=row["state"], at=row["finishedAt"], text=text))
    return [*found, Attempt(what="created", at=row["createdAt"])]


def _noted(event: Row, with_stacks: bool) -> Attempt:
    about: dict[str, Any] = json.loads(event["metadata"] or "{}")
    what = str(about.get("outcome") or about.get("kind") or "dropped")
    if about.get("healReason") in RESCUED and what == "queued":
        what = "rescued"
    return Attempt(
        what=what,
        at=event["created_at"],
        number=event["attempt"],
        took_ms=about.get("ms"),
        text=event["message"],
        code=about.get("errorCode") or "",
        stack=(about.get("stack") or "") if with_stacks else "",
        worker=(about.get("workerId") or "") if with_stacks else "",
    )
