"""What file is to be made: model, build, size, and what shall be wrong with it."""

import hashlib
from collections.abc import Iterator
from typing import Literal

import msgspec

from app.demo.fus import crypt
from app.demo.fus.catalog import DEVICES, Release

# Kinds of archive. All but the first seven are broken or hostile; BINARY_CRC is right for each.
KINDS = {
    "normal": "deflated, plain records",
    "stored": "members stored",
    "zip64": "large records though small",
    "descriptors": "sizes behind the data instead of before it",
    "pit": "two more members that are no tar.md5",
    "no_md5": "a member without footer",
    "rebuilt": "other bytes under the same version and name",
    "bad_md5": "a member with a wrong footer",
    "bad_member_crc": "a member with a wrong zip CRC",
    "damaged": "one byte of a member's packed data flipped before encryption",
    "no_end": "no directory and no end record",
    "not_zip": "noise instead of a zip",
    "wrong_key": "encrypted with a key nobody can compute",
    "bad_padding": "padding that does not end as PKCS#7 does",
    "odd_size": "five bytes more than whole blocks",
    "bomb": "a member that unpacks to more than three times the archive, and says so",
    "lying_bomb": "the same, but its headers say it is small",
    "overlap": "many names in the directory for the same bytes",
    "many": "more members than any firmware has",
    "hostile_name": "a member named as `name` says, a path to climb out by default",
    "duplicate": "the same name twice",
    "foreign": "members of another build",
}
Part = Literal["BL", "AP", "CP", "CSC", "HOME_CSC"]


class Recipe(msgspec.Struct, frozen=True):
    """Everything that decides the bytes. Equal recipes give equal files."""

    model: str
    version: str
    size: int
    nature: int = 1
    kind: str = "normal"
    logic: Literal["factory", "home"] = "factory"
    csc: str = ""
    part: Part = "CSC"
    name: str = ""

    @property
    def enc(self) -> int:
        """2 or 4."""
        return DEVICES[self.model].enc

    @property
    def release(self) -> Release:
        """The build it is."""
        found = DEVICES[self.model].find(self.version)
        if found is None:
            raise ValueError(f"no such build: {self.version}")
        return found

    @property
    def id(self) -> str:
        """Names the file on disk."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:24]

    @property
    def filename(self) -> str:
        """BINARY_NAME: the same for every kind, as a damaged file is not named so in real life."""
        day = "".join(c for c in self.release.opened if c.isdigit()) or "20260601000000"
        mark = _letters(f"{self.model}:{self.version}:{self.csc}", 10)
        what = "fac" if self.nature == 1 else "home"
        return f"{self.model}_{self.nature}_{day}_{mark}_{what}.zip.enc{self.enc}"

    def logic_value(self, which: str) -> str:
        """LOGIC_VALUE_FACTORY or LOGIC_VALUE_HOME; ENC2 has none."""
        if self.enc == 2:
            return ""
        return _letters(f"{which}:{self.model}:{self.version}", 16)

    @property
    def key(self) -> bytes:
        """The AES key a client has to find."""
        if self.kind == "wrong_key":
            return hashlib.sha256(b"nobody").digest()[:16]
        if self.enc == 2:
            return crypt.enc2_key(self.csc, self.model, self.version)
        return crypt.enc4_key(self.version, self.logic_value(self.logic))


def recipe_for(model: str, version: str, size: int, csc: str = "", nature: int = 1) -> Recipe:
    """The good file of a build; only ENC2 differs from region to region."""
    region = csc if DEVICES[model].enc == 2 else ""
    logic: Literal["factory", "home"] = "factory" if nature == 1 else "home"
    return Recipe(model, version, size, nature, logic=logic, csc=region)


def all_recipes(size: int) -> Iterator[Recipe]:
    """Every good file there can be."""
    for device in DEVICES.values():
        for release in device.releases:
            for csc in device.csc if device.enc == 2 else ("",):
                for nature in (1, 0):
                    yield recipe_for(device.model, release.version, size, csc, nature)


def _letters(seed: str, count: int) -> str:
    signs = "abcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(signs[byte % 36] for byte in hashlib.sha256(seed.encode()).digest()[:count])
