"""Network namespaces: ours, and what is seen from inside another."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from support.host import FakeHost

from replguard.kernel import netns, procfs


def test_our_own_namespace_is_no_other() -> None:
    """Every process knows its namespace; one that is gone has none."""
    assert netns.namespace() == netns.namespace(os.getpid())
    assert netns.others([os.getpid(), 2**22 + 5]) == {}


def test_a_host_that_hides_namespaces_has_none(tmp_path: Path) -> None:
    """Where nothing may be looked at, nothing is found."""
    host = FakeHost(tmp_path)
    host.process(5)
    assert netns.namespace(5, host.root) is None
    assert netns.others([5], host.root) == {}


@pytest.mark.root
def test_sockets_made_inside_stay_inside() -> None:
    """A socket of another namespace cannot have a port of ours; afterwards the thread is home again."""
    command = ["unshare", "--net", "sh", "-c", "echo ready; read line"]
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            pytest.skip("no new network namespace may be made here")
        home = netns.namespace("thread-self")
        other = netns.others([child.pid])
        assert list(other.values()) == [child.pid]
        with netns.inside(child.pid), socket.socket() as there:
            assert netns.namespace("thread-self") in other
            with pytest.raises(OSError, match="unreachable"):
                there.connect(("192.0.2.1", 9))
        assert netns.namespace("thread-self") == home
        child.stdin.close()


@pytest.mark.root
def test_the_namespace_of_a_held_process_is_entered() -> None:
    """By its folder, which is of no later process."""
    held = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
    try:
        with netns.inside(held, procfs.HELD):
            assert netns.namespace("thread-self") == netns.namespace(held, procfs.HELD) == netns.namespace()
    finally:
        os.close(held)


def test_entering_the_namespace_of_nobody_is_an_error() -> None:
    """The caller gets an OSError and stays where it was."""
    home = netns.namespace("thread-self")
    with pytest.raises(OSError, match=r".+"), netns.inside(2**22 + 5):
        pass
    assert netns.namespace("thread-self") == home
