"""Sockets by netlink, on loopback."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from replguard.kernel import sockdiag
from replguard.kernel.sockdiag import CLOSE, ESTABLISHED, LISTEN, TIME_WAIT, SockDiag


@pytest.fixture
def diag() -> Iterator[SockDiag]:
    try:
        opened = SockDiag()
        opened.dump([LISTEN])
    except OSError as error:
        pytest.skip(f"sock_diag is refused here: {error}")
    yield opened
    opened.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_is_found_by_either_port(diag: SockDiag, host: str) -> None:
    """The kernel filters by port among several; both ends and their inodes are there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with server, socket.create_connection(server.getsockname()[:2]) as client, server.accept()[0] as accepted:
        port = server.getsockname()[1]
        for ports in ([port], [1, port], [port, 2, 3]):
            rows = diag.dump([ESTABLISHED], ports=ports)
            inodes = {row.inode for row in rows}
            assert inodes == {os.fstat(end.fileno()).st_ino for end in (client, accepted)}
        assert {row.destination[0] for row in rows} == {host}
        listening = diag.dump([LISTEN], ports=[port])
        assert [(row.source, row.inode) for row in listening] == [((host, port), os.fstat(server.fileno()).st_ino)]
        assert listening[0].uid == os.geteuid()
        assert not diag.dump([ESTABLISHED], ports=[1, 2, 3])


def test_the_bytes_of_a_connection_are_told(diag: SockDiag) -> None:
    """Of both ends, where they are asked for."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        client.sendall(bytes(100_000))
        left = 100_000
        while left:
            left -= len(accepted.recv(left))
        port, mine = server.getsockname()[1], os.fstat(client.fileno()).st_ino
        rows = diag.dump([ESTABLISHED], ports=[port], volume=True)
        assert sorted((row.sent, row.received) for row in rows) == [(0, 100_000), (100_000, 0)]
        assert next(row.sent for row in rows if row.inode == mine) == 100_000
        assert {(row.sent, row.received) for row in diag.dump([ESTABLISHED], ports=[port])} == {(None, None)}


@pytest.mark.parametrize(("length", "told"), [(216, (7, 30)), (200, (7, 5)), (120, (None, None))])
def test_older_kernels_tell_less_of_a_connection(length: int, told: tuple[int | None, int | None]) -> None:
    """What was acknowledged stands for what was sent; before that, nothing is known."""
    info = bytearray(240)
    for offset, value in ((120, 5), (128, 7), (200, 40), (208, 10)):
        struct.pack_into("=Q", info, offset, value)
    attribute = struct.pack("=HH", 4 + length, 2) + bytes(info[:length])
    found = sockdiag.parse(bytes([socket.AF_INET, ESTABLISHED]) + bytes(70) + attribute)
    assert (found.received, found.sent) == told


def test_a_closed_connection_is_remembered(diag: SockDiag) -> None:
    """Who closes first keeps the connection for a minute, without an owner."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        mine = client.getsockname()
        accepted = server.accept()[0]
        accepted.close()
        client.recv(1)
        client.close()
        rows = [row for row in diag.dump([TIME_WAIT], ports=[port]) if row.destination == mine]
    assert [row.inode for row in rows] == [0]


def test_udp_sockets_are_found(diag: SockDiag) -> None:
    """A bound UDP socket is in state CLOSE."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        rows = diag.dump([CLOSE], protocol=socket.IPPROTO_UDP)
        assert bound.getsockname() in [row.source for row in rows]


def test_an_error_of_the_kernel_is_an_oserror(diag: SockDiag) -> None:
    """A request that the kernel refuses does not hang and does not pass for an empty answer."""
    with pytest.raises(OSError, match=r".+"):
        diag.dump([LISTEN], protocol=200)


def test_mapped_addresses_are_ipv4() -> None:
    """Both ends of a connection must agree on the address."""
    raw = b"\0" * 10 + b"\xff\xff" + socket.inet_aton("10.1.2.3")
    assert sockdiag.address(socket.AF_INET6, raw) == "10.1.2.3"


def test_the_filter_is_made_of_whole_steps() -> None:
    """Three words a comparison: the last one's way out lies one word past the end."""
    code = sockdiag.bytecode([80])
    assert len(code) == 24
    assert struct.unpack_from("=BBH", code, 12) == (12, 8, 16)


def test_unix_listeners() -> None:
    """Only those that accept, whatever their name holds."""
    text = (
        b"Num       RefCount Protocol Flags    Type St Inode Path\n"
        b"0000000000000000: 00000002 00000000 00010000 0001 01 100 /run/a b\xff\n"
        b"0000000000000000: 00000002 00000000 00000000 0001 03 101 /run/a b\n"
        b"0000000000000000: 00000002 00000000 00010000 0001 01 102\nbroken zz zz zz zz zz zz zz\n"
    )
    assert list(sockdiag.unix_listeners(text)) == [(100, b"/run/a b\xff")]


@pytest.mark.parametrize(
    ("kind", "protocol"), [(socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP)]
)
def test_sockets_are_found_by_their_inodes(diag: SockDiag, kind: int, protocol: int) -> None:
    """Those of one protocol, whatever their state, and no others."""
    with (
        socket.socket(type=kind) as one,
        socket.socket(socket.AF_INET6, kind) as two,
        socket.socket(type=kind) as other,
    ):
        for each in (one, two, other):
            each.bind(("::1" if each is two else "127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                each.listen()
        inodes = {os.fstat(each.fileno()).st_ino for each in (one, two)}
        rows = diag.held(inodes | {1}, 3, 1e12, protocol)
        assert {(row.source, row.inode) for row in rows} == {
            (each.getsockname()[:2], os.fstat(each.fileno()).st_ino) for each in (one, two)
        }


def test_no_more_of_an_answer_is_read_than_is_wanted(diag: SockDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when all are found nor when time is up."""
    datagrams = iter([])

    class Netlink:
        def send(self, _: bytes) -> None:
            nonlocal datagrams
            datagrams = iter([message(5), message(6), message(7)])

        def recv(self, _: int) -> bytes:
            return next(datagrams)

    def message(inode: int) -> bytes:
        body = bytes((socket.AF_INET, LISTEN, 0, 0)) + bytes(64) + struct.pack("=I", inode)
        return struct.pack("=IHHII", 16 + len(body), 20, 2, diag._sequence, 0) + body

    real = diag._socket
    monkeypatch.setattr(diag, "_socket", Netlink())
    try:
        assert [row.inode for row in diag.held({5, 6}, 2, 1e12)] == [5, 6]
        assert len(list(datagrams)) == 1
        assert [row.inode for row in diag.held({5, 6}, 2, 0.0)] == [5]
        assert len(list(datagrams)) == 2
    finally:
        monkeypatch.setattr(diag, "_socket", real)
