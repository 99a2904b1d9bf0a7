"""Bakes a firmware file from its recipe: five members, zip, encryption, and the facts about it."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import msgspec

from app.demo.fus import zipped
from app.demo.fus.member import Footer, Member, Plain, Zeros, image
from app.demo.fus.recipe import Recipe
from app.demo.fus.sealed import Sealed
from app.demo.fus.zipped import DEFLATED, STORED, Entry, Zip

# part -> (share of the whole in thousandths, images inside)
PARTS = {
    "BL": (15, ("sboot.bin.lz4", "param.bin.lz4")),
    "AP": (800, ("boot.img.lz4", "super.img.lz4")),
    "CP": (45, ("modem.bin.lz4",)),
    "CSC": (75, ("prism.img.lz4",)),
    "HOME_CSC": (65, ("optics.img.lz4",)),
}
BOMB = 64 * 1024 * 1024
MANY = 70
EVIL_NAME = "../../../tmp/evil.tar.md5"
COPY = 1024 * 1024


class MemberFacts(msgspec.Struct, frozen=True):
    """What is true of one member; `md5` is of the tar, '' where the footer is missing."""

    part: str
    name: str
    size: int
    packed: int
    method: int
    crc32: int
    md5: str
    md5_file: str
    data_offset: int


class Facts(msgspec.Struct, frozen=True):
    """What is true of one served file; tests compare with it, the answers are made from it."""

    recipe: Recipe
    filename: str
    size: int
    crc32: int
    md5: str
    key: str
    zip_size: int
    zip_md5: str
    members: list[MemberFacts]


def bake(recipe: Recipe, path: Path) -> Facts:
    """Write the encrypted file; takes seconds per 100 MB, so not on the event loop."""
    with path.open("wb") as file:
        sealed = Sealed(file, recipe.key)
        if recipe.kind == "not_zip":
            members: list[MemberFacts] = []
            for chunk in image(recipe.id, recipe.size):
                sealed.write(chunk)
        else:
            members = _write_zip(recipe, sealed, path.parent)
        zip_size, zip_md5 = sealed.offset, sealed.plain_md5.hexdigest()
        sealed.finish(
            padding="wrong" if recipe.kind == "bad_padding" else "right",
            tail=b"extra" if recipe.kind == "odd_size" else b"",
        )
    return Facts(
        recipe,
        recipe.filename,
        sealed.size,
        sealed.crc32,
        sealed.md5.hexdigest(),
        recipe.key.hex(),
        zip_size,
        zip_md5,
        members,
    )


def member_names(recipe: Recipe) -> dict[str, str]:
    """Part -> file name; a device without a modem has no CP."""
    release = recipe.release
    pda, csc, phone = release.pda, release.csc, release.phone
    if recipe.kind == "foreign":
        pda = pda[:-1] + ("1" if pda[-1] != "1" else "2")
    end = "REV00_user_low_ship_MULTI_CERT.tar.md5"
    names = {
        "BL": f"BL_{pda}_{pda}_MQB90000001_{end}",
        "AP": f"AP_{pda}_{pda}_MQB90000001_{end.replace('.tar', '_meta.tar')}",
        "CP": f"CP_{phone}_CP90000001_{end}",
        "CSC": f"CSC_{csc}_{pda}_QB90000001_{end}",
        "HOME_CSC": f"HOME_CSC_{csc}_{pda}_QB90000001_{end}",
    }
    if not phone:
        del names["CP"]
    return names


def _write_zip(recipe: Recipe, sealed: Sealed, folder: Path) -> list[MemberFacts]:
    archive = Zip(sealed, zip64=recipe.kind == "zip64", descriptors=recipe.kind == "descriptors")
    facts = [_write_member(recipe, archive, part, m, folder) for part, m in _members(recipe)]
    if recipe.kind == "no_end":
        return facts
    listed = archive.entries
    if recipe.kind == "overlap":
        large = max(listed, key=lambda entry: entry.size)
        twins = (replace(large, name=b"AP_COPY_%02d.tar.md5" % n) for n in range(12))
        listed = [*listed, *twins]
    archive.finish(listed)
    return facts


def _members(recipe: Recipe) -> Iterator[tuple[str, Member]]:
    for part, name in member_names(recipe).items():
        affected = part == recipe.part
        footers: dict[str, Footer] = {"bad_md5": "wrong", "no_md5": "none"}
        footer = footers.get(recipe.kind, "right") if affected else "right"
        if affected and recipe.kind == "hostile_name":
            name = recipe.name or EVIL_NAME  # noqa: PLW2901
        share, inside = PARTS[part]
        each = max(1024, recipe.size * share // 1000 // len(inside))
        seed = f"{recipe.model}:{recipe.version}:{part}"
        if recipe.kind == "rebuilt":
            seed += ":rebuilt"
        member = Member(name, seed, dict.fromkeys(inside, each), footer)
        if affected and recipe.kind in ("bomb", "lying_bomb"):
            member = Zeros(name, max(BOMB, 8 * recipe.size))
        yield part, member
        if affected and recipe.kind == "duplicate":
            yield part, Member(name, f"{seed}:twin", {"twin.img": 2048})
    if recipe.kind == "pit":
        yield "OTHER", Plain("S921B_EUR_OPENX.pit", "pit", 8192)
        yield "OTHER", Plain("fota.zip", "fota", 20000)
    if recipe.kind == "many":
        for number in range(MANY):
            yield "OTHER", Plain(f"extra_{number:02}.bin", f"extra{number}", 64)


def _write_member(
    recipe: Recipe, archive: Zip, part: str, member: Member, folder: Path
) -> MemberFacts:
    method = STORED if recipe.kind == "stored" else DEFLATED
    affected = part == recipe.part
    with tempfile.TemporaryFile(dir=folder) as spool:
        crc, size, packed = zipped.pack(member.chunks(), method, spool)
        entry = Entry(member.name.encode("utf-8", "surrogateescape"), method, crc, size, packed)
        if affected and recipe.kind == "bad_member_crc":
            entry.crc32 ^= 1
        if affected and recipe.kind == "lying_bomb":
            entry.size = 4096
        flip = packed // 2 if affected and recipe.kind == "damaged" else None
        archive.add(entry, _copy(spool, flip))
    return MemberFacts(
        part, member.name, size, packed, method, crc, member.md5, member.md5_file,
        entry.data_offset,
    )  # fmt: skip


def _copy(spool: BinaryIO, flip: int | None) -> Iterator[bytes]:
    """The spooled bytes; the one at `flip` comes out changed."""
    spool.seek(0)
    at = 0
    while chunk := spool.read(COPY):
        if flip is not None and at <= flip < at + len(chunk):
            changed = bytearray(chunk)
            changed[flip - at] ^= 0x55
            chunk = bytes(changed)
        yield chunk
        at += len(chunk)
