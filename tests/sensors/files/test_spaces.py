"""Mount namespaces are found through the processes in them."""

import os
import subprocess
from pathlib import Path

import pytest
from support.host import FakeHost, until

from replguard.sensors.files.spaces import Spaces


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


def test_the_way_to_a_namespace_is_kept_while_its_process_lives(host: FakeHost, tmp_path: Path) -> None:
    """And is at first by the process that began first: a helper that ends in a moment may have the lowest number."""
    host.process(5, start=900)
    (tmp_path / "5/ns").mkdir()
    (tmp_path / "5/ns/mnt").hardlink_to(tmp_path / "8/ns/mnt")
    host.write("5/mountinfo", b"40 1 0:50 / /in rw - tmpfs none rw\n")
    spaces = Spaces(host.root)
    try:
        assert spaces.look()
        assert [space.prefix for space in spaces.all()][1] == os.fsencode(f"{host.root}/8/root")
        host.process(8, start=5000)
        assert not spaces.look()
        host.end(8)
        assert spaces.look()
        assert [space.prefix for space in spaces.all()][1] == os.fsencode(f"{host.root}/5/root")
    finally:
        spaces.close()


def test_what_is_too_much_is_left_out_and_said(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one namespace, and of all; until it is less again."""
    line = b"40 1 0:50 / /in%d rw - tmpfs none rw\n"
    host.write("8/mountinfo", b"".join(line % number for number in range(9)))
    monkeypatch.setattr("replguard.sensors.files.spaces.MOST_MOUNTS", 4)
    spaces = Spaces(host.root)
    try:
        assert spaces.look()
        assert [len(space.mounts) for space in spaces.all()] == [1, 4]
        assert len(spaces.left_out) == 1
        assert not spaces.look()
        assert len(spaces.left_out) == 1
        host.write("8/mountinfo", line % 1)
        assert spaces.look()
        assert not spaces.left_out
        monkeypatch.setattr("replguard.sensors.files.spaces.MOST_SPACES", 0)
        spaces.look()
        assert [space.prefix for space in spaces.all()] == [b""]
        assert spaces.left_out
    finally:
        spaces.close()


@pytest.mark.root
@pytest.mark.parametrize(("words", "trusted"), [(["-m"], True), (["-Urm"], False)])
def test_only_what_root_made_is_trusted(words: list[str], trusted: bool) -> None:
    """A namespace in a user namespace is that of whoever made it."""
    with subprocess.Popen(["unshare", *words, "sleep", "60"], stderr=subprocess.DEVNULL) as child:
        spaces = Spaces()
        try:
            assert until(lambda: spaces.of(child.pid) != spaces.own or spaces.forget() or child.poll() is not None)
            if child.poll() is not None:
                pytest.skip("no such namespace can be made here")
            spaces.look()
            assert [s.trusted for s in spaces.all() if s.id == spaces.of(child.pid)] == [trusted]
        finally:
            spaces.close()
            child.kill()


def test_our_own_table_is_watched() -> None:
    """Nothing changed since it was read."""
    spaces = Spaces()
    try:
        assert any(mount.path == b"/" for mount in next(spaces.all()).mounts)
        assert spaces.of(os.getpid()) == spaces.own
    finally:
        spaces.close()
