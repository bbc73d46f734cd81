"""Who holds what, with real descriptors and mappings."""

import mmap
import os
import socket
from pathlib import Path

import pytest
from support.host import FakeHost

from replguard.kernel import handles


def test_holders_are_told_with_their_mode(tmp_path: Path) -> None:
    """A reader reads and a writer writes; a name that is not ours is not even looked at."""
    path = tmp_path / "w\n\udcff"
    me = [os.getpid()]
    with path.open("wb") as file:
        found = path.stat()
        key = (found.st_dev, found.st_ino)
        assert list(handles.open_holders(*key, me)) == [(os.getpid(), False, True)]
        assert list(handles.open_holders(*key, me, name=b"w\n\xff")) == [(os.getpid(), False, True)]
        assert not list(handles.open_holders(*key, me, name=b"other"))
        with path.open("rb"):
            assert list(handles.open_holders(*key, me)) == [(os.getpid(), True, True)]
        path.unlink()
        assert list(handles.open_holders(*key, me, name=b"w\n\xff")) == [(os.getpid(), False, True)]
        assert file.fileno() in [fd.number for fd in handles.fds(os.getpid())]
    assert not list(handles.open_holders(*key, me))


def test_what_was_made_nameless_is_found_by_the_name_it_got(tmp_path: Path) -> None:
    """O_TMPFILE, then linked: the descriptor goes on showing its inode as its name."""
    try:
        handle = os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY)
    except OSError as error:
        pytest.skip(f"no O_TMPFILE here: {error.strerror}")
    try:
        found = os.fstat(handle)
        os.link(f"/proc/self/fd/{handle}", tmp_path / "w", src_dir_fd=handle)
        holders = handles.open_holders(found.st_dev, found.st_ino, [os.getpid()], name=b"w")
        assert list(holders) == [(os.getpid(), False, True)]
    finally:
        os.close(handle)


def test_who_is_gone_holds_nothing(tmp_path: Path) -> None:
    """A pid without a process gives nothing."""
    host = FakeHost(tmp_path)
    assert not list(handles.fds(99, host.root))
    assert not handles.maps(99, host.root)
    assert handles.key(os.fsencode(tmp_path / "none")) is None


def test_a_mapping_is_found_by_its_inode(tmp_path: Path) -> None:
    """Also after the file was closed."""
    path = tmp_path / "m"
    path.write_bytes(bytes(8192))
    with path.open("rb") as file:
        area = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        found = [held for held in handles.maps(os.getpid()).values() if held.inode == path.stat().st_ino]
        assert [held.path for held in found] == [os.fsencode(path)]
        assert not found[0].writable
    finally:
        area.close()


def test_maps_of_hostile_names(tmp_path: Path) -> None:
    """Blanks and garbage in a maps file are taken as they come."""
    host = FakeHost(tmp_path)
    line = b"7f00-7f01 rw-s 00000000 08:02 77                         /a b\\012c (deleted)\n"
    host.write("5/maps", line + b"bad\n7f-80 r--p 0 xx:yy zz /x\n7f00-7f01 rw-p 00000000 00:00 0 [heap]\n")
    assert list(handles.maps(5, host.root).values()) == [
        handles.Mapped(os.makedev(8, 2), 77, b"/a b\\012c (deleted)", True)
    ]


def test_sockets_have_owners() -> None:
    """A socket is found by its inode number."""
    with socket.socket() as ours:
        inode = os.fstat(ours.fileno()).st_ino
        assert list(handles.socket_owners({inode, 1}, [os.getpid()])) == [(inode, os.getpid())]
