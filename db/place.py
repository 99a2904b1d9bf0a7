"""Where the file may be: WAL needs shared memory and honest locks, so one kernel, its own disk."""

import errno
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = {
    *("9p", "afs", "ceph", "cifs", "gfs2", "glusterfs", "lustre", "nfs", "nfs4", "ocfs2"),
    *("orangefs", "smb3", "smbfs", "virtiofs"),
    *("fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
}


def file_system(path: Path, mounts: Path | None = None) -> str:
    """The type of the file system that `path` is on, as the kernel names it; empty if unknown."""
    try:
        lines = (mounts or MOUNTS).read_text().splitlines()
    except OSError:
        return ""
    place, found, longest = path.resolve(), "", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        if place.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = after.split()[0], len(point.parts)
    return found


def refuse_network(path: Path) -> None:
    """Raise OSError where `path` is on a network file system: two machines would corrupt the file.

    Workers tell the living from the dead by locks, too, and such systems do not hold them.
    """
    kind = file_system(path)
    if kind in NETWORK:
        text = f"the data folder is on a network file system ({kind}); it must be on a local disk"
        raise OSError(errno.EOPNOTSUPP, text, str(path))
