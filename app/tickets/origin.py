"""Reads the database of UK-TicketUpdater, the program this domain grew out of. Changes nothing."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import apsw
import bcrypt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.secret import SecretStr
from db import clock

# app/src/db.js of the origin; a table may be missing in an older file
TABLES: Final = (
    *("users", "invite_tokens", "user_credentials", "credentials", "device_profiles"),
    *("tickets", "download_history", "base_ticket_state"),
)
KEY_SIGNS: Final = 32  # crypto.js: the environment's text cut or filled with "0", as ASCII
# bcryptjs, cost 10 unless somebody changed it; costs that would stop the server are left behind.
HASH: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}")
DEFAULT_PASSWORD: Final = b"admin"
_NAMED: Final = re.compile(r"ticket-(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(\d{1,3})Z\.html")


class NoOrigin(ValueError):
    """The file is not a database of the origin."""


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows by table, through a connection that cannot write."""
    if not path.is_file():
        raise NoOrigin(f"no file {path}")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise NoOrigin(f"{path}: {error}") from error
    try:
        names = "SELECT name FROM sqlite_master WHERE type = 'table'"
        there = {name for (name,) in connection.execute(names)}
        if "users" not in there:
            raise NoOrigin(f"{path} has no table of users")
        return {name: _rows(connection, name) if name in there else [] for name in TABLES}
    except apsw.NotADBError as error:
        raise NoOrigin(f"{path} is no SQLite file") from error
    finally:
        connection.close()


def decrypt(stored: str, key_text: str) -> SecretStr | None:
    """A password the origin encrypted (`iv:tag:data`, hex, AES-256-GCM); None with another key."""
    key = key_text[:KEY_SIGNS].ljust(KEY_SIGNS, "0")
    parts = stored.split(":")
    if len(parts) != 3 or not key.isascii():
        return None
    try:
        nonce, tag, data = (bytes.fromhex(part) for part in parts)
        plain = AESGCM(key.encode()).decrypt(nonce, data + tag, None)
        return SecretStr(plain.decode())
    except (ValueError, InvalidTag):
        return None


def is_default(password_hash: str) -> bool:
    """Whether it is the password that the origin ships with; takes some 60 ms."""
    return bcrypt.checkpw(DEFAULT_PASSWORD, password_hash.encode())


def moment(stored: Any, fallback: str = "") -> str:
    """A time in our form. The origin mixes `2026-11-20 09:00:00` (UTC) with ISO in one column."""
    text = str(stored or "").strip()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return fallback or clock.text()
    return clock.text(found if found.tzinfo else found.replace(tzinfo=UTC))


def moment_of(file: Path) -> str:
    """When the plain script saved a file: from its name, else from the disk."""
    named = _NAMED.fullmatch(file.name)
    if named:
        day, hour, minute, second, part = named.groups()
        return moment(f"{day}T{hour}:{minute}:{second}.{part.ljust(3, '0')}+00:00")
    return clock.text(datetime.fromtimestamp(file.stat().st_mtime, UTC))


def _rows(connection: apsw.Connection, table: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608 - our list
    found = []
    for row in cursor:
        names = [column[0] for column in cursor.get_description()]
        found.append(dict(zip(names, row, strict=True)))
    return found
