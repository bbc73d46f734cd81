"""A path means one inode to stat and to the kernel's probes, also on btrfs and overlay."""

import os
from pathlib import Path

import pytest
from support.filesystems import Mounts
from support.programs import Lacking

from replguard.kernel import inodes
from replguard.kernel.mounts import Mount, mounts

LISTED = [
    Mount(1, "8:1", "/", b"/", "ext4", "/dev/sda1"),
    Mount(2, "8:2", "/sub", b"/srv", "btrfs", "/dev/sda2"),
    Mount(3, "0:40", "/", b"/merged", "overlay", "overlay", b"rw,lowerdir=/low\\:er:/base,upperdir=/upper,workdir=/w"),
]


def test_an_ordinary_file_is_what_stat_says(tmp_path: Path) -> None:
    """Number and filesystem; one that is gone is None."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    found = inodes.find(os.fsencode(path))
    assert found is not None
    assert found.number == path.stat().st_ino
    assert inodes.find(os.fsencode(tmp_path / "gone")) is None
    assert inodes.find(b"a\0b") is None


@pytest.mark.parametrize(
    ("superblock", "inside", "path", "host"),
    [
        (8 << 20 | 1, b"/tmp/x", b"/tmp/x", b"/tmp/x"),
        (8 << 20 | 1, b"/", b"/", b"/"),
        (8 << 20 | 2, b"/sub/a", b"/srv/a", b"/srv/a"),
        (8 << 20 | 1, b"/upper/etc/x", b"/merged/etc/x", b"/upper/etc/x"),
    ],
)
def test_a_path_inside_a_filesystem_has_a_name(superblock: int, inside: bytes, path: bytes, host: bytes) -> None:
    """As who acts sees it and as we do; of an overlay's upper layer the merged one."""
    assert inodes.name(superblock, inside, LISTED) == inodes.Name(path, host)


def test_what_no_mount_shows_has_no_name() -> None:
    """Another subvolume, and a filesystem that is not mounted here."""
    assert inodes.name(8 << 20 | 2, b"/other/a", LISTED) is None
    assert inodes.name(8 << 20 | 2, b"/subway", LISTED) is None
    assert inodes.name(99, b"/a", LISTED) is None


def test_the_layers_of_an_overlay_come_with_the_writable_one_first() -> None:
    """A colon in a folder's name is escaped by the kernel."""
    assert LISTED[2].layers == [b"/upper", b"/low:er", b"/base"]
    assert LISTED[0].layers == []


@pytest.mark.root
def test_a_file_of_an_overlay_is_that_of_its_layer(tmp_path: Path) -> None:
    """The probes see the lower inode until it is copied up, then the upper one."""
    (lower := tmp_path / "lower").mkdir()
    (lower / "file").write_bytes(b"x")
    with Mounts(tmp_path) as made:
        try:
            merged = made.overlay(lower, tmp_path / "merged")
        except Lacking as lacking:
            pytest.skip(str(lacking))
        found = inodes.find(os.fsencode(merged / "file"), mounts())
        assert found is not None
        assert found.number == (lower / "file").stat().st_ino
        (merged / "file").write_bytes(b"changed")
        after = inodes.find(os.fsencode(merged / "file"), mounts())
        assert after is not None
        assert after.number == (tmp_path / "merged-upper" / "file").stat().st_ino


@pytest.mark.root
def test_a_layer_that_is_another_file_here_is_none(tmp_path: Path) -> None:
    """Whoever mounted the overlay may have seen other folders at the paths of its layers."""
    (lower := tmp_path / "lower").mkdir()
    (lower / "file").write_bytes(b"x")
    with Mounts(tmp_path) as made:
        try:
            merged = made.overlay(lower, tmp_path / "merged")
            (other := tmp_path / "other").mkdir()
            (other / "file").write_bytes(b"another")
            made.bind(other, lower)
        except Lacking as lacking:
            pytest.skip(str(lacking))
        assert inodes.find(os.fsencode(merged / "file"), mounts()) is None


def test_a_path_that_is_another_file_is_none(tmp_path: Path) -> None:
    """Device and inode decide, where they are known."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    found = path.stat()
    key = (found.st_dev, found.st_ino)
    assert inodes.find(os.fsencode(path), key=key) == inodes.find(os.fsencode(path))
    assert inodes.find(os.fsencode(path), key=(key[0], key[1] + 1)) is None
    assert inodes.find(b"/proc/%d/root" % os.getpid() + os.fsencode(path), key=key) is not None


def test_a_file_lies_on_its_filesystem(tmp_path: Path) -> None:
    """By the device that stat tells, else by its mount."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    found, raw = path.stat(), os.fsencode(path)
    device = os.major(found.st_dev) << 20 | os.minor(found.st_dev)
    assert inodes.lies(raw, found, device, [])
    assert not inodes.lies(raw, found, 0xFFFFF, [])
    listed = mounts() or []
    number = next(m.superblock for m in listed if m.id == mount_of(path))
    assert inodes.lies(raw, found, number, listed)


def mount_of(path: Path) -> int:
    with path.open("rb") as file:
        words = Path(f"/proc/self/fdinfo/{file.fileno()}").read_text().split()
    return int(words[words.index("mnt_id:") + 1])
