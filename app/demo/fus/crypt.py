"""Keys, nonces, signatures and the file key: what both protocols compute, from the server's side.

The constants are the same for every phone and stand in public, permissively licensed clients.
"""

import base64
import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

SMART_KEY = "422e73733617ae2b198940fd4e32b0a5"
# (KEY_1, KEY_2) of kies: until 2023-12, until 2026-05, from 2026-05-20; the last is the stand-in's
# own invention, the rotation that no client has heard of yet.
GENERATIONS = (
    ("hqzdurufm2c8mf6bsjezu1qgveouv7c7", "w13r4cvf4hctaujv"),
    ("vicopx7dqu06emacgpnpy8j8zwhduwlh", "9u7qab84rpc16gvk"),
    ("jqw2zntssasudk3zuwwx4tnqz5h3b6i4", "ifzg4ovyl3cyl3a5"),
    ("nextgeneration0fkeys1nthestand1n", "n0b0dyknowsthis1"),
)
BLOCK = 16


def logic_check(text: str, nonce: str) -> str:
    """One character of `text` for each of `nonce`; '' for a text too short to pick from."""
    if len(text) < BLOCK:
        return ""
    return "".join(text[ord(char) & 15] for char in nonce)


def smart_signature(nonce: str, key: str = SMART_KEY) -> str:
    """Hex of one AES block over the nonce."""
    block = nonce[:BLOCK].ljust(BLOCK, "0").encode()
    encryptor = Cipher(AES(bytes.fromhex(key)), ECB()).encryptor()  # noqa: S305  as Samsung does
    return (encryptor.update(block) + encryptor.finalize()).hex()


def kies_nonce(nonce: str, generation: int) -> str:
    """The NONCE header of kies: the nonce, encrypted with KEY_1."""
    return _cbc(nonce, GENERATIONS[generation][0].encode())


def kies_signature(nonce: str, generation: int) -> str:
    """What a client that could read the nonce signs with: 16 picked characters and KEY_2."""
    first, second = GENERATIONS[generation]
    key = "".join(first[ord(char) % 16] for char in nonce) + second
    return _cbc(nonce, key.encode())


def history_signature(nonce: str, model: str) -> str:
    """The digest that the history page of both peers carries."""
    inner = _md5hex(f"auth:{nonce}:00000001")
    return _md5hex(f"{inner}:FUS:{_md5hex(f'interface:{model.upper()}')}")


def enc4_key(version: str, logic_value: str) -> bytes:
    """The AES key of an .enc4 file."""
    return _md5(logic_check(version, logic_value))


def enc2_key(csc: str, model: str, version: str) -> bytes:
    """The AES key of an .enc2 file."""
    return _md5(f"{csc}:{model}:{version}")


def _cbc(nonce: str, key: bytes) -> str:
    pad = BLOCK - len(nonce) % BLOCK
    encryptor = Cipher(AES(key), CBC(key[:BLOCK])).encryptor()
    sealed = encryptor.update(nonce.encode() + bytes([pad]) * pad) + encryptor.finalize()
    return base64.b64encode(sealed).decode()


def _md5(text: str) -> bytes:
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()


def _md5hex(text: str) -> str:
    return _md5(text).hex()
