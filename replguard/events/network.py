"""Sockets, as ECS names their parts."""

import re
from collections.abc import Iterable

import msgspec

_ADDRESS = re.compile(r"(|\[?[0-9a-fA-F]*[.:][0-9a-fA-F.:]*(?:%\w+)?\]?):([0-9]{1,5})")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One end of a connection, or a listener. ``path`` instead of ip and port for a Unix socket."""

    ip: str | None = None
    port: int | None = None
    domain: str | None = None
    path: str | None = None


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``transport`` is tcp, udp or unix; ``initiated`` is true when the process opened the connection.

    ``bytes`` of a connection were received on it (0: nothing so far, where replies are told), of a volume sent since
    it was told last. ``inode`` is the socket's, ``namespace`` that of its network namespace, as ``/proc/PID/ns/net``
    shows it.
    """

    transport: str | None = None
    initiated: bool | None = None
    bytes: int | None = None
    inode: int | None = None
    namespace: int | None = None


def listener(address: str) -> Endpoint:
    """Return the end that an ``ip:port`` or a socket's path names; a path, whatever it is called, has no port."""
    found = _ADDRESS.fullmatch(address)
    return Endpoint(path=address) if found is None else Endpoint(ip=found[1], port=int(found[2]))


def ports(listen: Iterable[str]) -> set[int]:
    """Return the ports of addresses as ``ip:port``."""
    return {port for address in listen if (port := listener(address).port) is not None}
