"""What joins a holder of weights to who listens, and who uses its Unix socket: between real processes."""

import os
from pathlib import Path
from typing import Any

import pytest
from support.host import one, python, running, until

from replguard.events.hint import Hint
from replguard.sensors import joins
from replguard.sensors.joins import JoinSensor

FRONT = """
import mmap, os, socket, sys
how = sys.argv[1]
read, write = os.pipe()
near, far = socket.socketpair()
memory = mmap.mmap(-1, 4096)
if not os.fork():
    for name, ends in (("pipe", (read, write)), ("socketpair", (near.fileno(), far.fileno()))):
        if name != how:
            [os.close(end) for end in ends]
    if how != "memory":
        memory.close()
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
os.close(read), near.close()
os.wait()
"""
HOLDER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
print("up", flush=True)
kept = [listener.accept()]
sys.stdin.read()
"""
CLIENT = """
import socket, sys
one = socket.socket(socket.AF_UNIX); one.connect(sys.argv[1])
print("up", flush=True)
sys.stdin.read()
"""


def named(sensor: JoinSensor, kind: Any, pid: int) -> str:
    """Name a process to the sensor as provenance does, and return its entity id."""
    found = until(lambda: sensor._who.describer.brief(pid))
    sensor.watch(Hint(kind=kind, pid=pid, entity_id=found.entity_id))
    return str(found.entity_id)


@pytest.mark.parametrize("how", ["pipe", "socketpair", "memory"])
def test_a_front_and_its_holder_share_it(how: str) -> None:
    """Told once, with what it is."""
    sensor = JoinSensor()
    with python(FRONT, how) as front, running(sensor) as events:
        holder = int(front.stdout.readline())
        entities = named(sensor, "listener", front.pid), named(sensor, "holder", holder)
        joined = one(events, "process_joined")
        assert (joined.process.pid, joined.process.entity_id) == (front.pid, entities[0])
        assert (joined.target.pid, joined.target.entity_id) == (holder, entities[1])
        assert joined.replguard.technique == how
        sensor._due = 0.0
        assert not until(lambda: [e for e in events if e.action == "process_joined"][1:], 1.0)


def test_what_both_only_write_to_joins_nobody() -> None:
    """Two programs of one terminal or script have its errors in common."""
    sensor = JoinSensor()
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        pids = [os.posix_spawn("/bin/sleep", ["sleep", "60"], {}) for _ in range(2)]
    finally:
        os.close(read), os.close(write)
    try:
        with running(sensor) as events:
            named(sensor, "listener", pids[0]), named(sensor, "holder", pids[1])
            assert not until(lambda: [e for e in events if e.action == "process_joined"], 1.0)
    finally:
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def test_who_uses_a_holders_socket_is_told(tmp_path: Path) -> None:
    """First that nobody does, then each who does."""
    sensor, path = JoinSensor(), str(tmp_path / "s")
    with python(HOLDER, path) as holder, running(sensor) as events:
        holder.stdout.readline()
        entity = named(sensor, "holder", holder.pid)
        idle = one(events, "socket_used")
        assert (idle.replguard.status, idle.process, idle.server.path) == ("idle", None, path)
        assert idle.target.entity_id == entity
        with python(CLIENT, path) as client:
            client.stdout.readline()
            used = one(events, "socket_used", lambda event: event.replguard.status == "used")
            assert (used.process.pid, used.target.pid) == (client.pid, holder.pid)
            assert used.process.executable


def test_nobody_is_looked_at_without_a_holder() -> None:
    """Listeners alone cost nothing; one that is another by now is let go."""
    sensor = joins.open(None)  # type: ignore[arg-type]
    sensor.start()
    sensor.watch(Hint(kind="listener", pid=os.getpid(), entity_id="x"))
    assert list(sensor.poll()) == []
    assert sensor._listeners
    sensor.watch(Hint(kind="holder", pid=os.getpid(), entity_id="x"))
    assert list(sensor.poll()) == []
    assert not sensor._holders
    assert not sensor._listeners
