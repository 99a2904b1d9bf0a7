"""Published constants of Samsung's download protocols, the same for everyone, and the key rules.

Source: the public, permissively licensed clients samloader-rs and Bifrost (smart), samloader and
samfusdl (kies, three generations of keys, newest first). Settings override them.
"""

import hashlib

SMART_KEY = "422e73733617ae2b198940fd4e32b0a5"
KIES_KEYS = (
    "jqw2zntssasudk3zuwwx4tnqz5h3b6i4:ifzg4ovyl3cyl3a5",
    "vicopx7dqu06emacgpnpy8j8zwhduwlh:9u7qab84rpc16gvk",
    "hqzdurufm2c8mf6bsjezu1qgveouv7c7:w13r4cvf4hctaujv",
)


def logic_check(text: str, nonce: str) -> str:
    """One character of `text` for each of `nonce`. ValueError for a text under 16 characters."""
    if len(text) < 16:
        raise ValueError("too short: give the full version, AP/CSC/CP")
    return "".join(text[ord(sign) & 15] for sign in nonce)


def enc4_key(version: str, logic_value: str) -> bytes:
    """The key of a .enc4 file."""
    return _md5(logic_check(version, logic_value).encode())


def enc2_key(csc: str, model: str, version: str) -> bytes:
    """The key of a .enc2 file."""
    return _md5(f"{csc}:{model}:{version}".encode())


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
