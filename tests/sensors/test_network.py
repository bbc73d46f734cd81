"""Listeners and connections of real processes."""

import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.host import python, until
from support.programs import Lacking
from support.wires import FAR, NEAR, wire

from replguard.config import Config
from replguard.events.event import Event
from replguard.events.network import Endpoint
from replguard.events.process import Process
from replguard.kernel.sockdiag import ESTABLISHED, Socket
from replguard.sensors import network as module
from replguard.sensors.network import NetworkSensor
from replguard.sensors.sockets import tables
from replguard.sensors.sockets.tables import Ledger

SERVE = """
import socket, sys
s = socket.create_server(('127.0.0.1', 0))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""
CONNECT = """
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["sock_diag", "psutil"])
def sensor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[NetworkSensor]:
    if request.param == "psutil":

        def refuse() -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(tables, "SockDiag", refuse)
    made = NetworkSensor(Ledger())
    made.start()
    yield made
    made.stop()


def looked(sensor: NetworkSensor, fits: Any) -> list[Event]:
    """Look again until an event fits, as a slow machine may show a socket late."""
    found: list[Event] = []
    until(lambda: found.extend(e for e in sensor.poll() if fits(e)) or found, 5)
    return found


def test_a_listener_comes_and_goes(sensor: NetworkSensor) -> None:
    """With its process while it is there, and with the same when it is gone."""
    list(sensor.poll())
    with python(SERVE) as child:
        port = int(child.stdout.readline())
        (event,) = looked(sensor, lambda e: e.server is not None and e.server.port == port)
        assert (event.action, event.event.kind, event.server.ip) == ("socket_listen", "event", "127.0.0.1")
        assert event.process.pid == child.pid
        assert event.network.transport == "tcp"
        assert not [e for e in sensor.poll() if e.server is not None and e.server.port == port]
    (gone,) = looked(sensor, lambda e: e.server is not None and e.server.port == port)
    assert (gone.action, gone.process.pid) == ("socket_close", child.pid)


def test_a_connection_is_told_by_who_opened_it(sensor: NetworkSensor) -> None:
    """Once, as initiated; the side that accepts is filtered."""
    with python(SERVE) as server:
        port = int(server.stdout.readline())
        list(sensor.poll())
        with python(CONNECT, str(port)) as client:
            client.stdout.readline()
            events = looked(
                sensor, lambda e: e.action == "network_connection" and port in (e.destination.port, e.source.port)
            )
            assert [(e.process.pid, e.destination.port, e.network.initiated) for e in events] == [
                (client.pid, port, True)
            ]
            assert not [e for e in sensor.poll() if e.action == "network_connection" and e.destination.port == port]


def test_what_is_there_at_start_is_state(sensor: NetworkSensor) -> None:
    """The first look is a snapshot."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        kinds = {e.event.kind for e in sensor.poll() if e.server is not None and e.server.port == port}
    assert kinds == {"state"}


def test_a_socket_that_another_sensor_told_is_left_out() -> None:
    """The ledger decides who tells."""
    ledger = Ledger()
    sensor = NetworkSensor(ledger)
    sensor.start()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            inode = os.fstat(client.fileno()).st_ino
            ledger.claim(Socket(socket.AF_INET, ESTABLISHED, client.getsockname(), client.getpeername(), inode, 0))
            port = server.getsockname()[1]
            assert not [e for e in sensor.poll() if e.destination is not None and e.destination.port == port]
    finally:
        sensor.stop()


def test_unix_listeners_have_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of address and port."""
    monkeypatch.chdir(tmp_path)
    sensor = NetworkSensor(Ledger())
    sensor.start()
    try:
        list(sensor.poll())
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("models.sock")
            listener.listen()
            found = [e for e in sensor.poll() if e.server is not None and e.server.path == "models.sock"]
        assert [(e.action, e.process.pid, e.network.transport) for e in found] == [
            ("socket_listen", os.getpid(), "unix")
        ]
    finally:
        sensor.stop()


@pytest.mark.root
def test_listeners_in_other_network_namespaces_are_seen() -> None:
    """A container's server listens where only a look from inside sees it."""
    script = 'ip link set lo up 2>/dev/null; exec python3 -c "$0"'
    code = "import socket,sys; s=socket.create_server(('0.0.0.0', 47113)); print(flush=True); sys.stdin.read()"
    try:
        child = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", script, code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    sensor = NetworkSensor(Ledger())
    with child:
        if child.stdout.readline() != b"\n":
            pytest.skip("no new network namespace may be made here")
        sensor.start()
        try:
            found = [e for e in sensor.poll() if e.server is not None and e.server.port == 47113]
        finally:
            sensor.stop()
            child.stdin.close()
    assert [e.process.pid for e in found] == [child.pid]


def test_it_opens() -> None:
    """With the ledger that the daemon's sensors share."""
    assert module.open(Config())._ledger is tables.SHARED


# -- beside the kernel -----------------------------------------------------------------------------------------------


@pytest.fixture
def beside() -> Iterator[NetworkSensor]:
    """A sensor that has looked once, beside one that tells as the kernel does."""
    ledger = Ledger()
    ledger.told_by_kernel(replies=True)
    made = NetworkSensor(ledger)
    made.start()
    try:
        list(made.poll())
        yield made
    finally:
        made.stop()


def of(sensor: NetworkSensor, port: int) -> list[Event]:
    """Return what a look tells of a port."""
    return [e for e in sensor.poll() if port in [end.port for end in (e.server, e.destination) if end is not None]]


def test_where_the_kernel_tells_it_looks_rarely(beside: NetworkSensor) -> None:
    """As often as ever once nobody else does."""
    assert beside.period == module.RARELY
    beside._ledger.told_by_none()
    list(beside.poll())
    assert beside.period == module.PERIOD


def test_a_connection_that_the_kernel_told_is_left_out_and_a_lost_one_found(beside: NetworkSensor) -> None:
    """The kernel's teller has until the next look; what it has not told by then, it has lost."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [e.action for e in of(beside, port)] == ["socket_listen"]
        with socket.create_connection(server.getsockname()) as told, socket.create_connection(server.getsockname()):
            inode = os.fstat(told.fileno()).st_ino
            beside._ledger.claim(Socket(socket.AF_INET, ESTABLISHED, told.getsockname(), told.getpeername(), inode, 0))
            assert of(beside, port) == []
            found = of(beside, port)
            assert [(e.action, e.process.pid) for e in found] == [("network_connection", os.getpid())]
            assert found[0].network.inode != inode
            assert of(beside, port) == []


def test_who_inherited_a_listener_is_told_besides(beside: NetworkSensor) -> None:
    """Its end too, but for one teller only."""
    code = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); print(flush=True); sys.stdin.read()"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        inode = os.fstat(server.fileno()).st_ino
        assert beside._ledger.listens(inode, Endpoint(ip="127.0.0.1", port=port), Process(pid=os.getpid()))
        held = subprocess.Popen(
            [sys.executable, "-c", code, str(server.fileno())],
            pass_fds=[server.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with held:
            held.stdout.readline()
            found = looked(beside, lambda e: e.server is not None and e.server.port == port)
            assert [(e.action, e.process.pid) for e in found] == [("socket_listen", held.pid)]
            held.stdin.close()
    assert len(beside._ledger.closes(inode)) == 2
    assert of(beside, port) == []


def test_the_owner_of_a_listener_is_searched_again(beside: NetworkSensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look may not reach everybody on a busy host: it is told without its owner, and then with, once each."""
    found = beside._who.sockets
    monkeypatch.setattr(beside._who, "sockets", lambda *_, **__: {})
    list(beside.poll())
    with python(SERVE) as server:
        port = int(server.stdout.readline())
        (alone,) = of(beside, port)
        assert alone.process is None
        monkeypatch.setattr(beside._who, "sockets", found)
        (owned,) = until(lambda: of(beside, port))
        assert owned.process is not None
        assert owned.process.pid == server.pid
        assert of(beside, port) == []


def test_a_listener_whose_owner_is_found_late_stood_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was there at the first look, on a host too busy to find who it is: nobody begins to listen."""
    sensor = NetworkSensor(Ledger())
    sensor.start()
    found = sensor._who.sockets
    monkeypatch.setattr(sensor._who, "sockets", lambda *_, **__: {})
    try:
        with python(SERVE) as server:
            port = int(server.stdout.readline())
            (alone,) = of(sensor, port)
            monkeypatch.setattr(sensor._who, "sockets", found)
            (owned,) = until(lambda: of(sensor, port))
            assert (alone.process, owned.process.pid) == (None, server.pid)
            assert (alone.event.kind, owned.event.kind) == ("state", "state")
    finally:
        sensor.stop()


@pytest.mark.parametrize("found_late", [True, False])
def test_the_owner_of_a_connection_is_searched_again(
    sensor: NetworkSensor, monkeypatch: pytest.MonkeyPatch, found_late: bool
) -> None:
    """It is told once: with its owner when a look finds one, without when several did not."""
    monkeypatch.setattr(module, "TRIES_CONNECTED", 2)
    list(sensor.poll())
    with python(SERVE) as server:
        port = int(server.stdout.readline())

        def told() -> list[Event]:
            return [e for e in sensor.poll() if e.action == "network_connection" and e.destination.port == port]

        list(sensor.poll())
        monkeypatch.setattr(sensor, "_owners", lambda inodes, **_: {})
        with python(CONNECT, str(port)) as client:
            client.stdout.readline()
            assert told() == told() == []
            if found_late:
                monkeypatch.setattr(sensor, "_owners", type(sensor)._owners.__get__(sensor))
            (one,) = told()
            assert (one.process.pid if one.process else None) == (client.pid if found_late else None)
            assert told() == []


SENDS = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    s.sendall(bytes(int(line)))
    print(flush=True)
"""
TAKES = f"""
import socket, sys
with socket.create_server(('{FAR}', 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    accepted, _ = listener.accept()
    while accepted.recv(1 << 20): pass
"""


@pytest.mark.root
@pytest.mark.parametrize("sensor", ["sock_diag"], indirect=True)
def test_the_bytes_of_an_open_connection_are_told(sensor: NetworkSensor) -> None:
    """With who sends them; not where the kernel tells them, and what it told then is not told later."""
    with contextlib.ExitStack() as stack:
        try:
            near, far = stack.enter_context(wire())
        except Lacking as lacking:
            pytest.skip(str(lacking))
        sink = stack.enter_context(far.python(TAKES))
        port = int(sink.stdout.readline())
        source = stack.enter_context(near.python(SENDS, FAR, port))

        def send(amount: int) -> None:
            print(amount, file=source.stdin, flush=True)
            source.stdout.readline()

        def told() -> list[Event]:
            sensor._looks = 0 if sensor._looks % 5 else sensor._looks  # look for namespaces as well
            return [e for e in sensor.poll() if e.action == "network_volume" and e.destination.port == port]

        send(1_000_000)
        assert told() == []
        send(500_000)
        found: list[Event] = []
        assert until(lambda: found.extend(told()) or sum(e.network.bytes for e in found) >= 500_000)
        assert sum(e.network.bytes for e in found) == 500_000
        assert {(e.destination.ip, e.source.ip, e.process.pid, e.network.initiated) for e in found} == {
            (FAR, NEAR, source.pid, True)
        }
        sensor._ledger.told_by_kernel(replies=True)
        send(300_000)
        assert told() == []
        sensor._ledger.told_by_none()
        assert told() == []
        send(70_000)
        found.clear()
        assert until(lambda: found.extend(told()) or sum(e.network.bytes for e in found) >= 70_000)
        assert sum(e.network.bytes for e in found) == 70_000


def answers(sensor: NetworkSensor, port: int) -> list[Event]:
    """Return what is told of what a server sent."""
    return [e for e in sensor.poll() if e.action == "network_volume" and e.source.port == port]


@pytest.mark.root
@pytest.mark.parametrize("sensor", ["sock_diag"], indirect=True)
def test_who_listens_answers_where_nobody_holds_the_connection(
    sensor: NetworkSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was closed before a look found whose it is: it had come to the listener, which is a guess."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        list(sensor.poll())
        list(sensor.poll())
        monkeypatch.setattr(sensor, "_owners", lambda inodes, **_: {})
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(bytes(100_000))
                assert client.recv(1)
                found: list[Event] = []
                assert until(lambda: found.extend(answers(sensor, port)) or found)
    assert {(e.process.pid, e.replguard.attribution, e.network.initiated) for e in found} == {
        (os.getpid(), "inferred", False)
    }


def test_who_opens_thousands_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many new ones of one user are told at a look, the others at the next; one that is gone by then is lost."""
    monkeypatch.setattr(module, "MOST_NEW", 3)
    one = NetworkSensor(Ledger())
    known = {n: module._Listener(n, module.Endpoint(ip="127.0.0.1", port=n), "tcp", user=7) for n in range(1, 9)}
    known[100] = module._Listener(100, module.Endpoint(ip="127.0.0.1", port=100), "tcp", user=8)
    known[101] = module._Listener(101, module.Endpoint(path="/x"), "unix")
    first = one._affordable(known, set(known), "event")
    assert first == {1, 2, 3, 100, 101}
    left = {n: known[n] for n in known if n != 8}
    assert one._affordable(left, left.keys() - first, "event") == {4, 5, 6}
    assert one._affordable(left, {7}, "event") == {7}
    assert sum(one.counters.dropped.values()) == 1
    assert one._affordable(known, set(known), "state") == set(known)
