"""Short connections to inference endpoints."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.host import one, python, running, until

from replguard.config import Config
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.kernel.sockdiag import ESTABLISHED, Socket
from replguard.sensors import endpoint as module
from replguard.sensors.endpoint import EndpointSensor
from replguard.sensors.sockets.tables import Ledger, Sources

CLIENT = """
import socket, sys, time
port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
for _ in range(count):
    with socket.create_connection(('127.0.0.1', port)) as s:
        time.sleep(seconds)
    time.sleep(0.02)
print('done', flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def needs_sock_diag() -> None:
    sources = Sources()
    sources.start()
    sources.close()
    if sources.why:
        pytest.skip(sources.why)


@contextmanager
def server(*, closes_first: bool = False) -> Iterator[int]:
    """Accept connections and hold, or at once close, them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []
        stopping = threading.Event()

        def accept() -> None:
            while not stopping.is_set():
                try:
                    accepted = listener.accept()[0]
                except OSError:
                    return
                if closes_first:
                    accepted.close()
                else:
                    held.append(accepted)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopping.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for accepted in held:
                accepted.close()


def to(events: list[Event], port: int) -> list[Event]:
    return [
        e for e in list(events) if e.action == "network_connection" and e.destination and e.destination.port == port
    ]


@pytest.mark.parametrize("seconds", [0.1, 0.3])
def test_connections_of_a_tenth_of_a_second_have_an_owner(seconds: float) -> None:
    """Of six short ones at least five are bound to the process; none is told twice."""
    sensor = EndpointSensor(Ledger())
    with server() as port, running(sensor) as events:
        sensor.watch(Hint(kind="endpoint", port=port))
        assert until(lambda: sensor.period == module.LOOK)
        with python(CLIENT, str(port), "6", str(seconds)) as client:
            assert client.stdout.readline() == "done\n"
            found = until(lambda: len(to(events, port)) == 6 and to(events, port))
        assert found
        assert sum(e.process is not None and e.process.pid == client.pid for e in found) >= 5
        assert len({(e.source.ip, e.source.port) for e in found}) == 6
        assert all(e.network.initiated for e in found)


@pytest.mark.parametrize("closes_first", [True, False])
def test_one_that_is_over_at_once_is_told_without_a_process(closes_first: bool) -> None:
    """The kernel remembers closed connections, on the side that closed first."""
    sensor = EndpointSensor(Ledger())
    with server(closes_first=closes_first) as port, running(sensor) as events:
        sensor.watch(Hint(kind="endpoint", port=port))
        assert until(lambda: port in sensor._ports and not sensor._ports[port].fresh)
        with socket.create_connection(("127.0.0.1", port)) as client:
            mine = client.getsockname()[1]
            if closes_first:
                client.recv(1)
        one(events, "network_connection", lambda e: e.destination.port == port and e.source.port == mine)
        time.sleep(module.LOOK * 3)
        assert len(to(events, port)) == 1


KEPT_OPEN = """
import socket, sys, time
with socket.create_connection(('127.0.0.1', int(sys.argv[1]))) as s:
    for _ in range(3):
        s.sendall(b'question')
        for _ in range(4):
            s.recv(100)
        time.sleep(0.6)
    print('done', flush=True)
    sys.stdin.read()
"""


def test_each_reply_on_a_connection_that_stays_open_is_told() -> None:
    """Three questions over one connection, each answered in four pieces: the connection, then three replies."""

    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as accepted:
            while accepted.recv(100):
                for _ in range(4):
                    accepted.sendall(b"w" * 100)
                    time.sleep(0.05)

    sensor = EndpointSensor(Ledger())
    with socket.create_server(("127.0.0.1", 0)) as listener, running(sensor) as events:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        sensor.watch(Hint(kind="endpoint", port=port))
        assert until(lambda: sensor.period == module.LOOK)
        with python(KEPT_OPEN, str(port)) as client:
            assert client.stdout.readline() == "done\n"
            assert until(lambda: len(to(events, port)) == 4)
            time.sleep(0.4)
        thread.join()
        found = to(events, port)
        assert [e.network.bytes for e in found] == [None, 400, 800, 1200]
        assert {e.process.pid for e in found} == {client.pid}
        assert len({e.network.inode for e in found}) == 1


def test_without_an_endpoint_it_rests() -> None:
    """No hint, no look; a dropped hint ends the looks."""
    sensor = EndpointSensor(Ledger())
    sensor.start()
    try:
        assert list(sensor.poll()) == []
        assert sensor.period == module.IDLE
        hint = Hint(kind="endpoint", port=9, ip="192.0.2.1")
        sensor.watch(hint)
        list(sensor.poll())
        assert sensor.period == module.LOOK
        sensor.watch(Hint(kind="endpoint", port=9, ip="192.0.2.1", drop=True))
        sensor.watch(Hint(kind="endpoint", port=10, drop=True))
        list(sensor.poll())
        assert sensor.period == module.IDLE
    finally:
        sensor.stop()


def test_an_endpoint_at_another_address_is_not_this_one() -> None:
    """A hint with an address counts for that address only; one without for ours only."""
    sensor = EndpointSensor(Ledger())
    sensor._addresses = frozenset({"10.0.0.1"})
    sensor._take(Hint(kind="endpoint", port=443, ip="203.0.113.5"))
    sensor._take(Hint(kind="endpoint", port=8000))
    assert sensor._watched(("203.0.113.5", 443), here=False)
    assert not sensor._watched(("203.0.113.6", 443), here=True)
    assert sensor._watched(("10.0.0.1", 8000), here=False)
    assert sensor._watched(("127.0.0.2", 8000), here=False)
    assert not sensor._watched(("203.0.113.5", 8000), here=False)
    assert sensor._watched(("172.17.0.2", 8000), here=True)


def test_it_opens() -> None:
    """Without a hint it has nothing to do."""
    assert module.open(Config()).area == "network"


def test_where_the_kernel_tells_of_replies_it_rests() -> None:
    """Until the kernel does not any more."""
    sensor = EndpointSensor(Ledger())
    sensor._ledger.told_by_kernel(replies=True)
    sensor.start()
    try:
        sensor.watch(Hint(kind="endpoint", port=9))
        list(sensor.poll())
        assert sensor.period == module.IDLE
        sensor._ledger.told_by_none()
        list(sensor.poll())
        assert sensor.period == module.LOOK
    finally:
        sensor.stop()


def test_replies_on_a_connection_that_the_kernel_told_are_found() -> None:
    """An old kernel tells the connection and its process, not what came back on it."""
    sensor = EndpointSensor(Ledger())
    sensor._ledger.told_by_kernel(replies=False)
    with server() as port, running(sensor) as events:
        sensor.watch(Hint(kind="endpoint", port=port))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = listener.getsockname()
            sensor.watch(Hint(kind="endpoint", port=near[1]))
            with socket.create_connection(near) as client, listener.accept()[0] as there:
                inode = os.fstat(client.fileno()).st_ino
                row = Socket(socket.AF_INET, ESTABLISHED, client.getsockname(), client.getpeername(), inode, 0)
                assert sensor._ledger.claim(row, Process(pid=os.getpid()))
                assert until(lambda: inode in sensor._kept)
                there.sendall(b"answer")
                event = one(events, "network_connection", lambda e: e.network.inode == inode)
        assert (event.process.pid, event.network.bytes) == (os.getpid(), 6)
        assert to(events, port) == []
