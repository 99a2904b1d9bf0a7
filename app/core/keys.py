"""The life of the vault's keys: a new master key, a new data key, and beginning anew."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from app.core import vault
from app.core.files import write_whole
from app.core.ring import (
    KEY_BYTES,
    RING_FILE,
    RingKey,
    VaultError,
    format_ring,
    key_id,
    read_ring,
)
from db import clock
from db.engine import DB
from db.failpoints import afailpoint


async def rotate_master(data_dir: Path, env: Mapping[str, str]) -> str:
    """All data keys under a new master key, in the open transaction; its id.

    The new key is in the ring, on the disk, before anything is under it, and the old one stays
    there: whenever this is killed, the ring opens the database. A run that was cut off after the
    ring was written is finished by the next one. Raises VaultError.
    """
    ring = read_ring(data_dir, env)
    rows = await DB.all("SELECT id, kek_id, wrapped FROM vault_keys")
    if not ring or not rows:
        raise VaultError("there is no key ring to rotate")
    if all(row["kek_id"] == ring[0].kid for row in rows):
        if ring[0].source != RING_FILE:
            raise VaultError(
                f"the master key comes from {ring[0].source}: put a new key on its first line"
                " (the old one below it), restart, then run this again"
            )
        ring = [_fresh(), *ring]
        kept = [key for key in ring if key.source == RING_FILE]
        write_whole(data_dir / RING_FILE, format_ring(kept), point="vault_ring")
    for row in rows:
        if row["kek_id"] == ring[0].kid:
            continue
        plain = vault.unwrap(ring, row)
        if plain is None:
            raise VaultError(f"no key in the ring opens the data key {row['id']}")
        await DB.execute(
            "UPDATE vault_keys SET kek_id = ?, wrapped = ? WHERE id = ?",
            (ring[0].kid, vault.wrap(ring[0], row["id"], plain), row["id"]),
        )
    await afailpoint("vault_before_rewrap_commit")
    return ring[0].kid


async def forget_old_masters(data_dir: Path, env: Mapping[str, str]) -> list[str]:
    """Take keys that nothing here is under out of the ring's file; their ids.

    Raises VaultError while a copy in `backups/` is older than the current key.
    """
    ring = read_ring(data_dir, env)
    used = {row["kek_id"] for row in await DB.all("SELECT kek_id FROM vault_keys")}
    old = [key for key in ring if key.kid not in used and key.source == RING_FILE]
    if not old:
        return []
    needed = [key for key in ring if key.kid in used]
    since = max((key.created for key in needed if key.created not in ("", "-")), default="")
    older = [
        file.name
        for file in (data_dir / "backups").glob("*")
        if file.is_file() and (not since or file.stat().st_mtime < clock.parse(since).timestamp())
    ]
    if older:
        raise VaultError(f"a backup is older than the current key and needs it: {min(older)}")
    kept = [key for key in ring if key not in old and key.source == RING_FILE]
    write_whole(data_dir / RING_FILE, format_ring(kept), point="vault_ring")
    return [key.kid for key in old]


async def new_data_key() -> str:
    """A fresh data key that seals from now on, in the open transaction; the old ones open only."""
    await DB.execute("UPDATE vault_keys SET state = 'retired' WHERE state = 'active'")
    return (await vault.new_data_key())["id"]


async def forget_all() -> None:
    """Throw all data keys away, in the open transaction: nothing sealed before opens again."""
    await DB.execute("DELETE FROM vault_keys")
    await DB.execute("DELETE FROM vault_meta")


async def begin_anew(data_dir: Path, env: Mapping[str, str]) -> None:
    """A vault for a database that has none, in the open transaction.

    A ring that can be read is used on; one that cannot is set aside, not deleted.
    """
    file = data_dir / RING_FILE
    try:
        ring = read_ring(data_dir, env)
    except VaultError:
        file.rename(file.with_name(f"{RING_FILE}.lost-{clock.ms()}"))
        ring = read_ring(data_dir, env)
    if not ring:
        fresh = _fresh()
        write_whole(file, format_ring([fresh]), point="vault_ring")
    await vault.load(data_dir, env)


def _fresh() -> RingKey:
    secret = secrets.token_bytes(KEY_BYTES)
    return RingKey(key_id(secret), secret, clock.text(), RING_FILE)
