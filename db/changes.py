"""The change feed: which rows each commit touched, told after the commit and never on a rollback.

Nobody publishes by hand. The writer's pre-update hook notes every changed row, also those that a
trigger or a cascade changed, and those of WITHOUT ROWID tables; the engine hands the list on.
"""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import apsw

from db.connection import fetch

log = logging.getLogger(__name__)


class Change(NamedTuple):
    """One changed row. `before`, `after`: its owner's id; None where there is none or no row."""

    table: str
    key: Any
    before: Any
    after: Any


class Shape(NamedTuple):
    """Where a table keeps its key (None: the rowid) and its owner (None: nobody's)."""

    key: int | None
    owner: int | None


Listener = Callable[[list[Change]], None]

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"

# The columns that name a row's owner, first found wins. `created_by` and the like are not owners.
OWNER_COLUMNS = ("user_id", "userId", "owner_id", "ownerUserId", "owner_user_id")


class Recorder:
    """Notes the changes of the open transaction on one connection; lives on the writer's thread."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._shapes = shapes(connection)
        self.pending: list[Change] = []
        connection.preupdate_hook(self._note)

    def take(self) -> list[Change]:
        """What was noted since the last call: the commit's changes."""
        taken, self.pending = self.pending, []
        return taken

    def mark(self) -> int:
        """A place to go back to when a savepoint is rolled back."""
        return len(self.pending)

    def rewind(self, mark: int) -> None:
        """Forget what was noted after `mark`."""
        del self.pending[mark:]

    def _note(self, update: apsw.PreUpdate) -> None:
        shape = self._shapes.get(update.table_name)
        if shape is None:
            return
        old, new = update.old, update.new
        row = old if new is None else new
        if row is None:  # a change without a row before or after is none
            return
        key = update.rowid if shape.key is None else row[shape.key]
        before = old[shape.owner] if old and shape.owner is not None else None
        after = new[shape.owner] if new and shape.owner is not None else None
        self.pending.append(Change(update.table_name, key, before, after))


class Feed:
    """Who wants to know. Listeners run on the event loop's thread, in the order of the commits."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._foreign: list[Callable[[], None]] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear each commit of this process; returns how to stop hearing."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def on_foreign(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Hear that another process committed something; returns how to stop hearing."""
        self._foreign.append(listener)
        return lambda: self._foreign.remove(listener)

    def deliver(self, changes: list[Change], but: Listener | None = None) -> None:
        """Hand one commit's changes to every listener, except to `but`, who saw them made.

        One that fails does not stop the others.
        """
        for listener in list(self._listeners):
            if listener == but:
                continue
            try:
                listener(changes)
            except Exception:
                log.exception("a listener of the change feed failed")

    def deliver_foreign(self) -> None:
        """Tell every listener that another process wrote."""
        for listener in list(self._foreign):
            try:
                listener()
            except Exception:
                log.exception("a listener for other processes' commits failed")


def shapes(connection: apsw.Connection) -> dict[str, Shape]:
    """Each table's key and owner positions, read from the file itself."""
    found: dict[str, Shape] = {}
    for row in fetch(connection, _TABLES):
        table = row["name"]
        columns = fetch(connection, "SELECT name, type, pk FROM pragma_table_info(?)", (table,))
        names = [column["name"] for column in columns]
        keys = [at for at, column in enumerate(columns) if column["pk"]]
        rowid_is_key = len(keys) == 1 and columns[keys[0]]["type"].upper() == "INTEGER"
        key = None if rowid_is_key or not keys else keys[0]
        owner = next((names.index(name) for name in OWNER_COLUMNS if name in names), None)
        if table == "users":  # a person's own row is theirs
            owner = names.index("id")
        found[table] = Shape(key, owner)
    return found


FEED = Feed()
subscribe = FEED.subscribe
on_foreign = FEED.on_foreign
