"""Which device nodes hold a filesystem, on a made-up /sys."""

import os
from pathlib import Path

from replguard.kernel.mounts import Mount
from replguard.sensors.files import disks


def made(sys: Path, name: str, number: str, place: str) -> Path:
    """Make a block device and return its folder."""
    folder = sys / "devices" / place
    folder.mkdir(parents=True)
    for link in (sys / "dev/block" / number, sys / "class/block" / name):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
    return folder


def test_partitions_and_slaves_are_followed_to_the_disk(tmp_path: Path) -> None:
    """A device-mapper volume on a partition on a disk with a slash in its name."""
    made(tmp_path, "cciss!c0d0", "104:0", "cciss!c0d0")
    (made(tmp_path, "sda1", "8:1", "cciss!c0d0/sda1") / "partition").write_text("1")
    (made(tmp_path, "dm-0", "254:0", "dm-0") / "slaves" / "sda1").mkdir(parents=True)
    found = disks.nodes(os.makedev(254, 0), str(tmp_path), [])
    assert found == [b"/dev/dm-0", b"/dev/sda1", b"/dev/cciss/c0d0"]


def test_a_loop_device_leads_to_the_disk_of_its_file(tmp_path: Path) -> None:
    """The file's own filesystem is asked."""
    image = tmp_path / "image"
    image.write_text("")
    below = image.stat().st_dev
    (made(tmp_path, "loop9", "7:9", "loop9") / "loop").mkdir()
    (tmp_path / "devices/loop9/loop/backing_file").write_text(f"{image}\n")
    made(tmp_path, "disk", f"{os.major(below)}:{os.minor(below)}", "disk")
    assert disks.nodes(os.makedev(7, 9), str(tmp_path), []) == [b"/dev/loop9", b"/dev/disk"]


def test_a_filesystem_in_memory_has_none(tmp_path: Path) -> None:
    """Nor one whose source is no device."""
    mount = Mount(1, "0:40", "/", b"/mnt", "btrfs", "none")
    assert disks.nodes(os.makedev(0, 40), str(tmp_path), [mount]) == []


def test_gpus_are_found_by_their_nodes(tmp_path: Path) -> None:
    """Folders are none."""
    (tmp_path / "nvidia0").write_text("")
    (tmp_path / "nvidia-caps").mkdir()
    assert disks.gpus([f"{tmp_path}/nvidia*"]) == [os.fsencode(tmp_path / "nvidia0")]
