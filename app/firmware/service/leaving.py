"""What becomes of a person's firmware rows when the account is closed, and what an export holds."""

from collections.abc import Mapping
from typing import Any

import msgspec

from app.firmware.service import devices, queries, wishes
from app.firmware.service.queries import Wanted
from db import clock
from db.engine import DB

MOST = 100_000


async def on_account_closed(_tx: Any, user_id: str) -> None:
    """Numbers and devices go at once, open requests are taken back. Joins the transaction."""
    await queries.forget_person(user_id)
    await DB.execute("DELETE FROM firmware_devices WHERE user_id = ?", (user_id,))
    await DB.execute(
        "UPDATE firmware_requests SET status = 'cancelled', finished_at = ?"
        " WHERE user_id = ? AND status = 'queued'",
        (clock.text(), user_id),
    )


async def export_account(user_id: str) -> Mapping[str, bytes]:
    """Own devices, queries and requests as JSON; numbers stay masked, as everywhere."""
    own = {
        "devices": await devices.list_devices(user_id),
        "queries": (await queries.list_pairs(Wanted(user_id=user_id), limit=MOST))[0],
        "requests": await wishes.list_own(user_id, limit=MOST),
    }
    return {f"firmware/{name}.json": msgspec.json.encode(rows) for name, rows in own.items()}
