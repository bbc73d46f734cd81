"""Other hosts on one kernel: how their root is laid out, and what is seen of who listens there."""

import os
import shlex
import socket
from pathlib import Path

import pytest
from bench.host import Lacking
from proof import hosts
from proof.hosts import Peer

from replguard.drill import stage


def test_who_listens_is_seen_in_the_network_of_the_host(tmp_path: Path) -> None:
    """By a process that lives in it; one that is gone has nobody who listens."""
    with socket.socket() as door:
        door.bind((stage.LOOPBACK, 0))
        door.listen()
        port = door.getsockname()[1]
        assert Peer("10.0.0.2", tmp_path, os.getpid()).listening(port)
        assert not Peer("10.0.0.2", tmp_path, 2**22 + 1).listening(port)
    assert not Peer("10.0.0.2", tmp_path, os.getpid()).listening(port)


def test_a_root_shows_what_is_named_and_is_entered_before_anything_runs(tmp_path: Path) -> None:
    """Files and folders, whatever their names; the old root is let go of first."""
    file = tmp_path / "a b"
    file.touch()
    script = hosts._script(tmp_path, [tmp_path, file], ["ln -s usr/bin ./bin"], ["sshd", "x y"])
    inside = shlex.quote(f".{file}")
    assert f"mount --rbind {shlex.quote(str(file))} {inside}" in script
    assert f": > {inside}" in script
    lines = script.splitlines()
    assert lines.index("pivot_root . old") < lines.index("umount -l /old") < lines.index("exec sshd 'x y'")


def test_without_hosts_nothing_is_made(tmp_path: Path) -> None:
    """Nor asked of the kernel; what it refuses is said."""
    with hosts.peers(stage.Stage(), 0, []) as none:
        assert none == []
    with pytest.raises(Lacking, match="is refused here"):
        hosts._run("ip netns add /")
