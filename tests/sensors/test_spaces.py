"""Mount namespaces are found through the processes in them."""

import os
from pathlib import Path

import pytest
from support.host import FakeHost

from replguard.sensors.spaces import Spaces


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """Return a host with two processes beside us; the second one in a namespace of its own."""
    made = FakeHost(tmp_path)
    made.write("self/mountinfo", b"30 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    made.write("self/ns/mnt", b"")
    for pid in (7, 8):
        made.process(pid)
        made.write(f"{pid}/mountinfo", b"40 1 0:50 / /in rw - tmpfs none rw\n")
    (tmp_path / "7/ns").mkdir()
    (tmp_path / "7/ns/mnt").hardlink_to(tmp_path / "self/ns/mnt")
    made.write("8/ns/mnt", b"")
    return made


def test_others_are_looked_for_and_forgotten(host: FakeHost) -> None:
    """Each is reached through a process in it; our own comes first."""
    spaces = Spaces(host.root)
    try:
        assert [space.prefix for space in spaces.all()] == [b""]
        assert spaces.of(7) == spaces.own
        assert not spaces.unknown
        assert spaces.of(8) not in (None, spaces.own)
        assert spaces.unknown
        assert spaces.of(9) is None
        assert spaces.look()
        own, other = spaces.all()
        assert (own.mounts[0].path, other.mounts[0].path) == (b"/", b"/in")
        assert other.prefix == os.fsencode(f"{host.root}/8/root")
        assert not spaces.look()
        host.write("8/mountinfo", b"")
        assert spaces.look()
        host.end(8)
        assert spaces.look()
        assert len(list(spaces.all())) == 1
        spaces.forget()
        assert spaces.of(8) is None
    finally:
        spaces.close()
        spaces.close()


def test_our_own_table_is_watched() -> None:
    """Nothing changed since it was read."""
    spaces = Spaces()
    try:
        assert any(mount.path == b"/" for mount in next(spaces.all()).mounts)
        assert spaces.of(os.getpid()) == spaces.own
    finally:
        spaces.close()
