"""Safe names, whole writes, private modes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.core import files
from app.core.errors import NotFound
from db import failpoints


@pytest.mark.parametrize(
    "part",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "a\0b",
        "a\nb",
        "x" * 4096,
        "\u202ex",
    ],
)
def test_a_name_that_could_lead_elsewhere_is_not_found(tmp_path: Path, part: str) -> None:
    with pytest.raises(NotFound):
        files.inside(tmp_path, part)


def test_a_plain_name_is_a_path_below_the_folder(tmp_path: Path) -> None:
    assert files.inside(tmp_path, "tickets", "42.html") == tmp_path / "tickets" / "42.html"
    assert files.inside(tmp_path, "тест ü.pdf").parent == tmp_path


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    base, outside = tmp_path / "base", tmp_path / "outside"
    base.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("no")
    (base / "link").symlink_to(outside)
    (base / "round").symlink_to(base / "round")
    (base / "file").symlink_to(outside / "secret")
    for parts in (("link", "secret"), ("round",), ("file",)):
        with pytest.raises(NotFound):
            files.inside(base, *parts)
    with pytest.raises(NotFound):
        files.read_bytes(base / "file")


def test_reading_stops_at_a_limit(tmp_path: Path) -> None:
    (tmp_path / "five").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "five", 5) == b"12345"
    with pytest.raises(NotFound):
        files.read_bytes(tmp_path / "five", 4)


def test_a_write_is_whole_and_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        files.write_whole(tmp_path / "key", b"one")
    finally:
        os.umask(before)
    files.write_whole(tmp_path / "key", b"two")
    assert (tmp_path / "key").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    files.write_whole(tmp_path / "key", b"old")
    failpoints.arm("files_temp_written:enospc")
    with pytest.raises(OSError, match="No space"):
        files.write_whole(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(("point", "expected"), [("temp_written", b"old"), ("renamed", b"new")])
def test_a_process_killed_while_writing_leaves_the_old_or_the_new_file(
    tmp_path: Path, point: str, expected: bytes
) -> None:
    files.write_whole(tmp_path / "key", b"old")
    path = str(tmp_path / "key")
    code = (
        "from pathlib import Path; from app.core import files;"
        f"files.write_whole(Path({path!r}), b'new')"
    )
    env = {**os.environ, "HOLDFAST_FAILPOINT": f"files_{point}:kill"}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == -9
    assert (tmp_path / "key").read_bytes() == expected


def test_emptying_a_folder_removes_links_but_not_what_they_point_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    folder = files.private_folder(tmp_path / "tmp")
    (folder / "link").symlink_to(kept)
    (folder / "deep" / "er").mkdir(parents=True)
    files.empty_folder(folder)
    assert not list(folder.iterdir())
    assert (kept / "file").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
