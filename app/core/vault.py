"""Secrets in the database: each sealed for its table, column and row, under wrapped data keys.

The master key never lies in the database or in a backup. Without it everything but the secrets
still works.
"""

import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.core.ring import (
    KEY_BYTES,
    LONGEST,
    RingKey,
    VaultError,
    b64,
    new_ring_key,
    read_ring,
    unb64,
)
from app.core.secret import SecretStr, remember
from db import clock
from db.engine import DB
from db.keys import uuid7

__all__ = [
    "Vault",
    "VaultError",
    "WrongKey",
    "active_key",
    "close",
    "data_keys",
    "derive",
    "is_sealed",
    "kids",
    "load",
    "new_data_key",
    "open",
    "refresh",
    "ring_source",
    "seal",
    "unwrap",
    "watch",
    "wrap",
]

FORM: Final = "hf1"
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
STEP: Final = (
    32  # plain texts are filled up to multiples of this, so that a length gives little away
)
LENGTH_BYTES: Final = 4
CANARY: Final = "this key opens this database"


class WrongKey(VaultError):
    """The key ring does not belong to this database.

    The message names the key ids, which are no secrets.
    """


class Vault:
    """The opened key ring and data keys of one database; no I/O after it was made."""

    def __init__(self, ring: list[RingKey], data_keys: dict[str, bytes], active: str) -> None:
        self._ring = ring
        self._data_keys = data_keys
        self._active = active
        self.root = b""

    @property
    def active(self) -> str:
        """The id of the data key that seals."""
        return self._active

    @property
    def data_keys(self) -> frozenset[str]:
        """Ids of the data keys that open."""
        return frozenset(self._data_keys)

    @property
    def ring(self) -> list[RingKey]:
        """The master keys."""
        return self._ring

    @property
    def kids(self) -> list[str]:
        """Ids of the master keys in the ring, the current one first."""
        return [key.kid for key in self._ring]

    def seal(self, table: str, column: str, pk: str | int, text: str) -> str:
        """`text` as vault text that opens only in this column of this row.

        ValueError above 64 KiB.
        """
        plain = text.encode()
        if len(plain) > LONGEST:
            raise ValueError("a secret may have at most 64 KiB")
        filled = len(plain).to_bytes(LENGTH_BYTES, "big") + plain
        filled += bytes(-len(filled) % STEP)
        place = _place(table, column, pk)
        salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
        box = AESGCM(_derive(self._data_keys[self._active], salt, place)).encrypt(
            nonce, filled, place
        )
        return f"{FORM}.{self._active}.{b64(salt + nonce + box)}"

    def open(self, table: str, column: str, pk: str | int, stored: str) -> SecretStr:
        """The secret in `stored`. Raises VaultError whatever is wrong with it."""
        form, key_id, raw = _parts(stored)
        data_key = self._data_keys.get(key_id)
        if (
            form != FORM
            or data_key is None
            or len(raw) < SALT_BYTES + NONCE_BYTES + STEP + TAG_BYTES
        ):
            raise VaultError("this secret cannot be opened")
        place = _place(table, column, pk)
        salt, nonce, box = (
            raw[:SALT_BYTES],
            raw[SALT_BYTES:][:NONCE_BYTES],
            raw[SALT_BYTES + NONCE_BYTES :],
        )
        try:
            filled = AESGCM(_derive(data_key, salt, place)).decrypt(nonce, box, place)
            length = int.from_bytes(filled[:LENGTH_BYTES], "big")
            text = filled[LENGTH_BYTES:][:length].decode()
        except (InvalidTag, ValueError) as error:
            raise VaultError("this secret cannot be opened") from error
        return SecretStr(text)


OnFault = Callable[[str, str, str], None]

_vault: Vault | None = None
_tell: OnFault | None = None


async def load(data_dir: Path, env: Mapping[str, str]) -> None:
    """Open the vault of the open database; makes a key ring and a data key on a fresh one.

    Raises WrongKey if the ring does not open this database, VaultError if the ring itself cannot be
    read.
    """
    global _vault  # noqa: PLW0603 - one process has one database and one vault
    _vault = None
    ring = read_ring(data_dir, env)
    async with DB.tx():  # two processes starting on one fresh file must end with one data key
        rows = await DB.all(
            "SELECT id, kek_id, wrapped, state FROM vault_keys ORDER BY created_at, id"
        )
        if not ring and rows:
            raise _wrong(ring, sorted({row["kek_id"] for row in rows}))
        if not ring:
            ring = [new_ring_key(data_dir)]
        if not rows:
            rows = [await _insert_data_key(ring[0])]
        opened = _unwrap(ring, rows)
        opened.root = await _root(opened, ring, rows)
    _vault = opened


async def refresh() -> None:
    """Read the data keys again: another process may have made one."""
    opened = _loaded()
    rows = await DB.all("SELECT id, kek_id, wrapped, state FROM vault_keys ORDER BY created_at, id")
    fresh = _unwrap(opened.ring, rows)
    fresh.root = opened.root
    global _vault  # noqa: PLW0603
    _vault = fresh


def watch(tell: OnFault | None) -> None:
    """Have `tell` called, from wherever it happens, for each value that does not open."""
    global _tell  # noqa: PLW0603
    _tell = tell


def close() -> None:
    """Forget all keys. Until the next `load` nothing can be sealed or opened."""
    global _vault  # noqa: PLW0603
    _vault = None


def seal(table: str, column: str, pk: str | int, text: str) -> str:
    """Vault text of `text` for this column of this row.

    SQLite-made keys: insert first, then seal, in one tx.
    """
    return _loaded().seal(table, column, pk, text)


def open(table: str, column: str, pk: str | int, stored: str) -> SecretStr:
    """The secret behind `stored`.

    Raises VaultError if it was sealed for another place, damaged, or its key is lost.
    """
    try:
        secret = _loaded().open(table, column, pk, stored)
    except VaultError:
        if _vault is not None and _tell is not None:
            _tell(table, column, str(pk))
        raise
    remember(secret.reveal())
    return secret


def derive(purpose: str) -> bytes:
    """32 bytes for one purpose (audit chain, signed cookies).

    The same after every restart and key rotation.
    """
    return _derive(_loaded().root, b"", f"holdfast/derived/1|{purpose}".encode())


def is_sealed(text: str) -> bool:
    """Whether `text` has the form of vault text; says nothing about whether it opens."""
    return text.startswith(f"{FORM}.")


def kids() -> list[str]:
    """Ids of the master keys in the ring, the current one first (doctor, backup manifests)."""
    return _loaded().kids


def active_key() -> str:
    """Id of the data key that seals."""
    return _loaded().active


def data_keys() -> frozenset[str]:
    """Ids of the data keys that open."""
    return _loaded().data_keys


def ring_source() -> str:
    """The file or variable the current master key came from."""
    return _loaded().ring[0].source


async def new_data_key() -> dict[str, str]:
    """One more data key under the current master key, in the open transaction; its row."""
    return await _insert_data_key(_loaded().ring[0])


def is_loaded() -> bool:
    """Whether the vault of this process is open."""
    return _vault is not None


def _loaded() -> Vault:
    if _vault is None:
        raise VaultError("the vault is closed")
    return _vault


async def _insert_data_key(master: RingKey) -> dict[str, str]:
    data_key_id, data_key = uuid7(), secrets.token_bytes(KEY_BYTES)
    wrapped = wrap(master, data_key_id, data_key)
    row = {"id": data_key_id, "kek_id": master.kid, "wrapped": wrapped, "state": "active"}
    await DB.execute(
        "INSERT INTO vault_keys (id, kek_id, wrapped, state, created_at) VALUES (?, ?, ?, ?, ?)",
        (*row.values(), clock.text()),
    )
    return row


def wrap(master: RingKey, data_key_id: str, data_key: bytes) -> str:
    """The data key as text that only this master key opens, for `vault_keys.wrapped`."""
    nonce = os.urandom(NONCE_BYTES)
    return b64(nonce + AESGCM(master.secret).encrypt(nonce, data_key, _wrap_place(data_key_id)))


def unwrap(ring: list[RingKey], row: Mapping[str, str]) -> bytes | None:
    """The data key of a row of `vault_keys`; None if no master key of the ring opens it."""
    raw = unb64(row["wrapped"])
    master = next((key for key in ring if key.kid == row["kek_id"]), None)
    if master is None or raw is None:
        return None
    try:
        return AESGCM(master.secret).decrypt(
            raw[:NONCE_BYTES], raw[NONCE_BYTES:], _wrap_place(row["id"])
        )
    except (InvalidTag, ValueError):
        return None


def _unwrap(ring: list[RingKey], rows: list[dict[str, str]]) -> Vault:
    """A vault of all data keys the ring opens. A retired key may be lost.

    The active one may not.
    """
    opened = {row["id"]: unwrap(ring, row) for row in rows}
    data_keys = {name: key for name, key in opened.items() if key is not None}
    active = [row["id"] for row in rows if row["state"] == "active"]
    if len(active) != 1 or active[0] not in data_keys:
        raise _wrong(ring, sorted({row["kek_id"] for row in rows if row["id"] not in data_keys}))
    return Vault(ring, data_keys, active[0])


async def _root(opened: Vault, ring: list[RingKey], rows: list[dict[str, str]]) -> bytes:
    """The secret that `derive` starts from.

    Made once, sealed like any other, so no rotation changes it.
    Opening it and the canary beside it proves that ring, data keys and database belong together.
    """
    meta = {row["key"]: row["value"] for row in await DB.all("SELECT key, value FROM vault_meta")}
    wanted = {"canary": CANARY, "root": secrets.token_hex(KEY_BYTES)}
    found: dict[str, str] = {}
    for name, fresh in wanted.items():
        if name not in meta:
            sealed = opened.seal("vault_meta", "value", name, fresh)
            await DB.execute("INSERT INTO vault_meta (key, value) VALUES (?, ?)", (name, sealed))
            meta[name] = sealed
        try:
            found[name] = opened.open("vault_meta", "value", name, meta[name]).reveal()
        except VaultError as error:
            raise _wrong(ring, sorted({row["kek_id"] for row in rows})) from error
    if not hmac.compare_digest(found["canary"], CANARY):
        raise _wrong(ring, sorted({row["kek_id"] for row in rows}))
    return bytes.fromhex(found["root"])


def _wrong(ring: list[RingKey], needed: list[str]) -> WrongKey:
    held = ", ".join(key.kid for key in ring) or "none"
    return WrongKey(
        f"this key does not open this database; key ring holds kids {held};"
        f" database needs {', '.join(needed)}"
    )


def _place(table: str, column: str, pk: str | int) -> bytes:
    return f"holdfast/field/1|{table}|{column}|{pk}".encode()


def _wrap_place(data_key_id: str) -> bytes:
    return f"holdfast/dek/1|{data_key_id}".encode()


def _derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt or None, info=info).derive(key)


def _parts(stored: str) -> tuple[str, str, bytes]:
    """Form, data key id and raw bytes; empty ones for anything that is no vault text."""
    words = stored.split(".")
    raw = unb64(words[2]) if len(words) == 3 else None
    return ("", "", b"") if raw is None else (words[0], words[1], raw)
