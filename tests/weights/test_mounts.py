"""Where a file lies, told without touching it."""

import os
from pathlib import Path

import pytest
from support import modelfiles

from replguard.weights.mounts import Mounts, remote_reason

TABLE = """\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:30 / /mnt/nfs rw - nfs4 server:/x rw
22 20 0:31 / /home/u/with\\040blank rw - fuse.sshfs u@h:/ rw
23 20 8:2 / /mnt rw - xfs /dev/sdb rw
24 20 8:3 / /data rw - ext4 /dev/sdc rw
25 20 0:40 / /data rw - cifs //s/x rw
26 20 0:41 / /vm rw - virtiofs x rw
27 20 0:42 / /ntfs rw - fuseblk /dev/sdd rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    modelfiles.write(tmp_path / "self" / "mountinfo", TABLE.encode())
    return Mounts(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/nfs/model", "nfs4"),
        ("/mnt/nfs", "nfs4"),
        ("/mnt/nfsx/model", "xfs"),
        ("/home/u/with blank/model", "fuse.sshfs"),
        ("/data/model", "cifs"),
        ("/vm/model", None),
        ("/ntfs/model", None),
        ("/etc/passwd", None),
    ],
)
def test_network_and_fuse_mounts_are_told_by_the_path(mounts: Mounts, path: str, kind: str | None) -> None:
    """The longest mount point counts, and of two on one point the one on top."""
    reason = remote_reason(mounts.of_path(path))
    if kind in {None, "xfs"}:
        assert reason is None
    else:
        assert reason is not None
        assert f"({kind} at " in reason
        assert "weights.scan_network" in reason


def test_what_is_away_is_told_with_its_source(mounts: Mounts) -> None:
    """A disk that a program reads, and a share of the hypervisor, are of this host."""
    kinds = [
        place and place[0] for path in ("/mnt/nfs/model", "/ntfs/model", "/etc/passwd") for place in [mounts.away(path)]
    ]
    assert kinds == ["nfs4", None, None]
    place = mounts.away("/mnt/nfs/model")
    assert place is not None
    assert place[1] == "server:/x"


def test_the_mount_of_an_open_file_is_told_by_the_kernel(tmp_path: Path) -> None:
    """Links on the way cannot deceive it."""
    path = modelfiles.write(tmp_path / "file", b"x")
    real = Mounts()
    fd = os.open(path, os.O_RDONLY)
    try:
        found = real.of_file(fd)
        assert found is not None
        assert os.fsencode(path).startswith(found.path)
        assert real.of_file(9999) is None
        assert real.all() is real.all()
    finally:
        os.close(fd)
        real.close()
        real.close()


def test_without_a_table_nothing_is_remote(tmp_path: Path) -> None:
    """A host that hides its mounts is read as if all were local."""
    assert remote_reason(Mounts(str(tmp_path)).of_path("/mnt/nfs/x")) is None
