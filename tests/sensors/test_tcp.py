"""TCP told by the kernel, on this kernel: who listens, who connects, what was answered, and how much was sent."""

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support.deadmount import NAME, mounted
from support.host import FakeHost, python
from support.programs import Lacking
from support.wires import FAR, FAR6, NEAR, NEAR6, NOBODY, End, wire

from replguard.config import Config, Sensors
from replguard.errors import Unavailable
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.kernel import libbpf
from replguard.kernel.bpf import network as records
from replguard.sensors import tcp as module
from replguard.sensors.processes.describe import Describer
from replguard.sensors.sockets import tables
from replguard.sensors.sockets.tables import Ledger
from replguard.sensors.tcp import TcpSensor

pytestmark = pytest.mark.root
ME = os.getpid()
OLD = msgspec.structs.replace(Config(), sensors=Sensors(hooks="5.15"))
SIZE = 3_000_017
SINK = """
import socket, sys
with socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
    print(listener.getsockname()[1], flush=True)
    accepted, _ = listener.accept()
    total = 0
    while data := accepted.recv(1 << 20): total += len(data)
    print(total, flush=True)
    accepted.close()
"""
SOURCE = """
import os, socket, sys
how, host, port, size, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
s = socket.create_connection((host, port))
if how == 'sendall':
    s.sendall(bytes(size))
elif how == 'sendmsg':
    left = size
    while left: left -= s.sendmsg([bytes(min(left, 1000)), bytes(min(max(left - 1000, 0), 5000))])
elif how == 'zerocopy':
    s.setsockopt(socket.SOL_SOCKET, 60, 1)
    left = size
    while left: left -= s.send(bytes(min(left, 65536)), 0x4000000)
elif how == 'sendfile':
    with open(path, 'rb') as file:
        at = 0
        while at < size: at += os.sendfile(s.fileno(), file.fileno(), at, size - at)
elif how == 'splice':
    inner, outer = os.pipe()
    with open(path, 'rb') as file:
        left = size
        while left:
            there = os.splice(file.fileno(), outer, min(left, 65536))
            left -= there
            while there: there -= os.splice(inner, s.fileno(), there)
elif how == 'forks':
    if os.fork() == 0:
        s.sendall(bytes(size)); os._exit(0)
    os.wait()
s.shutdown(socket.SHUT_WR)
s.recv(1)
print('done', flush=True)
sys.stdin.read()
"""
URING = r"""
#include <arpa/inet.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>
int main(int n, char **args)
{
	static char data[65536];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(args[2]))};
	long left = atol(args[3]);
	struct io_uring ring;
	struct io_uring_cqe *done;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	inet_pton(AF_INET, args[1], &to.sin_addr);
	if (io_uring_queue_init(4, &ring, 0) || connect(s, (void *)&to, sizeof(to)))
		return 77;
	while (left > 0) {
		io_uring_prep_send(io_uring_get_sqe(&ring), s, data, left < 65536 ? left : 65536, 0);
		io_uring_submit(&ring);
		if (io_uring_wait_cqe(&ring, &done) || done->res <= 0)
			return 78;
		left -= done->res;
		io_uring_cqe_seen(&ring, done);
	}
	close(s);
	return 0;
}
"""


@contextlib.contextmanager
def opened(config: Config | None = None) -> Iterator[TcpSensor]:
    """Yield a running sensor that has told what is there, with a ledger of its own."""
    try:
        libbpf.check()
        sensor = TcpSensor(config, ledger=Ledger())
        sensor.start()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        list(sensor.tick())
        yield sensor
    finally:
        sensor.stop()


@pytest.fixture
def sensor() -> Iterator[TcpSensor]:
    with opened() as made:
        yield made


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(wire())
        except Lacking as lack:
            pytest.skip(str(lack))


def until(sensor: TcpSensor, fits: Callable[[Event], object], count: int = 1) -> list[Event]:
    """Read on until so many events fit, at most ten seconds; return those that do."""
    found: list[Event] = []
    end = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end:
        found += [event for event in sensor.tick() if fits(event)]
        time.sleep(0.01)
    return found


def mine(sensor: TcpSensor, action: str, pid: int = ME, count: int = 1) -> list[Event]:
    return until(sensor, lambda e: e.action == action and e.process is not None and e.process.pid == pid, count)


def described(event: Event) -> tuple[object, ...]:
    """Return status, destination, port and bytes of a connection."""
    assert event.replguard is not None
    assert event.destination is not None
    assert event.network is not None
    return event.replguard.status, event.destination.ip, event.destination.port, event.network.bytes


def test_a_listener_that_lived_five_milliseconds_is_told(sensor: TcpSensor) -> None:
    """With its process, address, port and inode; its end too, with the same."""
    code = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]); time.sleep(.005)"
    )
    with python(code) as child:
        port = int(child.stdout.read())
    told = until(sensor, lambda e: e.server is not None and e.server.port == port, 2)
    assert [(e.action, e.process.pid, e.server.ip) for e in told] == [
        ("socket_listen", child.pid, "127.0.0.1"),
        ("socket_close", child.pid, "127.0.0.1"),
    ]
    assert told[0].process.entity_id
    assert told[0].network.inode == told[1].network.inode
    assert told[0].network.namespace == Path("/proc/self/ns/net").stat().st_ino
    assert (told[0].replguard.tier, told[0].replguard.attribution) == ("kernel", "kernel")


def test_a_living_process_is_described_as_the_others_do(sensor: TcpSensor) -> None:
    """Image, arguments and id are those that the portable tier makes."""
    with socket.create_server(("127.0.0.1", 0)):
        (event,) = mine(sensor, "socket_listen")
    seen = Describer().describe(ME)
    assert seen is not None
    for field in seen.__struct_fields__:
        assert field == "start" or getattr(event.process, field) == getattr(seen, field), field


@pytest.mark.parametrize("family", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_connection_is_told_with_both_ends(sensor: TcpSensor, family: str) -> None:
    """IPv4 in IPv6 clothes as IPv4; once, and only by who opened it."""
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server,
        socket.socket(socket.AF_INET6 if ":" in family else socket.AF_INET) as client,
    ):
        port = server.getsockname()[1]
        client.connect((family, port))
        near = client.getsockname()
        server.accept()[0].close()
        (event,) = mine(sensor, "network_connection")
        inode = os.fstat(client.fileno()).st_ino
    assert described(event) == ("established", family.removeprefix("::ffff:"), port, None)
    assert (event.source.ip, event.source.port) == (near[0].removeprefix("::ffff:"), near[1])
    assert (event.network.transport, event.network.initiated, event.network.inode) == ("tcp", True, inode)
    assert not [e for e in sensor.tick() if e.action == "network_connection" and e.process.pid == ME]


def test_a_refused_connection_is_told(sensor: TcpSensor) -> None:
    """Also on a socket that tries again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with socket.socket() as client:
            for _ in range(2):
                assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
    told = mine(sensor, "network_connection", count=2)
    assert [described(event) for event in told] == [("refused", "127.0.0.1", port, None)] * 2


def test_who_does_not_wait_is_told_too(sensor: TcpSensor) -> None:
    """A connection that is not blocking has its outcome later, in nobody's name."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.setblocking(False)
        assert client.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
        (event,) = mine(sensor, "network_connection")
    assert described(event)[0] == "established"


def test_one_that_was_given_up_has_failed(sensor: TcpSensor, ends: tuple[End, End]) -> None:
    """Nobody answers for an address of the wire that is not there."""
    code = f"import socket; s = socket.socket(); s.setblocking(False); s.connect_ex(('{NOBODY}', 80)); s.close()"
    with ends[0].python(code) as child:
        child.wait()
        (event,) = mine(sensor, "network_connection", child.pid)
        assert event.network.namespace == Path(f"/proc/{ends[0].pid}/ns/net").stat().st_ino
    assert described(event) == ("failed", NOBODY, 80, None)


def test_what_another_sensor_told_is_not_told_again() -> None:
    """The ledger decides, for listeners and for connections."""
    with opened() as sensor, socket.create_server(("127.0.0.1", 0)) as server:
        (listens,) = mine(sensor, "socket_listen")
        with socket.create_connection(server.getsockname()) as client:
            row = tables.Socket(2, 1, client.getsockname(), client.getpeername(), os.fstat(client.fileno()).st_ino, 0)
            assert sensor._ledger.claim(row)
            assert not [e for e in sensor.tick() if e.action == "network_connection" and e.process.pid == ME]
        assert not sensor._ledger.listens(listens.network.inode, listens.server, listens.process)
        assert len(sensor._ledger.closes(listens.network.inode)) == 1
        server.close()
        assert not [e for e in sensor.tick() if e.action == "socket_close" and e.process.pid == ME]


# -- replies ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def asked(sensor: TcpSensor, ip: str | None = None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a connection to a port that is hinted as an inference endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sensor.watch(Hint(kind="endpoint", ip=ip, port=server.getsockname()[1]))
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as there:
            yield client, there


def test_each_reply_is_told_once_at_its_first_byte(sensor: TcpSensor) -> None:
    """The connection itself says that nothing came yet. What is sent in pieces is one reply; the next turn another."""
    with asked(sensor, "127.0.0.1") as (client, there):
        for piece in (b"once", b" upon", b" a time"):
            client.sendall(b"go on" if piece == b"once" else b"")
            there.sendall(piece)
            client.recv(99)
        client.sendall(b"and?")
        there.sendall(b"end")
        client.recv(99, socket.MSG_PEEK)
        client.recv(99)
        told = mine(sensor, "network_connection", count=3)
    assert [(e.replguard.status, e.network.bytes) for e in told] == [("established", 0), ("reply", 4), ("reply", 19)]
    assert len({e.network.inode for e in told}) == 1


def test_a_reply_to_a_process_that_is_gone_has_its_process(sensor: TcpSensor) -> None:
    """A client that lives as long as its one request, as curl does."""
    code = (
        "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.sendall(b'?'); s.recv(9)"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sensor.watch(Hint(kind="endpoint", port=port))
        with python(code, str(port)) as child:
            with server.accept()[0] as there:
                there.sendall(b"!")
                child.wait()
            told = mine(sensor, "network_connection", child.pid, 2)
    assert [(e.replguard.status, e.network.bytes) for e in told] == [("established", 0), ("reply", 1)]
    assert told[1].process.entity_id


def test_a_reply_that_no_receive_takes_is_told_at_the_end(sensor: TcpSensor) -> None:
    """A pipe takes it from the socket: the connection's own count tells."""
    with asked(sensor) as (client, there):
        there.sendall(b"answer")
        inner, outer = os.pipe()
        assert os.splice(client.fileno(), outer, 99) == 6
        there.close()
        client.close()
        told = mine(sensor, "network_connection", count=2)
        os.close(inner)
        os.close(outer)
    assert [(e.replguard.status, e.network.bytes) for e in told] == [("established", 0), ("reply", 6)]


@pytest.mark.parametrize("hinted", [None, "192.0.2.7"])
def test_replies_of_others_are_nobodys_matter(sensor: TcpSensor, hinted: str | None) -> None:
    """Neither of a port whose hint was dropped, nor of the same port at another address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sensor.watch(Hint(kind="endpoint", ip=hinted, port=port))
        if hinted is None:
            sensor.watch(Hint(kind="endpoint", port=port, drop=True))
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as there:
            there.sendall(b"answer")
            client.recv(9)
            told = [described(event) for event in mine(sensor, "network_connection")]
            assert told == [("established", "127.0.0.1", port, None)]
            assert not [e for e in sensor.tick() if e.action == "network_connection" and e.process.pid == ME]


def test_a_connection_from_before_is_answered_too() -> None:
    """Who reads the reply has it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as there,
        opened() as sensor,
    ):
        sensor.watch(Hint(kind="endpoint", port=server.getsockname()[1]))
        there.sendall(b"answer")
        client.recv(9)
        (event,) = mine(sensor, "network_connection")
        assert described(event) == ("reply", "127.0.0.1", server.getsockname()[1], 6)
        assert event.network.inode == os.fstat(client.fileno()).st_ino


def test_an_old_kernel_counts_each_connection_as_a_reply() -> None:
    """Its bytes are unknown, not none, and the ledger lets the endpoint sensor look."""
    with opened(OLD) as sensor, asked(sensor):
        assert (sensor._ledger.kernel, sensor._ledger.replies) == (True, False)
        assert "sock_recv_length" in (sensor.why or "")
        (event,) = mine(sensor, "network_connection")
        assert described(event)[::3] == ("established", None)
        assert sensor._ledger.owner(event.network.inode) == event.process


# -- volume ----------------------------------------------------------------------------------------------------------


def volume(sensor: TcpSensor, pid: int, size: int) -> list[Event]:
    """Return what was told of the bytes that a process sent, once they are ``size`` or time is up."""
    told: list[Event] = []
    end = time.monotonic() + 10
    while sum(e.network.bytes for e in told) < size and time.monotonic() < end:
        sensor._swept = 0.0
        told += [e for e in sensor.tick() if e.action == "network_volume" and e.process.pid == pid]
        time.sleep(0.02)
    sensor._swept = 0.0
    return told + [e for e in sensor.tick() if e.action == "network_volume" and e.process.pid == pid]


def to(told: list[Event], size: int) -> set[tuple[object, ...]]:
    """Return where the bytes went, after a look at their sum; totals grow to it."""
    assert sum(e.network.bytes for e in told) == size
    totals = [e.replguard.bytes for e in told]
    assert totals == sorted(totals)
    assert totals[-1] == size
    return {(e.destination.ip, e.destination.port, e.network.transport, e.network.initiated) for e in told}


@pytest.mark.parametrize("how", ["sendall", "sendmsg", "zerocopy", "sendfile", "splice"])
def test_every_byte_to_a_destination_is_told(
    sensor: TcpSensor, ends: tuple[End, End], tmp_path: Path, how: str
) -> None:
    """Exactly, whatever call sends it, and long before it ends where it takes many calls."""
    near, far = ends
    file = tmp_path / "file"
    file.write_bytes(bytes(SIZE))
    with far.python(SINK) as sink:
        port = int(sink.stdout.readline())
        with near.python(SOURCE, how, FAR, port, SIZE, file) as source:
            assert source.stdout.readline() == "done\n"
            assert int(sink.stdout.readline()) == SIZE
            told = volume(sensor, source.pid, SIZE)
    assert to(told, SIZE) == {(FAR, port, "tcp", True)}
    assert len(told) >= (1 if how == "sendall" else 4)
    assert told[0].process.executable


def test_who_sends_is_who_is_told(sensor: TcpSensor, ends: tuple[End, End]) -> None:
    """Not who connected: a child that sends over its parent's connection; IPv6 as well; pids are the host's."""
    near, far = ends
    with far.python(SINK) as sink:
        port = int(sink.stdout.readline())
        inner = ("unshare", "--pid", "--fork", "--kill-child")
        with near.python(SOURCE, "forks", FAR6, port, SIZE, "-", before=inner) as source:
            assert source.stdout.readline() == "done\n"
            parent = int(Path(f"/proc/{source.pid}/task/{source.pid}/children").read_text())
            told = until(sensor, lambda e: e.destination is not None and e.destination.ip == FAR6, 2)
    connected, *told = sorted(told, key=lambda event: event.action)
    assert connected.process.pid == parent
    assert described(connected)[:3] == ("established", FAR6, port)
    assert parent not in {e.process.pid for e in told}
    assert min(e.process.pid for e in told) > 2
    assert told[0].process.entity_id


def test_what_io_uring_sends_is_told(sensor: TcpSensor, ends: tuple[End, End], tmp_path: Path) -> None:
    """By who asked for it."""
    source, program = tmp_path / "send.c", tmp_path / "send"
    source.write_text(URING)
    built = shutil.which("gcc") and subprocess.run(
        ["gcc", "-o", program, source, "-luring"], capture_output=True, check=False
    )
    if not built or built.returncode:
        pytest.skip("gcc and liburing-dev are needed")
    near, far = ends
    with far.python(SINK) as sink:
        port = sink.stdout.readline().strip()
        sender = subprocess.Popen(near.inside(str(program), FAR, port, str(SIZE)))
        if sender.wait() == 77:
            pytest.skip("io_uring is refused here")
        assert sender.returncode == 0
        assert int(sink.stdout.readline()) == SIZE
        assert to(volume(sensor, sender.pid, SIZE), SIZE) == {(FAR, int(port), "tcp", True)}


DATAGRAMS = """
import socket, sys
how, near, far = sys.argv[1:4]
s = socket.socket(socket.AF_INET6 if ':' in near else socket.AF_INET, socket.SOCK_DGRAM)
if how == 'answers': s.bind((near, 999))
if how == 'connected': s.connect((far, 9))
for _ in range(300):
    for _ in range(9):  # again where an ICMP message made it an error
        try: s.send(bytes(1000)) if how == 'connected' else s.sendto(bytes(1000), (far, 9))
        except ConnectionRefusedError: continue
        break
    if how == 'alone':
        t = socket.socket(type=socket.SOCK_DGRAM); t.sendto(bytes(1000), ('127.0.0.1', 9)); t.close()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("ends_at", [(NEAR, FAR), (NEAR6, FAR6), ("::", "::ffff:" + FAR)], ids=["4", "6", "mapped"])
@pytest.mark.parametrize("how", ["connected", "alone", "answers"])
def test_datagrams_are_told(sensor: TcpSensor, ends: tuple[End, End], how: str, ends_at: tuple[str, str]) -> None:
    """With or without a connection; from a port that clients do not get they are answers, as of a server."""
    near, far = ends_at
    with ends[0].python(DATAGRAMS, how, near, far) as source:
        source.stdout.readline()
        told = volume(sensor, source.pid, 300_000)
    answers = how == "answers"
    assert to(told, 300_000) == {(far.removeprefix("::ffff:"), None if answers else 9, "udp", not answers)}
    assert {e.source and e.source.port for e in told} == {999 if answers else None}


ASIDE = """
import os, socket, sys, threading
how, near, far = sys.argv[1:4]
family = socket.AF_INET6 if ':' in near else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM, 136 if how == 'lite' else 0)
if how != 'lite':
    s.bind((near, 0))
    s.connect(s.getsockname())
for _ in range(300):
    if how == 'corked':
        s.sendto(bytes(100), socket.MSG_MORE, (far, 9))
        s.send(bytes(900))
    elif how == 'corked elsewhere':
        s.sendto(bytes(100), socket.MSG_MORE, (far, 9))
        other = threading.Thread(target=s.send, args=(bytes(900),)); other.start(); other.join()
    else:
        s.sendto(bytes(1000), (far, 9))
    if how != 'lite': s.send(bytes(7))  # stays
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("ends_at", [(NEAR, FAR), (NEAR6, FAR6)], ids=["4", "6"])
@pytest.mark.parametrize("how", ["aside", "corked", "corked elsewhere", "lite"])
def test_where_a_datagram_goes_is_what_is_said_with_it(
    sensor: TcpSensor, ends: tuple[End, End], how: str, ends_at: tuple[str, str]
) -> None:
    """Though the socket is connected to itself; a datagram gathered by several calls goes where its first says."""
    with ends[0].python(ASIDE, how, *ends_at) as source:
        if not source.stdout.readline():
            pytest.skip("such a socket cannot be made here")
        told = volume(sensor, source.pid, 300_000)
    assert to(told, 300_000) == {(ends_at[1], 9, "udp", True)}


FLOOD = """
import socket, sys
s = socket.socket(type=socket.SOCK_DGRAM)
for port in range(1, int(sys.argv[2]) + 1): s.sendto(bytes(10), (sys.argv[1], port))
print(flush=True)
sys.stdin.read()
"""


def test_a_flood_of_destinations_harms_its_maker_alone(sensor: TcpSensor, ends: tuple[End, End]) -> None:
    """Its own are told as one once it has its share, which is counted; others' have their addresses."""
    most = records.SHARE + 500
    with ends[0].python(FLOOD, FAR, most) as flood, ends[0].python(FLOOD, FAR, 3) as other:
        flood.stdout.readline()
        other.stdout.readline()
        told, theirs = volume(sensor, flood.pid, 10 * most), volume(sensor, other.pid, 0)
        apart = [e for e in told if e.destination.ip == FAR]
        assert sum(e.network.bytes for e in told) == 10 * most
        assert 1 < len(apart) <= records.SHARE
        assert not theirs or {e.destination.ip for e in theirs} == {FAR}
    assert sum(sensor.counters.dropped.values()) == 500


def test_shares_are_small_while_room_is_short(sensor: TcpSensor, ends: tuple[End, End]) -> None:
    """So that many processes together cannot take what the others need."""
    sensor.programs.put(sensor.programs.map(".bss.held"), module._FIRST, records.COUNT.pack(records.FLOWS))
    with ends[0].python(FLOOD, FAR, 40) as flood:
        flood.stdout.readline()
        told = volume(sensor, flood.pid, 400)
    assert sum(e.network.bytes for e in told) == 400
    assert len({e.destination.port for e in told if e.destination.ip == FAR}) == 16


def test_a_process_has_its_share_again_when_its_destinations_rest(sensor: TcpSensor) -> None:
    """User space counts anew at each sweep."""
    programs, key = sensor.programs, records.SHARE_KEY.pack(5, 2**22 + 1)
    flow = records._FLOW.pack(5, 2**22 + 1, 443, 0, 6, bytes(15) + b"\7")
    programs.put(sensor._shares, key, records.COUNT.pack(records.SHARE))
    sensor._share(programs, [flow])
    assert (key, records.COUNT.pack(1)) in list(programs.entries(sensor._shares, len(key), records.COUNT.size))
    sensor._share(programs, [])
    assert key not in dict(programs.entries(sensor._shares, len(key), records.COUNT.size))


SERVER = f"""
import socket, sys
with socket.create_server(('{NEAR}', 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    accepted, _ = listener.accept()
    accepted.sendall(bytes(int(sys.argv[1])))
    accepted.close()
    print(flush=True)
    sys.stdin.read()
"""
TAKER = f"""
import socket, sys
s = socket.create_connection(('{NEAR}', int(sys.argv[1])))
while s.recv(1 << 20): pass
"""


@pytest.mark.parametrize("config", [None, OLD], ids=["new", "5.15"])
def test_what_a_server_answers_is_told_as_such(ends: tuple[End, End], config: Config | None) -> None:
    """The connection was accepted; the port is the server's, for that of the client says nothing."""
    near, far = ends
    with opened(config) as sensor, near.python(SERVER, SIZE) as server:
        port = int(server.stdout.readline())
        with far.python(TAKER, port) as taker:
            taker.wait()
        server.stdout.readline()
        told = volume(sensor, server.pid, SIZE)
    assert to(told, SIZE) == {(FAR, None, "tcp", False)}
    assert {e.source.port for e in told} == {port}


LONG = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    s.sendall(bytes(int(line)))
    print(flush=True)
"""


def test_an_old_kernel_tells_bytes_of_open_connections_and_at_the_end(ends: tuple[End, End]) -> None:
    """Exactly as many in all, each once, of the process that opened it; also in another network namespace."""
    near, far = ends
    with opened(OLD) as sensor, far.python(SINK) as sink:
        port = int(sink.stdout.readline())
        with near.python(LONG, FAR, port) as source:
            print(SIZE, file=source.stdin, flush=True)
            source.stdout.readline()
            told = volume(sensor, source.pid, SIZE)
            assert to(told, SIZE) == {(FAR, port, "tcp", True)}
            print(1000, file=source.stdin, flush=True)
            source.stdout.readline()
            source.stdin.close()
            source.wait()
            told += volume(sensor, source.pid, 1000)
    assert "sock_send_length" in (sensor.why or "")
    assert to(told, SIZE + 1000) == {(FAR, port, "tcp", True)}


def test_an_old_kernel_without_the_walk_tells_bytes_at_the_end(ends: tuple[End, End]) -> None:
    """All at once."""
    near, far = ends
    with opened(OLD) as sensor, far.python(SINK) as sink:
        sensor.programs.missing[records.OPEN] = "not here"
        port = int(sink.stdout.readline())
        with near.python(SOURCE, "sendall", FAR, port, SIZE, "-") as source:
            assert source.stdout.readline() == "done\n"
            source.stdin.close()
            source.wait()
            told = volume(sensor, source.pid, SIZE)
    assert to(told, SIZE) == {(FAR, port, "tcp", True)}


PASSES = """
import socket, sys, threading
size, host = int(sys.argv[1]), sys.argv[2]
with socket.create_server((host, 0)) as listener:
    client = socket.create_connection(listener.getsockname())
    there, _ = listener.accept()
    def read(end):
        while end.recv(1 << 20): pass
    threads = [threading.Thread(target=read, args=(end,)) for end in (client, there)]
    for thread in threads: thread.start()
    for _ in range(size // 1000): client.sendall(bytes(1000))
    client.shutdown(socket.SHUT_WR)
    there.sendall(bytes(2 * size))
    there.shutdown(socket.SHUT_WR)
    for thread in threads: thread.join()
    client.close(); there.close()
    print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", NEAR], ids=["loopback", "near"])
def test_what_stays_on_the_host_is_told_by_its_port(sensor: TcpSensor, ends: tuple[End, End], host: str) -> None:
    """Who gets it may send it on: what the client sent, and what the server answered; to one's own address as well."""
    with ends[0].python(PASSES, SIZE // 1000 * 1000, host) as source:
        port = int(source.stdout.readline())
        told = volume(sensor, source.pid, 3 * (SIZE // 1000 * 1000))
    sums = {mine: sum(e.network.bytes for e in told if e.network.initiated is mine) for mine in (True, False)}
    assert sums == {True: SIZE // 1000 * 1000, False: 2 * (SIZE // 1000 * 1000)}
    assert {(e.destination.ip, e.destination.port or e.source.port) for e in told} == {("127.0.0.1", port)}


def test_little_that_stays_on_the_host_is_not_told(sensor: TcpSensor) -> None:
    """Nor what goes over Unix sockets."""
    left, right = socket.socketpair()
    with left, right, asked(sensor) as (client, there):
        client.sendall(bytes(60_000))
        left.sendall(bytes(100_000))
        there.recv(10)
        client.close()
        there.close()
        assert volume(sensor, ME, 0) == []


@pytest.mark.parametrize("source", ["me@host:/models", "served"])
def test_what_is_written_to_a_fuse_mount_is_told(sensor: TcpSensor, tmp_path: Path, source: str) -> None:
    """By who writes it, and where the mount comes from, or where it is."""
    if records.FUSE in sensor.programs.missing:
        pytest.skip(sensor.programs.missing[records.FUSE])
    code = "import sys\nopen(sys.argv[1], 'wb').write(bytes(500_000))\nprint(flush=True); sys.stdin.read()\n"
    folder = tmp_path / "mount"
    with mounted(folder, after=1 << 40, source=source), python(code, str(folder / NAME)) as writer:
        writer.stdout.readline()
        told = volume(sensor, writer.pid, 500_000)
    assert sum(e.network.bytes for e in told) == 500_000
    assert {(e.network.transport, e.network.initiated) for e in told} == {("fuse", True)}
    assert {e.destination.path for e in told} == {source if ":" in source else str(folder)}


# -- the sensor ------------------------------------------------------------------------------------------------------


def test_a_record_that_is_none_is_counted(sensor: TcpSensor) -> None:
    """It costs no other."""
    assert list(sensor.decoded([b"short"])) == []
    assert sensor.counters.dropped["decode", "malformed"] == 1


def test_where_there_is_no_room_for_a_destination_the_sum_is_kept(sensor: TcpSensor, ends: tuple[End, End]) -> None:
    """Which destination it was is not: the kernel's map is full."""
    for number in range(records.FLOWS):
        with contextlib.suppress(OSError):
            sensor.programs.put(sensor._sums, number.to_bytes(records.FLOW, "little"), records.SUM.pack(0, 1 << 60))
    list(sensor.tick())
    sensor.programs.remove(sensor._sums, (0).to_bytes(records.FLOW, "little"))
    code = (
        "import socket, sys\n"
        "for port in (9, 10, 11):\n"
        f"    s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('{FAR}', port)); s.send(bytes(1000))\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    with ends[0].python(code) as source:
        source.stdout.readline()
        told = volume(sensor, source.pid, 3000)
    assert sum(e.network.bytes for e in told) == 3000
    assert {e.destination.ip for e in told} <= {FAR, None}
    assert None in {e.destination.ip for e in told} or len(told) == 3


def test_without_the_control_groups_datagrams_are_said_to_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest works."""

    def refused() -> int:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(module.cgroups, "root", refused)
    with opened() as sensor:
        assert "cgroup/sendmsg4 (the control groups cannot be opened" in (sensor.why or "")


def test_a_flow_without_room_in_the_kernel_is_told_at_once(sensor: TcpSensor) -> None:
    """Each time that it sends."""
    key = records._FLOW.pack(5, 2**22 + 1, 443, 0, 6, bytes(10) + b"\xff\xff\xc0\0\2\7")
    alone = records.volume(key, 700, 9)._replace(error=1)
    told = [event for _ in range(2) for event in sensor._told(alone)]
    assert [(e.network.bytes, e.replguard.bytes, e.destination.ip) for e in told] == [
        (700, 700, "192.0.2.7"),
        (700, 1400, "192.0.2.7"),
    ]
    assert told[0].process.pid == 2**22 + 1


def test_without_the_state_probe_it_does_not_work() -> None:
    """The portable tier is better than the rest of it."""
    profile = msgspec.structs.replace(Config(), sensors=Sensors(hooks="5.10"))
    with pytest.raises(Unavailable, match=r"inet_sock_set_state|states|root|BTF|libbpf|container|refuses"):
        module.open(profile)


def test_it_goes_when_it_stops(sensor: TcpSensor) -> None:
    """Also when told twice; then the others have to look; and it can begin again."""
    assert sensor._ledger.kernel
    sensor.stop()
    sensor.stop()
    assert not sensor._ledger.kernel
    sensor.watch(Hint(kind="endpoint", port=1))
    sensor.start()
    assert sensor.fileno() >= 0


def test_it_opens_with_the_shared_ledger(sensor: TcpSensor) -> None:
    """A trial leaves no trace in it."""
    made = module.open(Config())
    assert made._ledger is tables.SHARED
    assert made._programs is None


def test_without_rights_it_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason is a sentence with what to do."""
    host = FakeHost(tmp_path)
    host.write("self/status", b"CapEff:\t0\n")
    monkeypatch.setattr(libbpf.check, "__defaults__", (libbpf.BTF, libbpf.LOCKDOWN, host.root))
    made = TcpSensor(root=host.root, ledger=Ledger())
    with pytest.raises(Unavailable, match="root"):
        made.start()
    made.stop()
