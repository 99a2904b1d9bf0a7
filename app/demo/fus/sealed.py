"""The encrypted file: takes the plain bytes in order, keeps every checksum on the way."""

import hashlib
import zlib
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

BLOCK = 16


class Sealed:
    """AES-128-ECB over everything, PKCS#7 at the end."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self.offset = 0
        self.size = 0
        self.crc32 = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.plain_md5 = hashlib.md5(usedforsecurity=False)
        self._file = file
        self._encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305  as Samsung does

    def write(self, data: bytes) -> None:
        """The next plain bytes."""
        self.offset += len(data)
        self.plain_md5.update(data)
        self._put(self._encryptor.update(data))

    def finish(self, *, padding: str = "right", tail: bytes = b"") -> None:
        """Pad (`wrong`: the last byte lies) and close; `tail` is appended as it is."""
        count = BLOCK - self.offset % BLOCK
        fill = bytes([count]) * count if padding == "right" else bytes(count - 1) + b"\xf0"
        self._put(self._encryptor.update(fill) + self._encryptor.finalize())
        self._put(tail)

    def _put(self, data: bytes) -> None:
        self.size += len(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.md5.update(data)
        self._file.write(data)
