"""Archives from outside: nothing lands beside the folder, and nothing grows beyond measure."""

import io
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.archive import BadArchive, Limits, unpack

Names = list[tuple[str, bytes]]
Make = Callable[[Path, Names], Path]
FEW = Limits(entries=20, bytes=4 * 1024 * 1024)


def zipped(folder: Path, members: Names) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def tarred(folder: Path, members: Names) -> Path:
    path = folder / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o4777
            archive.addfile(info, io.BytesIO(data))
    return path


def everything(folder: Path) -> set[str]:
    """Every file and folder below the test's own, but for what unpacking may touch."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.feature("X-41")
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_good_one_comes_out_whole_and_private(tmp_path: Path, make: Make) -> None:
    given = [("readme.txt", b"hello"), ("a/b/ü тест.bin", os.urandom(5000)), ("./c", b"")]
    out = tmp_path / "out"
    made = unpack(make(tmp_path, given), out)
    assert sorted(path.relative_to(out).as_posix() for path in made) == sorted(
        name.removeprefix("./") for name, _ in given
    )
    for name, data in given:
        assert (out / name).read_bytes() == data
        assert (out / name).stat().st_mode & 0o7777 == 0o600, "whatever the archive said"
    assert (out / "a").stat().st_mode & 0o777 == 0o700


@pytest.mark.feature("X-41")
@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "a/../../escaped",
        "/var/escaped",
        "a/./../../escaped",
        "..\\escaped",
        "C:\\escaped",
        "C:escaped",
        "a//b",
        "x" * 300,
        "\u202etxt.exe",
        "a\nb",
        "/".join("d" * 40),
        "..",
    ],
)
def test_a_name_that_leads_out_leaves_nothing_at_all(tmp_path: Path, make: Make, name: str) -> None:
    archive = make(tmp_path, [("good", b"good"), (name, b"evil")])
    before = everything(tmp_path.parent)
    with pytest.raises(BadArchive):
        unpack(archive, tmp_path / "out", FEW)
    assert everything(tmp_path.parent) == before
    assert not Path("/var/escaped").exists()


def link(kind: bytes, target: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "links.tar"
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("way")
            info.type, info.linkname = kind, target
            archive.addfile(info)
            through = tarfile.TarInfo("way/escaped")
            through.size = 4
            archive.addfile(through, io.BytesIO(b"evil"))
        return path

    return make


def zip_link(folder: Path) -> Path:
    path = folder / "links.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("way")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/var")
        archive.writestr("way/escaped", "evil")
    return path


@pytest.mark.parametrize(
    "make",
    [
        link(tarfile.SYMTYPE, "/var"),
        link(tarfile.SYMTYPE, ".."),
        link(tarfile.LNKTYPE, "/etc/passwd"),
        link(tarfile.FIFOTYPE, ""),
        link(tarfile.CHRTYPE, ""),
        link(tarfile.BLKTYPE, ""),
        zip_link,
    ],
    ids=["absolute link", "link up", "hard link", "pipe", "device", "block device", "link in zip"],
)
def test_no_link_and_no_device_is_made(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    archive = make(tmp_path)
    with pytest.raises(BadArchive):
        unpack(archive, tmp_path / "out", FEW)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "escaped").exists()


def bomb(folder: Path) -> Path:
    """Sixty-four megabytes of nothing in some 64 KB."""
    return zipped(folder, [("zeros", bytes(64 * 1024 * 1024))])


def tar_bomb(folder: Path) -> Path:
    return tarred(folder, [(f"zeros{n}", bytes(1024 * 1024)) for n in range(8)])


def lying_bomb(folder: Path) -> Path:
    """The same, but the archive's list says ten bytes."""
    path = bomb(folder)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 10)
    path.write_bytes(data)
    return path


def crowd(folder: Path) -> Path:
    return zipped(folder, [(f"f{n}", b"") for n in range(FEW.entries + 1)])


def twice(folder: Path) -> Path:
    return tarred(folder, [("readme", b"a"), ("README", b"b")])


def file_as_folder(folder: Path) -> Path:
    return tarred(folder, [("a", b"a"), ("a/b", b"b")])


@pytest.mark.feature("X-41")
@pytest.mark.parametrize("make", [bomb, tar_bomb, lying_bomb, crowd, twice, file_as_folder])
def test_what_is_beyond_measure_is_refused_and_cleared_away(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    archive = make(tmp_path)
    with pytest.raises(BadArchive):
        unpack(archive, tmp_path / "out", FEW)
    assert not (tmp_path / "out").exists()


def test_no_damage_is_anything_but_a_bad_archive(tmp_path: Path) -> None:
    """Cut off anywhere, turned over anywhere: one error, and never a file beside the folder."""
    dice = random.Random(5)
    refused = 0
    for make in (zipped, tarred):
        whole = make(tmp_path, [("a", dice.randbytes(3000)), ("b/c", b"x" * 500)]).read_bytes()
        for turn in range(150):
            data = bytearray(whole)
            if turn % 2:
                data = data[: dice.randrange(len(data))]
            for _ in range(dice.randrange(1, 6)):
                if data:
                    data[dice.randrange(len(data))] = dice.randrange(256)
            damaged = tmp_path / "damaged"
            damaged.write_bytes(data)
            out = tmp_path / f"out{make.__name__}{turn}"
            try:
                unpack(damaged, out, FEW)
            except BadArchive:
                refused += 1
                assert not out.exists()
    assert refused > 100
    assert {path.name.rstrip("0123456789") for path in tmp_path.iterdir()} <= {
        *("a.zip", "a.tar.gz", "damaged", "outzipped", "outtarred")
    }


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        unpack(zipped(tmp_path, [("mine", b"theirs")]), tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "mine"
