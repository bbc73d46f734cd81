"""Decodes the records of network.bpf.c, which lies beside this file; a test compares the two."""

import socket
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from replguard.events.identity import TICK
from replguard.kernel.hooks import Hook
from replguard.kernel.sockdiag import address

OBJECT = "network.bpf.o"
LISTENS, UNLISTENS, OPENED, FAILED, REPLY, VOLUME = KINDS = range(6)
RING, FLOWS, FIRST = 1 << 20, 16384, 256 << 10
"""Bytes of the ring, destinations that are added up at a time, bytes to one that are told at once."""
STATE, SEND, RECEIVE, OPEN = "network_state", "network_send", "network_receive", "network_open"
FUSE = "network_fuse"
DATAGRAMS = ("network_datagram4", "network_datagram6")
_UNCONNECTED = "the sockets of UDP that are connected are counted alone"
HOOKS = (
    Hook(
        STATE,
        "tp_btf/inet_sock_set_state",
        (5, 12),
        "a look at all sockets every second stands in",
        "short connections, refused ones, and who made them",
    ),
    Hook(
        SEND,
        "tp_btf/sock_send_length",
        (6, 3),
        "what TCP sent is read when a connection ends, and every few seconds of those that were opened here",
        "bytes of UDP, and those of a long or reset connection that was accepted",
    ),
    Hook(
        RECEIVE,
        "tp_btf/sock_recv_length",
        (6, 3),
        "each connection to an inference endpoint counts as a reply, and open ones are looked at 25 times a second",
        "whether a short one was answered",
    ),
    Hook(
        OPEN,
        "iter/tcp",
        (5, 12),
        "what an open connection sent is told when it ends",
        "that a long upload is under way",
    ),
    Hook(DATAGRAMS[0], "cgroup/sendmsg4", (6, 3), _UNCONNECTED, "bytes of datagrams that are sent without (IPv4)"),
    Hook(DATAGRAMS[1], "cgroup/sendmsg6", (6, 3), _UNCONNECTED, "bytes of datagrams that are sent without (IPv6)"),
    Hook(
        FUSE,
        "tp_btf/fuse_request_send",
        (6, 12),
        "what the server of a FUSE mount sends is counted as its own",
        "bytes that are written to FUSE mounts",
    ),
)
PORTS = 8192
"""Bytes of a set of ports, a bit for each."""
TICK_NS = round(TICK * 1e9)
SHARE = 2048
"""Destinations that one process may have to itself of these; fewer when they run out."""
PACE, LISTENING = 4000, 500
"""Connections, and listeners, of one user that are told in a second, of root those of one control group."""
SHARE_KEY = Struct("=QI4x")
_RECORD = Struct("=IIQQQQIIHHBBBx16s16s")
_FLOW = Struct("=QIHBB16s")
SUM = Struct("=QQ")
COUNT = Struct("=Q")
OF_FUSE = 255
"""The protocol of what is written to a FUSE mount; the end of the address is its number."""
_TRANSPORTS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", OF_FUSE: "fuse"}
RECORD, FLOW = _RECORD.size, _FLOW.size


class Record(NamedTuple):
    """One record. Times are nanoseconds since boot; ``start`` is that of the process.

    ``amount`` are the bytes that were received on the connection (REPLY), or sent to the destination (VOLUME; with
    ``error`` these alone).
    ``watched`` says that replies are told, ``accepted`` that the far end opened the connection.
    """

    kind: int
    pid: int
    when: int
    start: int
    inode: int
    amount: int
    space: int
    error: int
    source_port: int
    destination_port: int
    watched: int
    accepted: int
    protocol: int
    source: bytes
    destination: bytes

    @property
    def ticks(self) -> int:
        """The start of the process in the unit of ``/proc/PID/stat``."""
        return self.start // TICK_NS

    @property
    def transport(self) -> str | None:
        """As events call it."""
        return _TRANSPORTS.get(self.protocol)


class Flow(NamedTuple):
    """A process and where it sends to. ``port`` is the destination's, or ours where the connection was accepted.

    Without an address it is everything for which the kernel had no room to keep it apart. Loopback stands for all
    addresses of this host.
    """

    start: int
    pid: int
    port: int
    accepted: int
    protocol: int
    address: bytes


def record(data: bytes) -> Record:
    """Return a record; raises struct.error if it is too short for one."""
    return Record._make(_RECORD.unpack_from(data))


def flow(key: bytes) -> Flow:
    """Return the flow that a key of the map names."""
    return Flow._make(_FLOW.unpack(key))


def share(key: bytes) -> bytes:
    """Return the key of the share that a flow is of: that of its process."""
    start, pid, *_ = _FLOW.unpack(key)
    return SHARE_KEY.pack(start, pid)


def volume(key: bytes, total: int, when: int) -> Record:
    """Return the record that the kernel would send of an entry of the map."""
    of = flow(key)
    ports = (of.port, 0) if of.accepted else (0, of.port)
    return Record(
        VOLUME, of.pid, when, of.start, 0, total, 0, 0, *ports, 0, of.accepted, of.protocol, bytes(16), of.address
    )


def key(record: Record) -> bytes:
    """Return the key of the map that a VOLUME record is of."""
    port = record.source_port if record.accepted else record.destination_port
    return _FLOW.pack(record.start, record.pid, port, record.accepted, record.protocol, record.destination)


@lru_cache(maxsize=4096)
def text(raw: bytes) -> str:
    """Return an address as text; IPv4 as such."""
    return address(socket.AF_INET6, raw)


def ports(numbers: set[int]) -> bytes:
    """Return a set of ports as the kernel holds it."""
    found = bytearray(PORTS)
    for number in numbers:
        found[number >> 3] |= 1 << (number & 7)
    return bytes(found)
