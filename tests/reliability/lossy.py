"""A disk that keeps only what was synced: an SQLite file system for power-loss tests."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


@dataclass
class Disk:
    """One file: its bytes at the last sync, and what was written since and may be lost."""

    synced: bytearray
    later: list[tuple[int, bytes | None]] = field(default_factory=list)

    def put(self, content: bytearray, at: int, data: bytes | None) -> None:
        """Write, or cut at `at` where there is no data."""
        if data is None:
            del content[at:]
            return
        content.extend(b"\0" * (at - len(content)))
        content[at : at + len(data)] = data

    def sync(self) -> None:
        """Everything written so far is safe."""
        for at, data in self.later:
            self.put(self.synced, at, data)
        self.later.clear()

    def after_power_loss(self, chance: random.Random) -> bytes:
        """The file as it may be found: a random half of what was not synced, some of it torn."""
        content = bytearray(self.synced)
        for at, data in self.later:
            if chance.random() < 0.5:
                torn = data is not None and len(data) > SECTOR and chance.random() < 0.3
                self.put(content, at, data[:SECTOR] if data and torn else data)
        return bytes(content)


class Lossy(apsw.VFS):
    """While registered, every database of this process is on such a disk."""

    def __init__(self) -> None:
        self.disks: dict[str, Disk] = {}
        super().__init__("lossy", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "LossyFile":  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        return LossyFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        self.disks.pop(filename, None)
        super().xDelete(filename, syncdir)

    def image(self, folder: Path, chance: random.Random) -> Path:
        """Write what a power loss now would leave into `folder`; the database's path there."""
        folder.mkdir(parents=True)
        for path, disk in self.disks.items():
            (folder / Path(path).name).write_bytes(disk.after_power_loss(chance))
        return folder / "holdfast.db"


class LossyFile(apsw.VFSFile):
    """An open file that notes each write."""

    def __init__(self, vfs: Lossy, path: str, name: Any, flags: list[int]) -> None:
        before = Path(path).read_bytes() if Path(path).exists() else b""
        self._disk = vfs.disks.setdefault(path, Disk(bytearray(before)))
        super().__init__("unix", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._disk.later.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        self._disk.later.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        self._disk.sync()
