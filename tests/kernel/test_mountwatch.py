"""Who mounts, parsed from recorded bytes and asked for real."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from replguard.kernel import fanotify, mountwatch
from replguard.kernel.mountwatch import Mounted, MountGroup


def record(mask: int = mountwatch.ATTACH, pid: int = 7, mount: int = 99, kind: int = 7) -> bytes:
    return struct.pack("=IBBHQii", 40, 3, 0, 24, mask, -1, pid) + struct.pack("=BxH4xQ", kind, 16, mount)


def test_records_are_parsed_one_after_the_other() -> None:
    """Attached and detached; another kind of information is passed over."""
    data = record() + record(mountwatch.DETACH, 8, 100) + record(kind=1) + record(pid=9)
    assert list(mountwatch.parse(data)) == [Mounted(True, 7, 99), Mounted(False, 8, 100), Mounted(True, 9, 99)]


def test_a_full_queue_is_a_record_too() -> None:
    """It bears no mount."""
    full = struct.pack("=IBBHQii", 24, 3, 0, 24, fanotify.OVERFLOW, -1, 0)
    assert list(mountwatch.parse(full + record())) == [Mounted(False, 0, 0, lost=True), Mounted(True, 7, 99)]


@pytest.mark.parametrize("length", [0, 10, 24, 39])
def test_what_is_cut_ends_the_reading(length: int) -> None:
    """No record is trusted to be whole."""
    assert list(mountwatch.parse(record()[:length])) == []


def test_a_length_that_leads_nowhere_ends_the_reading() -> None:
    """Zero would read the same record for ever."""
    assert list(mountwatch.parse(struct.pack("=IBBHQii", 0, 3, 0, 24, 0, -1, 7) + record())) == []


@pytest.mark.root
def test_a_bind_mount_is_told_with_its_process(tmp_path: Path) -> None:
    """By the mount's unique id, which the mount point shows as well."""
    try:
        group = MountGroup()
        group.watch("/proc/self/ns/mnt")
    except OSError as error:
        pytest.skip(f"the kernel does not tell who mounts ({error.strerror})")
    place = tmp_path / "place"
    place.mkdir()
    mount = subprocess.Popen(["mount", "--bind", tmp_path, place])
    try:
        assert mount.wait(10) == 0
        told = [one for one in group.read() if one.pid == mount.pid and one.attached]
        assert mountwatch.unique_id(os.fsencode(place)) in {one.mount for one in told}
    finally:
        subprocess.run(["umount", place], check=True)
        group.close()
