"""One `.tar.md5` member: a tar of seeded images and the MD5 line behind it, made as a stream."""

import hashlib
import tarfile
from collections.abc import Iterator
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

CHUNK = 64 * 1024
# images are packed already (lz4), so an eighth is all that deflate finds
_DULL = b"erased flash \xff\xff\xff" * (CHUNK // 128)
Footer = Literal["right", "wrong", "none"]


class Member:
    """A member of the archive. `md5` and `md5_file` are known once `chunks()` has run out."""

    def __init__(
        self, name: str, seed: str, images: dict[str, int], footer: Footer = "right"
    ) -> None:
        self.name = name
        self.md5 = ""
        self.md5_file = ""
        self._seed = seed
        self._images = images
        self._footer = footer

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the file, footer line last."""
        whole = hashlib.md5(usedforsecurity=False)
        for chunk in self._tar():
            whole.update(chunk)
            yield chunk
        self.md5 = whole.hexdigest()
        line = self._line()
        whole.update(line)
        self.md5_file = whole.hexdigest()
        if line:
            yield line

    def _tar(self) -> Iterator[bytes]:
        for name, size in self._images.items():
            info = tarfile.TarInfo(name)
            info.size = size
            yield info.tobuf(format=tarfile.USTAR_FORMAT)
            yield from image(f"{self._seed}:{name}", size)
            yield bytes(-size % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _line(self) -> bytes:
        if self._footer == "none":
            return b""
        digest = self.md5 if self._footer == "right" else self.md5[::-1]
        return f"{digest}  {self.name.removesuffix('.md5')}\n".encode()


class Plain(Member):
    """A member that is no tar: seeded bytes, no footer."""

    def __init__(self, name: str, seed: str, size: int) -> None:
        super().__init__(name, seed, {"": size}, "none")

    def _tar(self) -> Iterator[bytes]:
        yield from image(self._seed, self._images[""])


class Zeros(Member):
    """A member of nothing but zeros: what a zip bomb is made of."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name, "", {"": size}, "none")

    def _tar(self) -> Iterator[bytes]:
        for start in range(0, self._images[""], CHUNK):
            yield bytes(min(CHUNK, self._images[""] - start))


def image(seed: str, size: int) -> Iterator[bytes]:
    """`size` bytes that are always the same for this seed, seven eighths of them noise."""
    key = hashlib.sha256(seed.encode()).digest()
    noise = Cipher(AES(key[:16]), CTR(key[16:])).encryptor()
    zeros = bytes(CHUNK - len(_DULL))
    for start in range(0, size, CHUNK):
        yield (noise.update(zeros) + _DULL)[: size - start]
