"""What needs no network: versions, numbers, keys, signatures, pieces, footers, hostile archives."""

import io
import random
import struct
import zipfile
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.firmware import archive, imei, keys, protocol, regions, versions
from app.firmware.archive import Member
from app.firmware.outcomes import Fault
from app.firmware.pages.files import read_range
from app.firmware.pipeline import segments
from app.firmware.pipeline.segments import Segment

GOOD = "352976245060855"


@pytest.mark.feature("F-12")
@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("a/b", "A/B/A/A"),
        (" S1/C1/P1 ", "S1/C1/P1/S1"),
        ("S1/C1//", "S1/C1/S1/S1"),
        ("S1/C1/P1/D1", "S1/C1/P1/D1"),
    ],
)
def test_versions_have_four_parts(typed: str, code: str) -> None:
    assert versions.normalise(typed) == code


@pytest.mark.parametrize("typed", ["", "A", "A/B/C/D/E", "/B", "A/", "A/B/../C", "A/B\0"])
def test_what_is_no_version_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="version"):
        versions.normalise(typed)


@given(st.text(alphabet="abcXYZ019/ ", max_size=30))
def test_normalising_twice_changes_nothing(text: str) -> None:
    try:
        once = versions.normalise(text)
    except ValueError:
        return
    assert versions.normalise(once) == once
    assert once.count("/") == 3


@pytest.mark.feature("F-10")
def test_a_version_code_is_read_and_never_guessed() -> None:
    found = versions.read("S921BXXSBCZD4/X/Y/Z")
    assert found is not None
    assert (found.security, found.bootloader, found.build) == (True, 11, 4)
    assert (found.month.year, found.month.month) == (2026, 4)
    assert versions.read("I9300XXUGNB6/A/B/C") is None  # the older scheme says less
    assert versions.read("NONSENSE/A/B/C") is None


@pytest.mark.feature("F-11")
def test_an_older_bootloader_is_a_downgrade() -> None:
    assert versions.is_downgrade("S921BXXU6BYC9/A/B/C", "S921BXXUACYJ8/A/B/C")
    assert not versions.is_downgrade("S921BXXUACYJ8/A/B/C", "S921BXXU6BYC9/A/B/C")
    assert not versions.is_downgrade("S921BXXUACYJ8/A/B/C", "")


@pytest.mark.feature("F-04")
def test_imeis_are_checked_and_never_made_up() -> None:
    assert imei.tidy_imei("35297624 506085-5") == GOOD
    assert imei.tidy_imei(GOOD[:14]) == GOOD
    assert imei.tidy_imei(GOOD[:14] + "07") == GOOD
    assert imei.tidy_imei("") == ""
    for bad in (GOOD[:-1] + "6", GOOD[:8], "35297624506", "x" * 15, "1" * 17):
        with pytest.raises(Invalid):
            imei.tidy_imei(bad)


@pytest.mark.feature("F-49")
@given(st.integers(min_value=10**13, max_value=10**14 - 1))
def test_a_masked_number_keeps_no_nine_digits(number: int) -> None:
    digits = str(number)
    shown = imei.mask(digits + str(imei.luhn(digits)))
    assert not any(shown[at : at + 9].isdigit() for at in range(len(shown)))


@pytest.mark.feature("F-13")
def test_super_regions_bring_their_extras() -> None:
    body = protocol.smart_inform("SM-S921B", "EUX", "A/B/C/D/long/enough", "0123456789abcdef")
    assert b"<MCC_NUM><Data>262</Data></MCC_NUM>" in body
    assert b"MCC_NUM" not in protocol.smart_inform("SM-S921B", "DBT", "x" * 20, "0123456789abcdef")


def test_logic_check_needs_sixteen_characters() -> None:
    assert len(keys.logic_check("0123456789abcdef", "anynonce12345678")) == 16
    with pytest.raises(ValueError, match="full version"):
        keys.logic_check("short", "0123456789abcdef")


@pytest.mark.feature("F-15")
def test_regions_have_countries_and_neighbours() -> None:
    assert regions.country_of("DBT") == "DE"
    assert regions.country_of("QQQ") == ""
    assert "VD2" in regions.near("DBT")
    assert "DBT" not in regions.near("DBT")


@given(st.integers(1, 4000), st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 900))))
def test_pieces_cover_what_is_wanted_exactly(blocks: int, wanted: list[tuple[int, int]]) -> None:
    size = blocks * 16
    ranges = [(start, min(start + length, size)) for start, length in wanted if start < size]
    first = segments.plan([], ranges, size, 6, smallest=160)
    both = segments.plan(first, [(0, size)], size, 6, smallest=160)
    for found in (first, both):
        for one, other in pairwise(found):
            assert one.end <= other.start
        assert all(s.start % 16 == 0 and s.length > 0 for s in found)
    for start, end in ranges:
        assert any(s.start <= start < s.end for s in first)
        assert any(s.start < end <= s.end for s in first)
    assert sum(s.length for s in both) == size


@given(st.binary(min_size=32, max_size=2000), st.integers(1, 120))
def test_the_crc_of_pieces_is_the_crc_of_the_whole(data: bytes, blocks: int) -> None:
    data = data[: len(data) // 16 * 16]
    step = blocks * 16
    found = [
        Segment(
            start=at,
            length=len(data[at : at + step]),
            done=len(data[at : at + step]),
            crc32=zlib.crc32(data[at : at + step]),
        )
        for at in range(0, len(data), step)
    ]
    assert segments.whole_crc(found, len(data)) == zlib.crc32(data)


@pytest.mark.feature("F-34")
def test_padding_is_cut_only_when_all_of_it_is_there() -> None:
    assert archive.unpad(b"x" * 12 + b"\x04" * 4) == 4
    assert archive.unpad(b"\x10" * 16) == 16
    for wrong in (b"x" * 15 + b"\x04", b"x" * 15 + b"\x00", b"x" * 15 + b"\x11"):
        assert archive.unpad(wrong) == 0


def zipped(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files:
            file.writestr(name, data)
    return out.getvalue()


def read(data: bytes) -> list[Member]:
    return archive.read_directory(data[-archive.TAIL :], len(data))


@pytest.mark.feature("F-39")
@pytest.mark.parametrize("name", ["../AP_x", "/AP_x", "a/b", "a\\b", "C:x", "..", "a\nb"])
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(Fault) as caught:
        read(zipped((name, b"x")))
    assert caught.value.code == "unsafe_name"


@pytest.mark.feature("F-39")
def test_too_many_and_too_large_members_are_refused() -> None:
    noise = random.Random(1).randbytes(3000)
    assert len(read(zipped(*[(f"m{n}", noise) for n in range(64)]))) == 64
    for bad in (
        zipped(*[(f"m{n}", noise) for n in range(65)]),
        zipped(("AP_bomb", bytes(50_000_000))),
        zipped(("AP_x", noise), ("ap_X", noise)),
        b"nothing at all" * 100,
    ):
        with pytest.raises(Fault) as caught:
            read(bad)
        assert caught.value.code == "bad_archive"


def test_a_directory_that_points_outside_is_refused() -> None:
    data = bytearray(zipped(("AP_x", random.Random(2).randbytes(3000))))
    struct.pack_into("<I", data, len(data) - 6, 2**31)
    with pytest.raises(Fault):
        read(bytes(data))


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_fault_or_in_members(tail: bytes) -> None:
    try:
        found = archive.read_directory(tail, 10_000)
    except Fault:
        return
    assert found


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("", (0, 100)),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=50-999", (50, 100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=9-3", (0, 100)),
        ("bytes=0-1,5-6", (0, 100)),
        ("lines=1-2", (0, 100)),
    ],
)
def test_ranges_are_read_as_the_standard_says(header: str, span: tuple[int, int] | None) -> None:
    assert read_range(header, 100) == span


MIB = 1024 * 1024


def fetched_by_fast_lines(behind: int | None, ahead: int) -> int:
    """How many of twelve pieces come before unpacking has moved on."""
    found = [Segment(start=n * MIB, length=MIB) for n in range(12)]
    count = 0
    while (segment := segments.next_open(found, behind, ahead)) is not None:
        segment.done = segment.length
        count += 1
    return count


def test_where_room_is_short_full_pieces_take_room_until_they_are_unpacked() -> None:
    assert fetched_by_fast_lines(None, 2 * MIB) == 12
    assert fetched_by_fast_lines(0, 2 * MIB) == 2
    assert fetched_by_fast_lines(5 * MIB, 2 * MIB) == 7
    assert fetched_by_fast_lines(12 * MIB, 2 * MIB) == 12


def test_a_slow_line_is_not_outrun() -> None:
    found = [Segment(start=n * MIB, length=MIB) for n in range(12)]
    found[0].taken = True
    for _ in range(3):
        segment = segments.next_open(found, None, 4 * MIB)
        assert segment is not None
        segment.done = segment.length
    assert segments.next_open(found, None, 4 * MIB) is None
    found[0].taken = False
    assert segments.next_open(found, None, 4 * MIB) is found[0]
