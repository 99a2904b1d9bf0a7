"""The key ring of the vault: the master keys, the current one first, and their file."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from app.core.files import write_whole
from app.core.secret import from_outside
from db import clock

RING_FILE: Final = "secret.key"
KEY_BYTES: Final = 32
LONGEST: Final = 64 * 1024
_PLAIN: Final = bytes.maketrans(b"-_", b"+/")


class VaultError(Exception):
    """The text does not open here: wrong place, damaged, or its key is not there.

    Never says more.
    """


class RingKey(msgspec.Struct, frozen=True):
    """One master key. `source`: the file or variable it came from."""

    kid: str
    secret: bytes
    created: str
    source: str

    def __repr__(self) -> str:
        return f"RingKey(kid={self.kid!r}, created={self.created!r}, source={self.source!r})"


def read_ring(data_dir: Path, env: Mapping[str, str]) -> list[RingKey]:
    """Keys given from outside first, then those of `secret.key`; the first is current.

    Empty on a fresh folder. Both are read, so that a key can move from the file to the environment
    without a moment in which nothing opens.
    """
    ring: list[RingKey] = []
    try:
        given = from_outside("master_key", env)
        if given:
            ring += parse_ring(*given)
        file = data_dir / RING_FILE
        if file.exists():
            ring += parse_ring(file.read_text("ascii"), RING_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise VaultError("the key ring cannot be read") from error
    return list({key.kid: key for key in reversed(ring)}.values())[::-1]


def parse_ring(text: str, source: str) -> list[RingKey]:
    """The keys in `text`: lines `kid base64 created`, or one bare base64 key.

    Raises VaultError, never shows a key.
    """
    ring = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        encoded = words[0] if len(words) == 1 else words[1]
        secret = unb64(encoded)
        if len(words) > 3 or secret is None or len(secret) != KEY_BYTES:
            raise VaultError(
                f"line {number} of the key ring ({source}) is not a key of 32 bytes in base64"
            )
        if len(words) > 1 and words[0] != key_id(secret):
            raise VaultError(
                f"line {number} of the key ring ({source}): the key does not match its id"
            )
        ring.append(RingKey(key_id(secret), secret, words[2] if len(words) == 3 else "", source))
    return ring


def format_ring(ring: list[RingKey]) -> bytes:
    """The ring as the bytes of `secret.key`."""
    lines = (
        f"{key.kid} {base64.b64encode(key.secret).decode()} {key.created or '-'}\n" for key in ring
    )
    return "".join(lines).encode()


def key_id(secret: bytes) -> str:
    """The public name of a master key: 8 hex digits."""
    return hashlib.sha256(b"holdfast-kid" + secret).hexdigest()[:8]


def new_ring_key(data_dir: Path) -> RingKey:
    """A fresh master key, on the disk before anything is wrapped with it."""
    secret = secrets.token_bytes(KEY_BYTES)
    key = RingKey(key_id(secret), secret, clock.text(), RING_FILE)
    write_whole(data_dir / RING_FILE, format_ring([key]), point="vault_ring")
    return key


def b64(raw: bytes) -> str:
    """base64url without filling."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes | None:
    """Bytes of base64 in either alphabet, filled or not.

    None if it is none, or not the one way to write them.
    """
    try:
        plain = text.rstrip("=").encode("ascii").translate(_PLAIN)
        raw = binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        return None
    # The last signs may carry bits that no byte is made of: those must be nought, too.
    loose = len(raw) % 3
    tail = base64.b64encode(raw[-loose:]).rstrip(b"=") if loose else b""
    return raw if plain.endswith(tail) else None
