"""What the stand-in FUS serves: a file that decrypts, unpacks and proves itself, or fails to."""

import base64
import hashlib
import io
import subprocess
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.demo.fus.recipe import KINDS
from app.demo.fus.serve import Fus, running_fus
from tests.app.demo.fus_steps import MODEL, VERSION, Customer, decrypt, file_key, footer

pytestmark = pytest.mark.anyio
GOOD = ("normal", "stored", "zip64", "descriptors", "pit", "no_md5", "rebuilt")
NOT_UNPACKED = ("not_zip", "no_end", "wrong_key", "bad_padding", "odd_size")


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Fus]:
    async with running_fus(size=256 * 1024) as fus:
        yield fus


@pytest.fixture
def fus(running: Fus) -> Fus:
    running.reset()
    return running


@pytest.fixture
async def smart(fus: Fus) -> AsyncIterator[Customer]:
    async with httpx.AsyncClient(base_url=fus.url, timeout=30) as client:
        yield Customer(client)


async def fetch(customer: Customer, **asked: str) -> tuple[bytes, httpx.Response]:
    await customer.ready(**asked)
    answer = await customer.get()
    return answer.content, answer


def opened(sealed: bytes, customer: Customer) -> zipfile.ZipFile:
    """As the protocol describes it, with nothing of the stand-in's own knowledge."""
    key = file_key(customer.info["BINARY_SW_VERSION"], customer.info["LOGIC_VALUE_FACTORY"])
    return zipfile.ZipFile(io.BytesIO(decrypt(sealed, key)))


async def test_the_file_is_what_inform_says(smart: Customer) -> None:
    sealed, answer = await fetch(smart)
    assert len(sealed) == smart.size
    assert len(sealed) % 16 == 0
    assert zlib.crc32(sealed) == int(smart.info["BINARY_CRC"])
    digest = hashlib.md5(sealed, usedforsecurity=False).digest()
    assert answer.headers["content-md5"] == base64.b64encode(digest).decode()


async def test_it_decrypts_to_five_members_with_right_footers(smart: Customer) -> None:
    sealed, _ = await fetch(smart)
    archive = opened(sealed, smart)
    assert archive.testzip() is None
    named = [smart.info[name] for name in smart.info if name.endswith("_FILE") and smart.info[name]]
    assert sorted(archive.namelist()) == sorted(named)
    assert [name.split("_S921B")[0] for name in archive.namelist()] == [
        "BL",
        "AP",
        "CP",
        "CSC",
        "HOME_CSC",
    ]
    assert f"AP_{VERSION.split('/')[0]}_" in archive.namelist()[1]
    for name in archive.namelist():
        said, right = footer(archive.read(name))
        assert said
        assert said == right


async def test_a_member_is_a_tar(smart: Customer, tmp_path: Path) -> None:
    sealed, _ = await fetch(smart)
    archive = opened(sealed, smart)
    path = tmp_path / "ap.tar"
    path.write_bytes(archive.read(archive.namelist()[1]))
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=False)
    assert listed.stdout.split() == ["boot.img.lz4", "super.img.lz4"]


async def test_openssl_reads_it_too(smart: Customer, fus: Fus) -> None:
    sealed, _ = await fetch(smart)
    facts = await fus.file(MODEL)
    command = ["openssl", "enc", "-d", "-aes-128-ecb", "-K", facts.key, "-nosalt"]
    plain = subprocess.run(command, input=sealed, capture_output=True, check=True).stdout
    assert len(plain) == facts.zip_size
    assert hashlib.md5(plain, usedforsecurity=False).hexdigest() == facts.zip_md5


async def test_an_old_device_is_locked_the_old_way(smart: Customer) -> None:
    version = "I9300XXUGNB6/I9300OXAGNB6/I9300XXUGNA8/I9300XXUGNB6"
    sealed, _ = await fetch(smart, model="GT-I9300", csc="XEO", version=version)
    assert smart.info["BINARY_NAME"].endswith(".zip.enc2")
    assert (smart.info["LOGIC_OPTION_FACTORY"], smart.info["LOGIC_VALUE_FACTORY"]) == ("0", "")
    key = hashlib.md5(f"XEO:GT-I9300:{version}".encode(), usedforsecurity=False).digest()
    assert zipfile.ZipFile(io.BytesIO(decrypt(sealed, key))).testzip() is None


async def test_the_home_file_has_the_home_key(smart: Customer) -> None:
    sealed, _ = await fetch(smart, BINARY_NATURE="0")
    assert smart.info["BINARY_NATURE"] == "0"
    key = file_key(VERSION, smart.info["LOGIC_VALUE_HOME"])
    assert zipfile.ZipFile(io.BytesIO(decrypt(sealed, key))).testzip() is None


async def test_without_a_factory_value_the_home_value_opens_it(smart: Customer, fus: Fus) -> None:
    fus.scenario("no_factory")
    sealed, _ = await fetch(smart)
    assert smart.info["LOGIC_VALUE_FACTORY"] == ""
    key = file_key(VERSION, smart.info["LOGIC_VALUE_HOME"])
    assert zipfile.ZipFile(io.BytesIO(decrypt(sealed, key))).testzip() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_the_crc_of_the_encrypted_file_is_right_whatever_is_inside(
    smart: Customer, fus: Fus, kind: str
) -> None:
    fus.scenario("archive", kind=kind)
    sealed, _ = await fetch(smart)
    assert zlib.crc32(sealed) == int(smart.info["BINARY_CRC"])
    assert smart.size == len(sealed)
    assert (len(sealed) % 16 == 0) is (kind != "odd_size")


@pytest.mark.parametrize("kind", GOOD)
async def test_odd_but_right_archives_open(smart: Customer, fus: Fus, kind: str) -> None:
    fus.scenario("archive", kind=kind)
    sealed, _ = await fetch(smart)
    archive = opened(sealed, smart)
    assert archive.testzip() is None
    footers = [footer(archive.read(name)) for name in archive.namelist()]
    without = {"pit": 2, "no_md5": 1}.get(kind, 0)
    assert [pair[0] == pair[1] for pair in footers] == [True] * len(footers)
    assert sum(not said for said, _ in footers) == without
    first = archive.infolist()[0]
    assert (first.compress_type == zipfile.ZIP_STORED) is (kind == "stored")
    assert bool(first.flag_bits & 8) is (kind == "descriptors")
    assert (first.extract_version == 45) is (kind == "zip64")


async def test_another_build_of_the_same_name_has_other_bytes(smart: Customer, fus: Fus) -> None:
    good, _ = await fetch(smart)
    name = smart.info["BINARY_NAME"]
    fus.scenario("archive", kind="rebuilt")
    other, _ = await fetch(smart)
    assert smart.info["BINARY_NAME"] == name
    assert other != good


@pytest.mark.parametrize("kind", ["bad_member_crc", "damaged"])
async def test_a_broken_member_is_found_by_its_crc(smart: Customer, fus: Fus, kind: str) -> None:
    fus.scenario("archive", kind=kind, part="CP")
    sealed, _ = await fetch(smart)
    archive = opened(sealed, smart)
    bad = archive.namelist()[2]
    with pytest.raises((zipfile.BadZipFile, zlib.error)):
        archive.read(bad)
    good = [name for name in archive.namelist() if name != bad]
    assert all(archive.read(name) for name in good)


async def test_a_wrong_footer(smart: Customer, fus: Fus) -> None:
    fus.scenario("archive", kind="bad_md5", part="BL")
    sealed, _ = await fetch(smart)
    archive = opened(sealed, smart)
    assert archive.testzip() is None
    pairs = [footer(archive.read(name)) for name in archive.namelist()]
    assert [said == right for said, right in pairs] == [False, True, True, True, True]


@pytest.mark.parametrize("kind", NOT_UNPACKED)
async def test_what_cannot_be_opened_at_all(smart: Customer, fus: Fus, kind: str) -> None:
    fus.scenario("archive", kind=kind)
    sealed, _ = await fetch(smart)
    with pytest.raises((ValueError, zipfile.BadZipFile)):
        opened(sealed, smart)


@pytest.mark.parametrize("kind", ["bomb", "lying_bomb"])
async def test_bombs_unpack_to_far_more_than_three_times(
    smart: Customer, fus: Fus, kind: str
) -> None:
    fus.scenario("archive", kind=kind)
    sealed, _ = await fetch(smart)
    archive = opened(sealed, smart)
    bomb = archive.infolist()[3]
    declared = sum(info.file_size for info in archive.infolist())
    assert (declared > 3 * len(sealed)) is (kind == "bomb")
    at = bomb.header_offset + 30 + len(bomb.filename)
    key = file_key(VERSION, smart.info["LOGIC_VALUE_FACTORY"])
    packed = decrypt(sealed, key)[at : at + bomb.compress_size]
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    assert len(unpacker.decompress(packed, 16 * 1024 * 1024)) == 16 * 1024 * 1024


async def test_names_that_no_firmware_has(smart: Customer, fus: Fus) -> None:
    for name in ("", "/etc/passwd", "a\x00b.tar.md5", "x" * 300):
        fus.scenario("archive", kind="hostile_name", name=name)
        sealed, _ = await fetch(smart)
        archive = opened(sealed, smart)
        wanted = name or "../../../tmp/evil.tar.md5"
        assert archive.infolist()[3].orig_filename == wanted


@pytest.mark.parametrize(
    ("kind", "members", "names"), [("many", 75, 75), ("duplicate", 6, 5), ("overlap", 17, 17)]
)
async def test_too_many_members(
    smart: Customer, fus: Fus, kind: str, members: int, names: int
) -> None:
    fus.scenario("archive", kind=kind)
    sealed, _ = await fetch(smart)
    listed = opened(sealed, smart).namelist()
    assert (len(listed), len(set(listed))) == (members, names)


async def test_members_of_another_build(smart: Customer, fus: Fus) -> None:
    fus.scenario("archive", kind="foreign")
    sealed, _ = await fetch(smart)
    pda = VERSION.split("/")[0]
    assert not [name for name in opened(sealed, smart).namelist() if pda in name]


async def test_a_kept_folder_gives_the_same_file_again(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        async with running_fus(size=64 * 1024, folder=tmp_path) as fus:
            facts = await fus.file("SM-X210")
            seen.append((facts, fus.path(facts).stat().st_mtime_ns))
    assert seen[0] == seen[1]
    assert len(list(tmp_path.iterdir())) == 2
    async with running_fus(size=64 * 1024) as fus:
        again = await fus.file("SM-X210")
        assert again == seen[0][0]
        folder = fus.state.shelf.folder
        assert folder.exists()
    assert not folder.exists()
