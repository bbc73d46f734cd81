"""Who is at the other end: the very process that connected, or nobody."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from replguard.control import peer as peers
from replguard.control import place
from replguard.control.peer import peer
from replguard.sensors.processes.describe import Describer

CLIENT = """
import socket, sys
one = socket.socket(socket.AF_UNIX)
one.connect(sys.argv[1])
print("in", flush=True)
sys.stdin.read()
"""


def test_the_process_that_connected_is_named(tmp_path: Path) -> None:
    """By its pid and the entity id that sensors give it; once it has ended it is nobody, though the socket lives."""
    path = tmp_path / "s"
    with place.listen(path) as listener:
        words = [sys.executable, "-c", CLIENT, str(path)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            with listener.accept()[0] as connection:
                found = peer(connection, Describer())
                assert found.uid == os.getuid()
                assert found.process is not None
                known = Describer().brief(child.pid)
                assert known is not None
                assert (found.process.pid, found.process.entity_id) == (child.pid, known.entity_id)
                child.communicate()
                assert peer(connection, Describer()).process is None


def test_an_older_kernel_has_the_pid_to_go_by(tmp_path: Path, monkeypatch: object) -> None:
    """SO_PEERPIDFD came with 6.5."""
    monkeypatch.setattr(peers, "_PIDFD", 10_000)  # type: ignore[attr-defined]
    here, there = socket.socketpair()
    with here, there:
        found = peer(there, Describer())
    assert found.process is not None
    assert found.process.pid == os.getpid()
