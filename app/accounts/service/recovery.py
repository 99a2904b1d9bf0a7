"""Recovery codes: ten ways past the second factor, each good once, stored as hashes only."""

import base64
import secrets
from hashlib import sha256

from db import clock
from db.engine import DB

CODES = 10
BYTES = 15  # 120 bits: with so many, a plain hash cannot be turned around


async def renew(user_id: str) -> list[str]:
    """Ten fresh codes in place of all others; shown once. Joins the open transaction."""
    codes = [_new() for _ in range(CODES)]
    async with DB.tx():
        await DB.execute("DELETE FROM recovery_codes WHERE user_id = ?", (user_id,))
        for code in codes:
            await DB.execute(
                "INSERT INTO recovery_codes (code_hash, user_id) VALUES (?, ?)",
                (_hash(code), user_id),
            )
    return codes


async def accept(user_id: str, code: str) -> bool:
    """Whether this code of theirs was still good; it is used by this."""
    used = await DB.execute(
        "UPDATE recovery_codes SET used_at = ?"
        " WHERE code_hash = ? AND user_id = ? AND used_at IS NULL",
        (clock.text(), _hash(code), user_id),
    )
    return used == 1


async def count_left(user_id: str) -> int:
    """How many are still good."""
    return int(
        await DB.value(
            "SELECT count(*) FROM recovery_codes WHERE user_id = ? AND used_at IS NULL", (user_id,)
        )
    )


async def remove(user_id: str) -> None:
    """Forget them all. Joins the open transaction."""
    await DB.execute("DELETE FROM recovery_codes WHERE user_id = ?", (user_id,))


def looks_like_one(text: str) -> bool:
    """Whether it has the length of a recovery code rather than that of an app's code."""
    return len(_plain(text)) == BYTES * 8 // 5


def _new() -> str:
    text = base64.b32encode(secrets.token_bytes(BYTES)).decode().lower()
    return "-".join(text[at : at + 6] for at in range(0, len(text), 6))


def _plain(code: str) -> str:
    """As it is compared: people type them with and without hyphens, in either case."""
    return "".join(code.lower().replace("-", "").split())


def _hash(code: str) -> str:
    return sha256(_plain(code).encode(errors="surrogatepass")).hexdigest()
