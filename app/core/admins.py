"""Whether somebody is an admin now, for work that was asked for by one a while ago."""

from db.engine import DB


async def is_admin(user_id: str | None) -> bool:
    """Active, not closed, and still an admin."""
    return user_id is not None and bool(
        await DB.value(
            "SELECT 1 FROM users WHERE id = ? AND role = 'admin' AND is_active = 1"
            " AND deleted_at IS NULL",
            (user_id,),
        )
    )
