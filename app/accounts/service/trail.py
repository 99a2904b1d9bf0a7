"""The audit log for admins: filtering, exporting, and whether its chain is whole."""

import json
from datetime import date, timedelta
from typing import Any

import msgspec

from app.core import audit
from app.core.errors import Invalid
from app.core.i18n import _
from app.core.ordering import Came, order_by
from app.core.sheets import sheet
from db import clock
from db.engine import DB

EXPORT_ROWS = 100_000
COLUMNS = (
    "id",
    "at",
    "actor",
    "actor_kind",
    "ip",
    "action",
    "object_type",
    "object_id",
    "detail",
    "request_id",
)
ORDERS = {"time": ("a.id",)}
USUAL = "-time"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What to show. `who`: a login or an id; `what`: the beginning of an action."""

    who: str = ""
    what: str = ""
    ip: str = ""
    since: str = ""
    until: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it is read."""

    id: int
    at: str
    actor: str
    actor_kind: str
    ip: str
    action: str
    object_type: str
    object_id: str
    detail: str
    request_id: str


_SELECT = """
SELECT a.id, a.at, coalesce(u.login, a.actor_id, '') AS actor, a.actor_kind, a.ip, a.action,
  a.object_type, coalesce(o.login, a.object_id) AS object_id, a.detail, a.request_id
FROM audit_log a LEFT JOIN users u ON u.id = a.actor_id
LEFT JOIN users o ON a.object_type = 'user' AND o.id = a.object_id
"""


async def list_lines(
    chosen: Filter, *, sort: str = USUAL, upto: str = "", limit: int = 50, offset: int = 0
) -> list[Line]:
    """Newest first or oldest first. Raises Invalid for a day that is none.

    `upto`: the id of the newest line that was there when the list was opened.
    """
    where, args = _where(chosen)
    rows = await DB.all(
        f"{_SELECT} WHERE {where} AND a.id <= :upto ORDER BY {order_by(sort, ORDERS, USUAL)}"
        " LIMIT :limit OFFSET :offset",
        args | {"limit": limit, "offset": offset, "upto": _newest(upto)},
    )
    for row in rows:
        row["detail"] = "" if row["detail"] == "{}" else row["detail"]
    return msgspec.convert(rows, list[Line])


async def count_lines(chosen: Filter, *, upto: str = "") -> tuple[int, Came]:
    """How many lines fit the filter, and how many of them came after `upto`."""
    where, args = _where(chosen)
    row = await DB.one(
        "SELECT count(*) AS total, coalesce(max(a.id), '') AS newest,"  # noqa: S608 - constants
        " count(*) FILTER (WHERE a.id > :upto) AS newer"
        f" FROM audit_log a LEFT JOIN users u ON u.id = a.actor_id WHERE {where}",
        args | {"upto": _newest(upto)},
    )
    if row is None:
        return 0, Came()
    return row["total"], Came(newest=str(row["newest"]), newer=row["newer"])


async def export(chosen: Filter, form: str, admin_id: str, *, ip: str = "") -> bytes:
    """The same lines as CSV or JSON, at most 100,000; that it was done is a line itself."""
    if form not in ("csv", "json"):
        raise Invalid(form=_("CSV or JSON."))
    lines = await list_lines(chosen, limit=EXPORT_ROWS)
    await audit.record(
        "audit.exported",
        actor_id=admin_id,
        ip=ip,
        object_type="audit",
        detail={"form": form, "rows": len(lines)},
    )
    if form == "json":
        return json.dumps([_plain(line) for line in lines], ensure_ascii=False).encode()
    return sheet(COLUMNS, ([getattr(line, name) for name in COLUMNS] for line in lines))


async def list_actions() -> list[str]:
    """Every word there is in the log, for the filter."""
    rows = await DB.all("SELECT DISTINCT action FROM audit_log ORDER BY action LIMIT 300")
    return [row["action"] for row in rows]


async def first_bad() -> int | None:
    """Walks the whole chain; None if it is whole."""
    return await audit.verify()


def _newest(upto: str) -> int:
    return int(upto) if upto.isascii() and upto.isdigit() and len(upto) < 19 else 2**62


def _plain(line: Line) -> dict[str, Any]:
    values = msgspec.structs.asdict(line)
    values["detail"] = json.loads(line.detail or "{}")
    return values


def _where(chosen: Filter) -> tuple[str, dict[str, Any]]:
    parts, args = ["1"], dict[str, Any]()
    if chosen.who:
        parts.append("(a.actor_id = :who OR u.login = :who)")
        args["who"] = chosen.who
    if chosen.what:
        parts.append("substr(a.action, 1, length(:what)) = :what")
        args["what"] = chosen.what
    if chosen.ip:
        parts.append("a.ip = :ip")
        args["ip"] = chosen.ip
    if chosen.since:
        parts.append("a.at >= :since")
        args["since"] = _day(chosen.since, "since").isoformat()
    if chosen.until:
        parts.append("a.at < :until")
        last = min(_day(chosen.until, "until"), date.max - timedelta(days=1))
        args["until"] = (last + timedelta(days=1)).isoformat()
    return " AND ".join(parts), args


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid(**{field: _("A day such as %(day)s.", day=clock.text()[:10])}) from None
