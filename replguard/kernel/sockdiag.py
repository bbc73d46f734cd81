"""Sockets by NETLINK_SOCK_DIAG: the kernel filters by state and port, and any user may ask.

psutil reads all of ``/proc/net/tcp`` as text and then every descriptor of every process; this answers "who talks to
port 8000" in a fraction of a millisecond, which makes twenty looks a second affordable.
Prototypes: struct inet_diag_req_v2, inet_diag_msg and inet_diag_bc_op of include/uapi/linux/inet_diag.h.
"""

import socket
import struct
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from replguard.events import clock
from replguard.kernel import netlink

_NETLINK_SOCK_DIAG = 4
_TCP_COMPAT, _BY_FAMILY = 18, 20
_REQUEST_DUMP = 0x301
_BYTECODE = 1
_DONE, _ERROR = 3, 2
_JMP, _S_EQ, _D_EQ = 1, 11, 12
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_ID = struct.Struct("!HH16s16s")
_TAIL = struct.Struct("=IIIII")
_INODE, _INODE_AT = struct.Struct("=I"), 68
"""Where an inet_diag_msg has the inode number."""
_OP = struct.Struct("=BBH")
_MESSAGE = 72
_INFO, _INFO_BIT = 2, 1 << (2 - 1)
_ACKED_AT, _RECEIVED_AT, _SENT_AT, _AGAIN_AT = 120, 128, 200, 208
"""Offsets of tcpi_bytes_acked, _received, _sent and _retrans in struct tcp_info (include/uapi/linux/tcp.h)."""
_TIMEOUT = 2.0
_ACCEPTING = 0x10000
"""__SO_ACCEPTCON in the flags of /proc/net/unix."""

ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN = range(1, 11)
"""TCP states (include/net/tcp_states.h). A bound UDP socket is in CLOSE, a connected one in ESTABLISHED."""


class Socket(NamedTuple):
    """One socket. ``inode`` is 0 once no process holds it; ``uid`` its owner's.

    ``received`` are the bytes that came in and ``sent`` those that went out, None where they were not asked for.
    """

    family: int
    state: int
    source: tuple[str, int]
    destination: tuple[str, int]
    inode: int
    uid: int
    received: int | None = None
    sent: int | None = None


_HELD = sum(1 << state for state in range(ESTABLISHED, 12) if state not in (SYN_RECV, TIME_WAIT))
"""The states, TCP_CLOSING among them, of sockets that a process can hold."""


class _Wanted(NamedTuple):
    """Which sockets are taken from an answer, and when no more of it is read."""

    inodes: Container[int]
    most: int
    until: float


class SockDiag:
    """A netlink socket to ask by. Raises OSError where the kernel has no sock_diag or a sandbox forbids it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        self._socket.settimeout(_TIMEOUT)
        self._sequence = 0

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def dump(
        self,
        states: Iterable[int],
        *,
        ports: Iterable[int] = (),
        protocol: int = socket.IPPROTO_TCP,
        volume: bool = False,
    ) -> list[Socket]:
        """Return the sockets in these states; with ``ports`` those with one of them at either end.

        ``volume`` asks for the bytes that TCP sockets received and sent. Only
        sockets of one network namespace, that in which
        this object was made. Raises OSError.
        """
        mask, wanted = sum(1 << state for state in set(states)), sorted(set(ports))
        if protocol == socket.IPPROTO_TCP:
            # The older request walks the kernel's table of connections once for both families, the newer once each.
            extension = _INFO_BIT if volume else 0
            return self._dump(
                _TCP_COMPAT, bytes((0, 0, 0, extension)) + bytes(48) + struct.pack("=II", mask, 0), wanted
            )
        found: list[Socket] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            found += self._dump(_BY_FAMILY, _REQUEST.pack(family, protocol, 0, mask) + bytes(48), wanted)
        return found

    def held(self, inodes: Container[int], most: int, until: float, protocol: int = socket.IPPROTO_TCP) -> list[Socket]:
        """Return the sockets with these inode numbers, as far as the kernel tells them ``until`` then (monotonic).

        Of the answer no more is read than it takes to find ``most``: ask by another object afterwards. Raises OSError.
        """
        wanted = _Wanted(inodes, most, until)
        if protocol == socket.IPPROTO_TCP:
            return self._dump(_TCP_COMPAT, bytes(52) + struct.pack("=II", _HELD, 0), [], wanted)
        found: list[Socket] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            if len(found) < most:
                found += self._dump(_BY_FAMILY, _REQUEST.pack(family, protocol, 0, _HELD) + bytes(48), [], wanted)
        return found

    def _dump(self, kind: int, body: bytes, ports: list[int], wanted: "_Wanted | None" = None) -> list[Socket]:
        self._sequence += 1
        if ports:
            code = bytecode(ports)
            body += struct.pack("=HH", 4 + len(code), _BYTECODE) + code
        header = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, self._sequence, 0)
        self._socket.send(header + body)
        found: list[Socket] = []
        while True:
            more, last = self._parts(self._socket.recv(1 << 18), wanted)
            found += more
            if last or (wanted is not None and (len(found) >= wanted.most or clock.monotonic() > wanted.until)):
                return found

    def _parts(self, data: bytes, wanted: "_Wanted | None" = None) -> tuple[list[Socket], bool]:
        found: list[Socket] = []
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
            body = data[offset + _HEADER.size : offset + length]
            offset += max((length + 3) & ~3, _HEADER.size)
            if sequence != self._sequence:
                continue  # the rest of an answer that we gave up on
            if kind in (_ERROR, _DONE):  # a dump that failed ends with "done" and the error
                netlink.end(body)
                return found, True
            if len(body) >= _MESSAGE and (wanted is None or _INODE.unpack_from(body, _INODE_AT)[0] in wanted.inodes):
                found.append(parse(body))
        return found, False


def parse(body: bytes) -> Socket:
    """Parse one inet_diag_msg; raises struct.error if it is too short."""
    family, state = struct.unpack_from("=BB", body)
    sport, dport, source, destination = _ID.unpack_from(body, 4)
    _, _, _, uid, inode = _TAIL.unpack_from(body, 52)
    ends = (address(family, source), sport), (address(family, destination), dport)
    return Socket(family, state, *ends, inode, uid, *_volume(body[_MESSAGE:]))


def _volume(attributes: bytes) -> tuple[int | None, int | None]:
    """Return the bytes received and sent, from struct tcp_info where the attribute is there.

    Since Linux 4.1 it counts what was received and acknowledged, since 4.19 what was sent, and sent again.
    """
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        info = attributes[offset + 4 : offset + length]
        if kind == _INFO and len(info) >= _RECEIVED_AT + 8:
            received = _number(info, _RECEIVED_AT)
            if len(info) >= _AGAIN_AT + 8:
                return received, _number(info, _SENT_AT) - _number(info, _AGAIN_AT)
            return received, _number(info, _ACKED_AT)
        offset += max((length + 3) & ~3, 4)
    return None, None


def _number(info: bytes, offset: int) -> int:
    return int(struct.unpack_from("=Q", info, offset)[0])


def address(family: int, raw: bytes) -> str:
    """Return an address as text; IPv4 in IPv6 clothes as IPv4, so that both ends of a connection agree."""
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    if raw.startswith(b"\0" * 10 + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, raw[12:16])
    return socket.inet_ntop(socket.AF_INET6, raw)


def bytecode(ports: list[int]) -> bytes:
    """Return the filter "source or destination port is one of these", for the kernel's inet_diag_bc_run.

    For each: compare (two words: on a match go on, else jump over the exit), then jump to the end, which accepts.
    A jump one word past the end rejects.
    """
    tests = [(code, port) for port in ports for code in (_S_EQ, _D_EQ)]
    total = len(tests) * 12
    code = b""
    for index, (test, port) in enumerate(tests):
        left = total - index * 12
        last = index == len(tests) - 1
        code += _OP.pack(test, 8, left + 4 if last else 12) + _OP.pack(0, 0, port)
        code += _OP.pack(_JMP, 4, left - 8)
    return code


def unix_listeners(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (inode, path) of the listening Unix sockets in the text of ``/proc/net/unix``; abstract ones begin "@"."""
    for line in data.split(b"\n")[1:]:
        fields = line.split(None, 7)
        try:
            if len(fields) > 7 and int(fields[3], 16) & _ACCEPTING:
                yield int(fields[6]), fields[7]
        except ValueError:
            continue
