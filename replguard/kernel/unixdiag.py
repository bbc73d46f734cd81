"""Unix sockets and their other ends, by NETLINK_SOCK_DIAG; ``/proc/net/unix`` does not say which two belong together.

Prototypes: struct unix_diag_req and unix_diag_msg of include/uapi/linux/unix_diag.h.
"""

import contextlib
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from replguard.kernel import netlink

_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST_DUMP, _REQUEST_ONE = 4, 20, 0x301, 1
_NO_COOKIE = (0xFFFFFFFF, 0xFFFFFFFF)
"""INET_DIAG_NOCOOKIE: whichever socket has the inode number."""
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_MESSAGE = struct.Struct("=BBBBIII")
_SHOW_NAME, _SHOW_PEER, _SHOW_WAITING = 1, 4, 8
_NAME, _PEER, _WAITING = 0, 2, 3
_DONE, _ERROR = 3, 2
_TIMEOUT = 2.0
LISTEN = 10
"""TCP_LISTEN, which Unix sockets share (include/net/tcp_states.h)."""


class UnixSocket(NamedTuple):
    """One socket. ``peer`` is the inode of the other end, 0 for none; ``name`` is empty where it was never bound.

    The accepted end of a connection bears the name of its listener. An abstract name begins with "@". ``waiting`` are
    the clients' ends of connections that a listener has not accepted yet.
    """

    inode: int
    state: int
    peer: int
    name: bytes
    waiting: tuple[int, ...] = ()


def sockets() -> dict[int, UnixSocket]:
    """Return the Unix sockets of our network namespace by inode. Raises OSError where sock_diag is refused."""
    found: dict[int, UnixSocket] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT)
        body = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_NAME | _SHOW_PEER | _SHOW_WAITING, 0, 0)
        netlink.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + body)
        while True:
            more, last = parts(netlink.recv(1 << 18))
            found |= {one.inode: one for one in more}
            if last:
                return found


def some(inodes: Iterable[int]) -> dict[int, UnixSocket]:
    """Return those of these sockets that are in our network namespace; each is asked for. Raises OSError."""
    found: dict[int, UnixSocket] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT)
        for inode in inodes:
            body = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode, _SHOW_NAME | _SHOW_PEER, *_NO_COOKIE)
            netlink.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_ONE, 1, 0) + body)
            with contextlib.suppress(FileNotFoundError):
                found |= {one.inode: one for one in parts(netlink.recv(1 << 16))[0]}
    return found


def parts(data: bytes) -> tuple[list[UnixSocket], bool]:
    """Parse one datagram of an answer; the second says whether it is the last."""
    found: list[UnixSocket] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        body = data[offset + _HEADER.size : offset + length]
        offset += max((length + 3) & ~3, _HEADER.size)
        if kind in (_ERROR, _DONE):
            netlink.end(body)
            return found, True
        if len(body) >= _MESSAGE.size:
            found.append(_parsed(body))
    return found, False


def _parsed(body: bytes) -> UnixSocket:
    _, _, state, _, inode, *_ = _MESSAGE.unpack_from(body)
    name, peer, offset, waiting = b"", 0, _MESSAGE.size, ()
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        value = body[offset + 4 : offset + length]
        if kind == _NAME:
            name = b"@" + value[1:] if value.startswith(b"\0") else value.rstrip(b"\0")
        elif kind == _PEER and len(value) >= 4:
            peer = int(struct.unpack_from("=I", value)[0])
        elif kind == _WAITING:
            waiting = struct.unpack_from(f"={len(value) // 4}I", value)
        offset += max((length + 3) & ~3, 4)
    return UnixSocket(inode, state, peer, name, waiting)
