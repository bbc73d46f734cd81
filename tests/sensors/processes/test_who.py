"""Who holds a file or socket, within a budget."""

import os
import socket
from pathlib import Path

import pytest
from support.host import python

from replguard.sensors.processes import who as module
from replguard.sensors.processes.who import Who

HOLD = "import sys; f=open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"


def key(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def test_a_writer_is_found_and_described(tmp_path: Path) -> None:
    """The process that has it open for writing, with all that is known of it."""
    path = tmp_path / "out"
    with python(HOLD, str(path), "w") as child:
        child.stdout.readline()
        found = Who().writer(*key(path), b"out")
    assert found is not None
    assert found.pid == child.pid
    assert found.args[-2:] == (str(path), "w")
    assert Who().writer(*key(path), b"out") is None


def test_readers_are_no_writers_and_we_are_none(tmp_path: Path) -> None:
    """Reading is told apart from writing; our own descriptors do not count."""
    path = tmp_path / "in"
    path.write_bytes(b"x")
    who = Who()
    with python(HOLD, str(path), "r") as child, path.open("rb"):
        child.stdout.readline()
        assert [process.pid for process in who.readers(*key(path))] == [child.pid]
        assert who.writer(*key(path), b"in") is None


def test_who_was_found_before_is_asked_first(tmp_path: Path) -> None:
    """One that writes many files is found at once for each."""
    path = tmp_path / "out"
    who = Who()
    with python(HOLD, str(path), "w") as child:
        child.stdout.readline()
        who.writer(*key(path), b"out")
        assert who.order()[0] == child.pid


def test_the_budget_ends_ordinary_looks_before_urgent_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left when much was looked for is kept for what matters."""
    path = tmp_path / "out"
    monkeypatch.setattr(module, "SHARE", 0.0)
    who = Who()
    with python(HOLD, str(path), "w") as child:
        child.stdout.readline()
        who._budget = module.RESERVE / 2
        assert who.writer(*key(path), b"out") is None
        assert who.writer(*key(path), b"out", urgent=True) is not None
        who._budget = 0.0
        assert who.writer(*key(path), b"out", urgent=True) is None


def test_sockets_have_holders() -> None:
    """All holders of a socket, or the first found; one that is closed has none."""
    with socket.socket() as ours:
        inode = os.fstat(ours.fileno()).st_ino
        assert Who().sockets({inode}) == {inode: [os.getpid()]}
        assert Who().sockets({inode}, all_holders=True) == {inode: [os.getpid()]}
    assert Who().sockets({inode}) == {}
    assert Who().sockets(set()) == {}


def test_who_is_gone_is_no_one() -> None:
    """A pid without a process is None."""
    assert Who().process(2**22 + 1) is None


def test_a_number_alone_is_no_file(tmp_path: Path) -> None:
    """Every filesystem has the same numbers: who asks says whether it is the right one."""
    (path := tmp_path / "held").write_bytes(b"x")
    with path.open("rb"):
        found = Who().held(os.getpid(), path.stat().st_ino, lambda _, status: status.st_dev == path.stat().st_dev)
        assert found is not None
        assert found[0] == os.fsencode(path)
        assert Who().held(os.getpid(), path.stat().st_ino, lambda *_: False) is None
