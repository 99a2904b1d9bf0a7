"""Reading a zip from its end and member by member, trusting nothing it says of itself."""

import re
import struct
from collections.abc import Sequence

import msgspec

from app.firmware.outcomes import Fault

TAIL = 64 * 1024
BLOCK = 16
MOST_MEMBERS = 64
GROWTH = 3
LOCAL = 30
STORED, DEFLATED = 0, 8
_END, _END64, _LOCATOR64, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_PARTS = ("HOME_CSC", "BL", "AP", "CP", "CSC", "USERDATA")
_FOOTER = re.compile(rb"([0-9a-fA-F]{32})[ \t]")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the archive. `offset`: of its header; `end`: where the next thing begins."""

    filename: str
    part: str
    offset: int
    end: int
    packed: int
    size: int
    method: int
    crc32: int


def unpad(last_block: bytes) -> int:
    """How many bytes PKCS#7 added; 0 unless every one of them says so."""
    count = last_block[-1]
    whole = 1 <= count <= BLOCK and last_block[-count:] == bytes([count]) * count
    return count if whole else 0


def read_directory(tail: bytes, size: int) -> list[Member]:
    """The members of a zip of `size` bytes from its last ones, in the order they lie in it.

    Fault bad_archive or unsafe_name for anything that is not as it should be.
    """
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise Fault("bad_archive", "no end record")
    count, length, offset = struct.unpack_from("<HII", tail, at + 10)
    if 0xFFFF in (count,) or 0xFFFFFFFF in (length, offset):
        count, length, offset = _read64(tail, at)
    begin = offset - (size - len(tail))
    if count > MOST_MEMBERS:
        raise Fault("bad_archive", f"{count} members")
    if not count or begin < 0 or begin + length > at or offset + length > size:
        raise Fault("bad_archive", "the directory lies outside the file")
    entries = _entries(tail[begin : begin + length], count)
    members = _with_ends(entries, offset)
    if sum(member.size for member in members) > GROWTH * size:
        raise Fault("bad_archive", "grows to more than three times its size")
    return members


def local_length(head: bytes, member: Member) -> int:
    """Length of a local header from its first 30 bytes; Fault unless it fits the directory."""
    if len(head) < LOCAL or head[:4] != b"PK\x03\x04":
        raise Fault("bad_archive", f"no header of {member.filename}")
    flags, method = struct.unpack_from("<HH", head, 6)
    name, extra = struct.unpack_from("<HH", head, 26)
    whole: int = LOCAL + name + extra
    fits = member.offset + whole + member.packed <= member.end
    if flags & 1 or method != member.method or name != len(member.filename.encode()) or not fits:
        raise Fault("bad_archive", f"header and directory differ on {member.filename}")
    return whole


def footer(last: bytes) -> tuple[str, int] | None:
    """MD5 (hex) at the end of a .tar.md5 and how many of `last`'s bytes belong to it."""
    at = last.rfind(b"\0") + 1
    found = _FOOTER.match(last[at:])
    return (found[1].decode().lower(), len(last) - at) if found else None


def check_versions(members: Sequence[Member], pda: str) -> None:
    """The system image must carry the served version in its name."""
    images = [member.filename for member in members if member.part == "AP"]
    if images and not any(pda in name.upper() for name in images):
        raise Fault("other_version", f"{images[0]} is not {pda}")


def part_of(filename: str) -> str:
    """BL, AP, CP, CSC, HOME_CSC, USERDATA or OTHER, by the beginning of the name."""
    return next((part for part in _PARTS if filename.upper().startswith(f"{part}_")), "OTHER")


def check_name(name: str) -> str:
    """The name, if it is one plain file name; Fault unsafe_name else."""
    good = (
        0 < len(name.encode("utf-8", "replace")) <= 255
        and name not in {".", ".."}
        and name.isprintable()
        and not any(sign in name for sign in "/\\:")
    )
    if not good:
        raise Fault("unsafe_name", f"unsafe name {name[:60]!r}")
    return name


def _read64(tail: bytes, end: int) -> tuple[int, int, int]:
    place = tail.rfind(_END64, 0, end)
    if place < 0 or _LOCATOR64 not in tail[place:end] or end - place < 56 + 20:
        raise Fault("bad_archive", "no zip64 end record")
    count, length, offset = struct.unpack_from("<QQQ", tail, place + 32)
    return count, length, offset


def _entries(directory: bytes, count: int) -> list[dict[str, int | str]]:
    found: list[dict[str, int | str]] = []
    at = 0
    try:
        for _ in range(count):
            if directory[at : at + 4] != _ENTRY:
                raise Fault("bad_archive", "the directory is damaged")
            flags, method = struct.unpack_from("<HH", directory, at + 8)
            crc, packed, size = struct.unpack_from("<III", directory, at + 16)
            lengths = struct.unpack_from("<HHH", directory, at + 28)
            (offset,) = struct.unpack_from("<I", directory, at + 42)
            name_end = at + 46 + lengths[0]
            raw = directory[at + 46 : name_end]
            extra = directory[name_end : name_end + lengths[1]]
            size, packed, offset = _wide(extra, size, packed, offset)
            if flags & 1 or method not in (STORED, DEFLATED):
                raise Fault("bad_archive", "encrypted, or packed in an unknown way")
            name = check_name(raw.decode("utf-8", "replace"))
            found.append(
                {"name": name, "crc": crc, "packed": packed, "size": size, "method": method}
                | {"offset": offset}
            )
            at = name_end + lengths[1] + lengths[2]
    except struct.error as error:
        raise Fault("bad_archive", "the directory is damaged") from error
    return found


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The 64-bit values that stand in for 32-bit ones of all ones."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            size = next(values, size) if size == 0xFFFFFFFF else size
            packed = next(values, packed) if packed == 0xFFFFFFFF else packed
            offset = next(values, offset) if offset == 0xFFFFFFFF else offset
        at += 4 + length
    return size, packed, offset


def _with_ends(entries: list[dict[str, int | str]], directory: int) -> list[Member]:
    """Members in file order; none may overlap the next or share its name."""
    entries.sort(key=lambda entry: int(entry["offset"]))
    ends = [int(entry["offset"]) for entry in entries[1:]] + [directory]
    members = [
        Member(
            filename=str(entry["name"]),
            part=part_of(str(entry["name"])),
            offset=int(entry["offset"]),
            end=end,
            packed=int(entry["packed"]),
            size=int(entry["size"]),
            method=int(entry["method"]),
            crc32=int(entry["crc"]),
        )
        for entry, end in zip(entries, ends, strict=True)
    ]
    for member in members:
        if member.offset + LOCAL + member.packed > member.end:
            raise Fault("bad_archive", f"{member.filename} overlaps what follows")
        if member.method == STORED and member.packed != member.size:
            raise Fault("bad_archive", f"sizes of {member.filename} differ")
    if len({member.filename.lower() for member in members}) != len(members):
        raise Fault("bad_archive", "two members with one name")
    return members
