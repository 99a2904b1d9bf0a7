from pathlib import Path

import pytest

from db import place
from db.engine import DB

pytestmark = pytest.mark.anyio

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 22 0:40 / {data} rw,relatime shared:1 - nfs4 nas:/export rw,vers=4.2
32 31 0:41 / {data}/local rw,relatime - tmpfs none rw
33 22 0:42 / /mnt/my\\040share rw - cifs //nas/share rw
"""


@pytest.fixture
def mounts(data_dir: Path, tmp_path: Path) -> Path:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(data=data_dir.resolve()))
    return mounts


def test_the_innermost_mount_says_what_a_file_is_on(data_dir: Path, mounts: Path) -> None:
    found = [
        place.file_system(Path(path), mounts)
        for path in (data_dir / "holdfast.db", data_dir / "local/x", "/etc", "/mnt/my share/x")
    ]
    assert found == ["nfs4", "tmpfs", "ext4", "cifs"]


async def test_a_file_on_a_network_is_not_opened(
    database: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "MOUNTS", mounts)
    with pytest.raises(OSError, match=r"network file system \(nfs4\)"):
        await DB.open(database)
    monkeypatch.undo()
    await DB.open(database)
    await DB.close()
